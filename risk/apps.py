"""App registration."""

from django.apps import AppConfig


class RiskConfig(AppConfig):
    """See ARCHITECTURE.md for what lives on this floor."""

    name = "risk"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register what holds a monitor's latch, which is found by being imported."""
        from risk.monitors import losses, volatility  # noqa: F401
