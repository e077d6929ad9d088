"""The embedded server starts after whatever an unclean stop left behind, and really stops."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import environ
import psutil
import psycopg
import pytest

from execution_project.postgres import EmbeddedPostgres

pytestmark = pytest.mark.drill


@pytest.fixture
def postgres() -> Iterator[EmbeddedPostgres]:
    folder = Path(tempfile.mkdtemp(prefix="exec-pg-"))
    server = EmbeddedPostgres(folder / "postgres")
    yield server
    server.stop("immediate")
    shutil.rmtree(folder)


def ask(server: EmbeddedPostgres, question: str) -> str:
    with psycopg.connect(server.url("postgres")) as connection:
        return str(connection.execute(question).fetchone()[0])


def test_settings_url_stop_and_start_after_a_crash(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    assert ask(postgres, "SHOW max_connections") == "300"
    assert ask(postgres, "SHOW fsync") == "on"
    given = environ.Env.db_url_config(postgres.url("execution"))
    assert given["OPTIONS"]["host"] == str(postgres.folder)

    # a second user adopts the running server
    other = EmbeddedPostgres(postgres.folder)
    other.start()
    with psycopg.connect(other.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute("INSERT INTO kept VALUES (1)")

    # killed, and its pid file names a process that lives: this one
    postgres._postmaster().kill()
    pid_file = postgres.folder / "postmaster.pid"
    pid_file.write_text("\n".join([str(os.getpid()), *pid_file.read_text().splitlines()[1:]]) + "\n")
    assert not postgres.is_running()
    postgres.start()
    assert ask(postgres, "SELECT n FROM kept") == "1"

    EmbeddedPostgres(postgres.folder).stop()
    assert not postgres.is_running()
    assert not postgres._processes()


def test_a_start_whose_program_is_killed_is_begun_again(postgres: EmbeddedPostgres) -> None:
    killed = threading.Event()

    def kill_the_first_starter() -> None:
        while not killed.is_set():
            for process in psutil.process_iter():
                with suppress(psutil.Error):
                    words = process.cmdline()
                    if words and words[0].endswith("pg_ctl") and str(postgres.folder) in words and "start" in words:
                        process.kill()
                        killed.set()
                        return

    thread = threading.Thread(target=kill_the_first_starter)
    thread.start()
    try:
        postgres.start()
        assert killed.is_set()
    finally:
        killed.set()
        thread.join()
    assert ask(postgres, "SELECT 1") == "1"
