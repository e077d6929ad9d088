"""``make run``'s process: one per data folder, leaves nothing behind, cleans up after a killed one."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from execution_project.postgres import EmbeddedPostgres
from execution_project.processes import kill_marked, marked_pids
from tests.processes import ROOT, Managed
from tests.waiting import wait_until

pytestmark = [pytest.mark.drill, pytest.mark.timeout(240), pytest.mark.xdist_group("engines")]

PARTS = (
    "static",
    "seed",
    "demo",
    "simulator",
    "submit-binance",
    "submit-btcturk",
    "cancel-binance",
    "cancel-btcturk",
    "probe-binance",
    "probe-btcturk",
    "housekeeping-binance",
    "housekeeping-btcturk",
    "streams",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Engine:
    """Supervisors over one data folder: web, ticker and one cluster only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._count = 0

    def start(self) -> Managed:
        self._count += 1
        log = self.folder / f"supervisor-{self._count}.log"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DATABASE_URL")}
        environment |= {
            "DJANGO_SETTINGS_MODULE": "execution_project.settings",
            "EXEC_DATA_DIR": str(self.folder),
            "EXEC_DATABASE_ROLE": "exec_engine",
            "EXEC_PORT": str(self.port),
            "EXEC_WEB_WORKERS": "1",
        }
        command = [sys.executable, "-m", "execution_project.supervisor"]
        for part in PARTS:
            command += ["--without", part]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        return Managed(process, log)

    def is_up(self, supervisor: Managed) -> None:
        wait_until(
            lambda: "Running at" in supervisor.output() or supervisor.process.poll() is not None,
            90,
            f"the engine is up: {supervisor.output()}",
        )
        assert "Running at" in supervisor.output(), supervisor.output()

    def left(self) -> list[int]:
        return marked_pids(str(self.folder))


@pytest.fixture
def engine() -> Iterator[Engine]:
    folder = Path(tempfile.mkdtemp(prefix="exec-supervisor-")).resolve()
    engine = Engine(folder)
    yield engine
    kill_marked(str(folder))
    if (folder / "postgres").is_dir():
        EmbeddedPostgres(folder / "postgres").stop("immediate")
    shutil.rmtree(folder)


def test_life_of_a_supervisor(engine: Engine) -> None:
    first = engine.start()
    engine.is_up(first)
    url_file = engine.folder / "run" / "database-url"
    assert url_file.stat().st_mode & 0o777 == 0o600

    with pytest.raises(urllib.error.HTTPError) as answer:
        urllib.request.urlopen(f"http://127.0.0.1:{engine.port}/nowhere", timeout=10)
    assert answer.value.code == 404

    second = engine.start()
    assert second.process.wait(30) == 1
    assert f"process {first.pid}" in second.output()

    # a dead child is started again, alone
    before = set(engine.left())
    # the supervisor's own child, not one of the workers that it answers for
    children = psutil.Process(first.pid).children()
    victim = next(child.pid for child in children if "gunicorn" in " ".join(child.cmdline()))
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: "web ended with exit code" in first.output(), 20, "the death is noticed")

    # killed itself: the next start finds nothing of it alive, whatever the kernel left
    first.kill()
    third = engine.start()
    engine.is_up(third)
    assert not before & set(engine.left())

    third.process.send_signal(signal.SIGINT)
    assert third.process.wait(60) == 0
    assert engine.left() == []
    assert not EmbeddedPostgres(engine.folder / "postgres").is_running()
    assert not url_file.exists()


def test_taken_port_is_explained(engine: Engine) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", engine.port))
        taken.listen()
        supervisor = engine.start()
        assert supervisor.process.wait(30) == 1
    assert f"EXEC_PORT={engine.port + 1} make run" in supervisor.output()
    assert engine.left() == []
