"""App registration."""

from django.apps import AppConfig


class OrdersConfig(AppConfig):
    """See ARCHITECTURE.md for what lives on this floor."""

    name = "orders"
    default_auto_field = "django.db.models.BigAutoField"
