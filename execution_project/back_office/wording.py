"""How pages put ages, capped counts and the words of a state."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

COUNTED_UP_TO = 100


def age_words(age: timedelta) -> str:
    """``12 s``, ``3 min``, ``5 h``, ``2 d``; a time to come counts as now."""
    seconds = max(int(age.total_seconds()), 0)
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds // 60} min"
    if seconds < 172_800:
        return f"{seconds // 3600} h"
    return f"{seconds // 86_400} d"


def age_of(moment: datetime | None, now: datetime) -> str:
    """Its age in words, ``never`` for None."""
    return "never" if moment is None else age_words(now - moment)


def capped_count(rows: QuerySet[Any, Any]) -> tuple[int, str]:
    """Rows counted no further than 100, and the words: ``7`` or ``100+``."""
    counted = rows.order_by()[: COUNTED_UP_TO + 1].count()
    return counted, f"{COUNTED_UP_TO}+" if counted > COUNTED_UP_TO else str(counted)


def number_of(words: str, noun: str) -> str:
    """``1 order``, ``100+ orders``."""
    return f"{words} {noun}" if words == "1" else f"{words} {noun}s"
