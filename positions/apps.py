"""App registration."""

from django.apps import AppConfig


class PositionsConfig(AppConfig):
    """See ARCHITECTURE.md for what lives on this floor."""

    name = "positions"
    default_auto_field = "django.db.models.BigAutoField"
