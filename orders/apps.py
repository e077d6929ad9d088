"""App registration."""

from django.apps import AppConfig


class OrdersConfig(AppConfig):
    """See ARCHITECTURE.md for what lives on this floor."""

    name = "orders"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register what is found by being imported: acts that approvals carry out, checks, and what holds a latch."""
        from orders import breaks, checks, correcting, killing, overriding, resolving  # noqa: F401
        from orders.monitors import output_equals_input, reject_storm  # noqa: F401
