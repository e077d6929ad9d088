"""App registration."""

from django.apps import AppConfig
from django.db.backends.signals import connection_created


class CommonConfig(AppConfig):
    """The cellar: what every floor of the house stands on."""

    name = "execution_project.common"
    label = "common"
    verbose_name = "Engine"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the receiver that has a new connection look whose database it reaches."""
        from execution_project.common import installation

        connection_created.connect(installation.forget_prefix, dispatch_uid="common.installation")
