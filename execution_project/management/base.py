"""What the wiring's commands share."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

NO_DATABASE = (
    "There is no database: DATABASE_URL is unset and no embedded server is running."
    " Start everything with `make run`, or set DATABASE_URL to a PostgreSQL database."
)


class DatabaseCommand(BaseCommand):
    """A command that says what to do when there is no database, instead of a socket's error message."""

    def execute(self, *arguments: Any, **options: Any) -> str | None:
        """Refuse to begin without a database."""
        if not settings.EXEC_DATABASE_CONFIGURED:
            raise CommandError(NO_DATABASE)
        return super().execute(*arguments, **options)
