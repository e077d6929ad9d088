"""The systemd units start what the supervisor starts, and leave running tasks their time."""

from __future__ import annotations

import re
from configparser import RawConfigParser
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands

from execution_project.supervisor import CLUSTER_STOP_SLACK_S
from tests.server import ROOT

UNITS = ROOT / "execution_project" / "systemd"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))


def lines(path: Path, key: str) -> list[str]:
    """All values of a key, which a unit may repeat."""
    return [
        line.partition("=")[2] for line in path.read_text(encoding="utf-8").splitlines() if line.startswith(f"{key}=")
    ]


def test_the_target_wants_every_service_and_every_queue() -> None:
    wanted = {name for line in lines(UNITS / "exec-engine.target", "Wants") for name in line.split()}
    clusters = {f"exec-cluster@{queue}.service" for queue in settings.EXEC_QUEUES}
    assert wanted == (set(SERVICES) - {"exec-cluster@.service", "exec-migrate.service"}) | clusters


@pytest.mark.parametrize("name", SERVICES)
def test_a_unit_can_be_read_and_names_commands_that_exist(name: str) -> None:
    RawConfigParser(strict=False).read_string((UNITS / name).read_text(encoding="utf-8"))
    starts = lines(UNITS / name, "ExecStart")
    assert starts
    for start in starts:
        found = re.search(r"manage\.py (\w+)", start)
        assert found is None or found[1] in get_commands()
    assert "EXEC_ENV=production" in lines(UNITS / name, "Environment")


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "exec-migrate.service"])
def test_a_stop_reaches_the_main_process_alone_and_waits_for_running_tasks(name: str) -> None:
    assert lines(UNITS / name, "KillMode") == ["mixed"]
    longest = max(queue["timeout"] for queue in settings.EXEC_QUEUES.values()) + CLUSTER_STOP_SLACK_S
    if "cluster" in name:
        assert int(lines(UNITS / name, "TimeoutStopSec")[0]) >= longest
