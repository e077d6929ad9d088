"""Database work and REST calls of the streams' process: on threads of their own, one after the other per lane.

The event loop never waits for the database. A lane keeps one connection; one that the database has dropped is closed,
and the next call opens another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import DatabaseError, InterfaceError, OperationalError, close_old_connections, connections

P = ParamSpec("P")
T = TypeVar("T")
OUTAGES = (OperationalError, InterfaceError)
"""What a database that is away raises; anything else is a statement's own fault."""


class Lanes:
    """Named threads, made when they are first used."""

    def __init__(self) -> None:
        self._lanes: dict[str, ThreadPoolExecutor] = {}

    async def call(self, lane: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``function`` in a lane, after what was asked of it before; its exception is raised here."""
        if lane not in self._lanes:
            self._lanes[lane] = ThreadPoolExecutor(1, thread_name_prefix=f"streams-{lane}")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._lanes[lane], lambda: _guarded(function, *args, **kwargs))

    def close(self) -> None:
        """Let every lane end what it is doing and close its connection."""
        for executor in self._lanes.values():
            executor.submit(connections.close_all)
        for executor in self._lanes.values():
            executor.shutdown(wait=True)
        self._lanes.clear()


def _guarded(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return function(*args, **kwargs)
    except (DatabaseError, InterfaceError):
        close_old_connections()
        raise
