"""Reading series of equity: points as they are, or one per minute, hour or day with the extremes within."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db.models import Max, Min, Q, QuerySet
from django.db.models.functions import Trunc

from positions.models import EquityPoint

# Resolution of a curve: the unit of time that one point stands for, and its length.
RESOLUTIONS = {
    "1m": ("minute", timedelta(minutes=1)),
    "1h": ("hour", timedelta(hours=1)),
    "1d": ("day", timedelta(days=1)),
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LEAPS = 10


@dataclass(frozen=True, slots=True)
class Bucket:
    """One series in one stretch of time: the last point in it, and the extremes; None where nothing was complete."""

    began_at: datetime
    last: EquityPoint
    low_equity: Decimal | None
    high_equity: Decimal | None
    low_nav: Decimal | None
    high_nav: Decimal | None


def buckets(
    points: QuerySet[EquityPoint], resolution: str, *, limit: int, after: tuple[datetime, int] | None = None
) -> tuple[list[Bucket], bool]:
    """At most ``limit`` buckets in the order of time and series, and whether there are more.

    ``resolution``: a key of ``RESOLUTIONS``; buckets begin at full units of UTC. ``after``: begin and series id of the
    last bucket of the page before. Looks ``limit`` buckets of time ahead at once, so that a page costs the same however
    long the series is, and leaps over stretches without a point; after ten leaps a page may be short of ``limit``.
    """
    found: list[Bucket] = []
    more = True
    for _ in range(LEAPS):
        ahead, more = _ahead(points, resolution, limit - len(found), after)
        found += ahead
        if not more or len(found) >= limit:
            break
        after = (found[-1].began_at, found[-1].last.series_id)
    return found, more


def _ahead(
    points: QuerySet[EquityPoint], resolution: str, limit: int, after: tuple[datetime, int] | None
) -> tuple[list[Bucket], bool]:
    unit, length = RESOLUTIONS[resolution]
    if after is not None:
        began_at, series = after
        points = points.filter(Q(at__gte=began_at + length) | Q(at__gte=began_at, series__gt=series))
    first = points.order_by("at").values_list("at", flat=True).first()
    if first is None:
        return [], False
    # Whole buckets alone: one that is cut would be told twice.
    until = first - (first - _EPOCH) % length + length * limit
    rows = list(
        points.filter(at__lt=until)
        .order_by()
        .annotate(began_at=Trunc("at", unit))
        .values("began_at", "series")
        .annotate(
            last=Max("id"),
            lowest=Min("low_equity"),
            highest=Max("high_equity"),
            lowest_nav=Min("low_nav"),
            highest_nav=Max("high_nav"),
        )
        .order_by("began_at", "series")[: limit + 1]
    )
    more = len(rows) > limit or points.filter(at__gte=until).exists()
    last = EquityPoint.objects.select_related("series__account", "series__strategy").in_bulk(
        [row["last"] for row in rows[:limit]]
    )
    found = [
        Bucket(row["began_at"], last[row["last"]], row["lowest"], row["highest"], row["lowest_nav"], row["highest_nav"])
        for row in rows[:limit]
    ]
    return found, more
