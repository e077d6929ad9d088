"""Running management commands in tests, in this process and as programs of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from io import StringIO
from typing import Any

from django.apps import apps
from django.core.management import CommandError, call_command, get_commands
from django.db import connection

from tests.processes import ROOT, current_database_url

OURS = ("execution_project", "execution_project.common", "exchanges", "positions", "risk", "orders")
# What calls to an exchange are counted and stamped by; a dry run may ask an exchange too.
BOOKKEEPING = {
    "exchanges_ratewindow",
    "exchanges_hostclock",
    "exchanges_hostpause",
    "exchanges_stampsequence",
    "exchanges_hostcircuit",
}


@dataclass(frozen=True)
class Ran:
    """How a command ended: exit code, standard output, and the sentence or standard error."""

    code: int
    out: str
    err: str

    @property
    def documents(self) -> list[Any]:
        """Standard output as JSON, a document per line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def document(self) -> Any:
        """The only document on standard output."""
        (only,) = self.documents
        return only


def run(name: str, *arguments: Any) -> Ran:
    """Run a command in this process, with its command line parsed."""
    out, err = StringIO(), StringIO()
    try:
        call_command(name, *map(str, arguments), stdout=out, stderr=err)
    except CommandError as error:
        return Ran(error.returncode, out.getvalue(), f"{err.getvalue()}{error}")
    return Ran(0, out.getvalue(), err.getvalue())


def run_program(*arguments: Any, **environment: str | None) -> Ran:
    """Run ``manage.py`` as a program on the test's database; None takes a variable out of its environment."""
    values = {
        **os.environ,
        "DATABASE_URL": current_database_url(),
        "DJANGO_SETTINGS_MODULE": "execution_project.settings",
        "EXEC_DATABASE_ROLE": "exec_engine",
        "EXEC_LOG_LEVEL": "WARNING",
        **environment,
    }
    ended = subprocess.run(
        [sys.executable, "manage.py", *map(str, arguments)],
        cwd=ROOT,
        env={name: value for name, value in values.items() if value is not None},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return Ran(ended.returncode, ended.stdout, ended.stderr)


def our_commands() -> list[str]:
    """Every command of the engine's own apps."""
    names = {apps.get_app_config(label.rpartition(".")[2]).name for label in OURS}
    return sorted(name for name, app in get_commands().items() if app in names)


def row_counts() -> dict[str, int]:
    """How many rows every table has, but for the bookkeeping of calls to exchanges."""
    counts: dict[str, int] = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if table not in BOOKKEEPING:
                cursor.execute(f'SELECT count(*) FROM "{table}"')
                counts[table] = cursor.fetchone()[0]
    return counts
