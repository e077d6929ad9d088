"""Which versions of the engine run on this database, as its processes say themselves."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from datetime import timedelta

from django.db import DatabaseError, InterfaceError, connection

from exchanges.models import ProcessVersion
from execution_project.common import clock
from execution_project.common.version import version

SEEN_WITHIN = timedelta(seconds=60)
KEPT = timedelta(days=1)
EVERY_S = 5.0
_last: dict[str, float] = {}


def announce(kind: str) -> None:
    """Say that a process of this kind runs this version; at most every 5 s, however often it is called."""
    name = f"{kind}@{socket.gethostname()}:{os.getpid()}"[:128]
    now = time.monotonic()
    if now - _last.get(name, -EVERY_S) < EVERY_S:
        return
    _last[name] = now
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO exchanges_processversion (process, version, seen_at) VALUES (%s, %s, %s)"
            " ON CONFLICT (process) DO UPDATE SET version = excluded.version, seen_at = excluded.seen_at",
            [name, version(), clock.now()],
        )


def announce_always(kind: str) -> None:
    """The same for as long as the process lives, from a thread of its own, for processes without a beat."""

    def repeat() -> None:
        while True:
            with suppress(DatabaseError, InterfaceError):
                announce(kind)
            connection.close()
            time.sleep(EVERY_S)

    threading.Thread(target=repeat, name="version", daemon=True).start()


def running() -> dict[str, set[str]]:
    """Version to the processes that were heard of it within a minute."""
    found: dict[str, set[str]] = {}
    for row in ProcessVersion.objects.filter(seen_at__gte=clock.now() - SEEN_WITHIN):
        found.setdefault(row.version, set()).add(row.process)
    return found


def prune_versions() -> int:
    """Forget processes of yesterday; how many."""
    return ProcessVersion.objects.filter(seen_at__lt=clock.now() - KEPT).delete()[0]
