"""The times that calls of an adapter take."""

from __future__ import annotations

import time


def now() -> int:
    """Epoch milliseconds, as stamps and reads count."""
    return int(time.time() * 1000)


def soon() -> float:
    """A moment to send by that no test misses."""
    return time.monotonic() + 5
