"""``manage.py exchange_simulator``: the exchange on this machine, for first steps, tests and rehearsed incidents."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser


def simulator_command(options: dict[str, Any]) -> list[str]:
    """The simulator's own command line for these options."""
    command = [sys.executable, "-m", "exchanges.simulator"]
    for name in ("port", "host", "data_dir", "seed"):
        command += [f"--{name.replace('_', '-')}", str(options[name])]
    return command + [f"--{name.replace('_', '-')}" for name in ("frozen", "short_bounds") if options[name]]


class Command(BaseCommand):
    """Becomes the simulator's own process, which knows nothing of Django (docs/simulator.md)."""

    help = "Run the exchange simulator (Binance and BTCTurk protocols on loopback)."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """The simulator's own options."""
        parser.add_argument("--port", type=int, default=settings.EXEC_SIMULATOR_PORT)
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--data-dir", default=str(Path(settings.EXEC_DATA_DIR) / "simulator"))
        parser.add_argument("--seed", type=int, default=7)
        parser.add_argument("--frozen", action="store_true", help="the market moves only by the control API")
        parser.add_argument("--short-bounds", action="store_true", help="short times until an absence is proven")

    def handle(self, *args: Any, **options: Any) -> None:
        """Replace this process, so that signals reach the simulator itself."""
        command = simulator_command(options)
        sys.stdout.flush()
        os.chdir(settings.BASE_DIR)
        os.execv(command[0], command)  # noqa: S606  no shell, fixed program
