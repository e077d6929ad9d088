"""Keep the private and market streams of every account with open books; a second one waits as a standby."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from exchanges.streams.fleet import Fleet
from execution_project.common.management_command import DatabaseCommand
from execution_project.stream_hints import handlers


class Command(DatabaseCommand):
    """``manage.py run_streams``: one per installation, more for standby."""

    help = __doc__ or ""

    def handle(self, *arguments: Any, **options: Any) -> None:
        """Run until SIGTERM."""
        asyncio.run(self._run())

    async def _run(self) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await Fleet(handlers()).run(stop)
