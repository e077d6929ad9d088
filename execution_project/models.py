"""The wiring has no rows of its own; Django sends ``post_migrate`` only to apps that have this module."""
