"""App registration of the wiring: roles, staff groups and the next start after migrating, system checks."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ExecutionProjectConfig(AppConfig):
    """Last of the apps, so that its receiver sees every table."""

    name = "execution_project"
    verbose_name = "Execution engine"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect what follows a migrate, and register the checks."""
        from execution_project import checks, roles, staff_groups, ticker  # noqa: F401  importing registers the checks

        post_migrate.connect(ticker.forget_beat, sender=self, dispatch_uid="execution_project.ticker")
        post_migrate.connect(roles.set_up_roles, sender=self, dispatch_uid="execution_project.roles")
        post_migrate.connect(
            staff_groups.set_up_staff_groups, sender=self, dispatch_uid="execution_project.staff_groups"
        )
