"""One embedded PostgreSQL for all test runs of this checkout, or the server that ``DATABASE_URL`` names.

The first session starts the server and the last one to end stops it; sessions know of each other by a shared file
lock, which the kernel takes back from a killed one. Every session has databases of its own, named after its pid.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import IO

import psutil
import psycopg
from psycopg import sql

from execution_project.postgres import EmbeddedPostgres

ROOT = Path(__file__).resolve().parent.parent


def data_dir() -> Path:
    """``EXEC_DATA_DIR``/test if set; else a folder for this user and checkout, never under a private home."""
    if "EXEC_DATA_DIR" in os.environ:
        return Path(os.environ["EXEC_DATA_DIR"]) / "test"
    mark = hashlib.sha256(f"{os.getuid()}:{ROOT}".encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"execution-engine-test-{mark}"


class TestServer:
    """The session's hold on the shared server."""

    __test__ = False

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._postgres = EmbeddedPostgres(folder / "postgres", durable=False)
        self._hold: IO[str] | None = None

    def start(self) -> str:
        """Start or join; returns the URL of this session's database, which need not exist."""
        with (self._folder / "start.lock").open("w") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            self._hold = (self._folder / "users.lock").open("w")
            fcntl.flock(self._hold, fcntl.LOCK_SH)
            self._postgres.start()
            self._drop_leftovers()
        return self._postgres.url(f"exec_{os.getpid()}")

    def stop(self) -> None:
        """Stop the server unless another session uses it."""
        if self._hold is None:
            return
        with (self._folder / "start.lock").open("w") as stopping:
            fcntl.flock(stopping, fcntl.LOCK_EX)
            try:
                fcntl.flock(self._hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                self._postgres.stop()
            self._hold.close()
            self._hold = None

    def _drop_leftovers(self) -> None:
        """Databases of sessions that were killed."""
        with psycopg.connect(self._postgres.url("postgres"), autocommit=True) as connection:
            for (name,) in connection.execute("SELECT datname FROM pg_database").fetchall():
                owner = re.match(r"(?:test_)?exec_(\d+)", name)
                if owner and not psutil.pid_exists(int(owner[1])):
                    connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
