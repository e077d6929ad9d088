"""App registration."""

from importlib import import_module

from django.apps import AppConfig


class RiskConfig(AppConfig):
    """See ARCHITECTURE.md for what lives on this floor."""

    name = "risk"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Make known what speaks against lifting a monitor's latch."""
        import_module("risk.monitors.losses")
