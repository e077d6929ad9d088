"""Real processes of the engine for tests: started on a database, watched through files, killed to the last one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from django.db import connection

from execution_project.processes import MARK, kill_marked, marked_pids

ROOT = Path(__file__).resolve().parent.parent


def current_database_url() -> str:
    """The URL of the database that this test's ORM uses, for a child's ``DATABASE_URL``."""
    given = connection.settings_dict
    login = given["USER"] + (f":{quote(given['PASSWORD'], safe='')}" if given["PASSWORD"] else "")
    host = given["HOST"] + (f":{given['PORT']}" if given["PORT"] else "")
    query = f"?host={quote(given['OPTIONS']['host'], safe='')}" if "host" in given["OPTIONS"] else ""
    return f"postgresql://{login}@{host}/{given['NAME']}{query}"


class Managed:
    """One started process; its output goes to a file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def pid(self) -> int:
        """Process id; also the id of the session that it leads."""
        return self.process.pid

    def output(self) -> str:
        """All that it and its children wrote so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def terminate(self, timeout: float = 30.0) -> int:
        """SIGTERM to this process alone; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def kill(self) -> None:
        """SIGKILL to this process alone."""
        self.process.kill()
        self.process.wait()


class Processes:
    """A context: whatever was started in it, and whatever that started, is gone afterwards."""

    def __init__(self, folder: Path, *, database_url: str | None = None, **environment: str) -> None:
        """``environment`` is added to that of every process."""
        self.mark = f"{folder}/{uuid4().hex}"
        self.folder = folder
        self._database_url = database_url
        self._environment = environment
        self._count = 0
        self._started: list[Managed] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kill_marked(self.mark)
        for managed in self._started:
            managed.process.wait()

    def start(self, *command: str | int | float, **environment: str) -> Managed:
        """Start ``python <command>`` in a session of its own, as the engine's role unless told otherwise."""
        self._count += 1
        log = self.folder / f"process-{self._count}.log"
        values: dict[str, Any] = {
            **os.environ,
            "DATABASE_URL": self._database_url or current_database_url(),
            "DJANGO_SETTINGS_MODULE": "execution_project.settings",
            "EXEC_DATABASE_ROLE": "exec_engine",
            "PYTHONUNBUFFERED": "1",
            **self._environment,
            **environment,
            MARK: self.mark,
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *map(str, command)],
                cwd=ROOT,
                env=values,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        managed = Managed(process, log)
        self._started.append(managed)
        return managed

    def manage(self, *command: str | int | float, **environment: str) -> Managed:
        """Start ``manage.py <command>``."""
        return self.start("manage.py", *command, **environment)

    def run(self, *command: str | int | float, timeout: float = 60.0, **environment: str) -> str:
        """Run ``manage.py <command>`` to its end and return its output; a failure fails the test."""
        managed = self.manage(*command, **environment)
        code = managed.process.wait(timeout)
        assert code == 0, managed.output()
        return managed.output()

    def living(self) -> list[int]:
        """The pids of everything that was started here and still lives."""
        return marked_pids(self.mark)
