"""``manage.py exchange_simulator`` is the simulator itself."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from tests.processes import Processes
from tests.waiting import wait_until


@pytest.mark.django_db
def test_the_command_serves_both_exchanges_and_ends_on_sigterm(processes: Processes, tmp_path: Path) -> None:
    running = processes.manage("exchange_simulator", "--port", 0, "--data-dir", tmp_path / "simulator", "--frozen")
    line = wait_until(lambda: "listening on" in running.output() and running.output(), 30, "the simulator to listen")
    url = line.strip().rsplit(" ", 1)[-1]
    for path, member in (("/api/v3/time", "serverTime"), ("/api/v2/server/time", "serverTime")):
        with urllib.request.urlopen(url + path, timeout=5) as answer:
            assert member in json.loads(answer.read())
    assert running.terminate() == 0
