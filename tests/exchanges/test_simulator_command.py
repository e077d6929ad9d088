"""``manage.py exchange_simulator`` is the simulator itself."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from exchanges.management.commands.exchange_simulator import Command, simulator_command
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


def test_the_commands_options_are_the_simulators_own() -> None:
    options = vars(Command().create_parser("manage.py", "exchange_simulator").parse_args(["--port", "1", "--frozen"]))
    assert simulator_command(options)[1:] == [
        *("-m", "exchanges.simulator", "--port", "1", "--host", "127.0.0.1"),
        *("--data-dir", options["data_dir"], "--seed", "7", "--frozen"),
    ]
