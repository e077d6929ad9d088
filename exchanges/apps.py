"""App registration."""

from django.apps import AppConfig


class ExchangesConfig(AppConfig):
    """See ARCHITECTURE.md for what lives on this floor."""

    name = "exchanges"
    default_auto_field = "django.db.models.BigAutoField"
