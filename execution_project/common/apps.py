"""App registration."""

from django.apps import AppConfig


class CommonConfig(AppConfig):
    """The cellar: what every floor of the house stands on."""

    name = "execution_project.common"
    label = "common"
    verbose_name = "Engine"
    default_auto_field = "django.db.models.BigAutoField"
