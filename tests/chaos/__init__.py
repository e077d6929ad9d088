"""Orders on both exchanges while everything fails, then a count of what came of it: ``make chaos SEED=n``."""
