"""Call what has to happen every few seconds; a second one waits as a standby."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings

from execution_project.common.management_command import DatabaseCommand
from execution_project.ticker import Ticker, registered_boot, registered_ticks


class Command(DatabaseCommand):
    """``manage.py run_ticker``: one per installation, more for standby."""

    help = __doc__ or ""

    def handle(self, *arguments: Any, **options: Any) -> None:
        """Run until SIGTERM."""
        Ticker(registered_ticks(), registered_boot(), Path(settings.EXEC_HEARTBEAT_FILE)).run()
