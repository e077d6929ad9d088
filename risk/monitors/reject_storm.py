"""Control 17, reject and error storm: an exchange that keeps refusing, or keeps leaving us without an answer."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from risk.monitors.acting import reached

NUMBER = 17
REJECTS, UNKNOWN = "max_rejects_60s", "max_unknown_60s"
WINDOW = timedelta(seconds=60)


def evaluate(answered: Iterable[datetime], now: datetime, limit: Decimal) -> tuple[int, bool]:
    """How many of these answers came in ``(now − 60 s, now]``, and whether they are at least the limit."""
    count = sum(now - WINDOW < moment <= now for moment in answered)
    return count, reached(count, limit)
