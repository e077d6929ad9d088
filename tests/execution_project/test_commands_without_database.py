"""A command that needs the database says what to do when there is none, and a cluster how its queue is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command


@pytest.mark.parametrize("command", [["run_ticker"], ["run_cluster", "cancel-binance"]])
def test_command_without_a_database_says_make_run(settings: Any, command: list[str]) -> None:
    settings.EXEC_DATABASE_CONFIGURED = False
    with pytest.raises(CommandError, match="make run"):
        call_command(*command)


def test_a_cluster_whose_queue_is_not_named_first_does_not_start() -> None:
    ended = subprocess.run(
        [sys.executable, "manage.py", "run_cluster", "--beat-every", "5", "cancel-binance"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "DATABASE_URL": "postgres://nobody:nothing@127.0.0.1:1/none"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, "manage.py run_cluster cancel-binance [options]" in ended.stderr) == (2, True), ended
