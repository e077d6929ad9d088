"""A command that needs the database says what to do when there is none."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError, call_command


@pytest.mark.parametrize("command", [["run_ticker"], ["run_cluster", "cancel-binance"]])
def test_command_without_a_database_says_make_run(settings: Any, command: list[str]) -> None:
    settings.EXEC_DATABASE_CONFIGURED = False
    with pytest.raises(CommandError, match="make run"):
        call_command(*command)
