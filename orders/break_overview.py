"""Breaks in numbers: how many are open, how old they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Min, Q, QuerySet

from execution_project.common import clock
from orders.break_rules import AGES, NEW, SEVERE, bucket_of
from orders.breaks import LISTED, age_of
from orders.models import Break


@dataclass(frozen=True, slots=True)
class Overview:
    """Open breaks in numbers: how many, how many of them block, since when the oldest, and how many of each age."""

    open: int
    severe: int
    oldest_opened_at: datetime | None
    by_age: dict[str, int]


def overview_of(rows: QuerySet[Break]) -> Overview:
    """The numbers of those of these breaks that are open; one query."""
    now = clock.now()
    ends = [None, *(now - least for least in AGES.values()), None]
    counts = {
        name: Count("id", filter=_opened_between(ends[place + 1], ends[place]))
        for place, name in enumerate((NEW, *AGES))
    }
    numbers = (
        rows.filter(status__in=LISTED)
        .order_by()
        .aggregate(
            all=Count("id"), severe=Count("id", filter=Q(severity__in=SEVERE)), oldest=Min("opened_at"), **counts
        )
    )
    return Overview(numbers["all"], numbers["severe"], numbers["oldest"], {name: numbers[name] for name in counts})


def _opened_between(after: datetime | None, until: datetime | None) -> Q:
    """Opened after the one moment and at the other or before; None is no bound."""
    chosen = Q(opened_at__isnull=False)
    if after is not None:
        chosen &= Q(opened_at__gt=after)
    return chosen if until is None else chosen & Q(opened_at__lte=until)


def age_bucket_of(row: Break) -> str:
    """The bucket of its age: new, 1m, 15m, 1h or 1d."""
    return bucket_of(age_of(row))
