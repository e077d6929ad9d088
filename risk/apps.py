"""App registration."""

from django.apps import AppConfig


class RiskConfig(AppConfig):
    """See ARCHITECTURE.md for what lives on this floor."""

    name = "risk"
    default_auto_field = "django.db.models.BigAutoField"
