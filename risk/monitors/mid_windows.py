"""The mids of the last minute, by instrument: what control 23 measures. Stored, so that a restart knows them.

Kept in steps of five seconds with the lowest and highest mid of each, so a range is of the last 60 to 65 s.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from exchanges.models import Quote
from execution_project.common.clock import from_ms, to_ms
from execution_project.common.money import plain
from positions.models import Position
from risk.inputs import AHEAD, MAX_QUOTE_AGE
from risk.models import Limit, MidWindow, Reservation

WINDOW = timedelta(seconds=60)
STEP_MS = 5_000


@dataclass(frozen=True, slots=True)
class Bucket:
    """Lowest and highest mid of five seconds."""

    start: datetime
    low: Decimal
    high: Decimal


@dataclass(frozen=True, slots=True)
class Mids:
    """The buckets of one instrument within the window, oldest first."""

    mode: str
    exchange: str
    symbol: str
    buckets: tuple[Bucket, ...]


def added(buckets: Iterable[Bucket], at: datetime, mid: Decimal | None) -> tuple[Bucket, ...]:
    """The buckets with a mid of this moment (None: no usable price, which says nothing), without those too old."""
    start = from_ms(to_ms(at) // STEP_MS * STEP_MS)
    kept = tuple(bucket for bucket in buckets if bucket.start + timedelta(milliseconds=STEP_MS) > at - WINDOW)
    if mid is None:
        return kept
    if kept and kept[-1].start == start:
        last = kept[-1]
        return (*kept[:-1], Bucket(start, min(last.low, mid), max(last.high, mid)))
    return (*kept, Bucket(start, mid, mid))


def look_again(limits: list[Limit], now: datetime) -> list[Mids]:
    """Add the prices of this moment of every instrument that a limit is about; two statements, and one that writes
    where anything changed."""
    watched = list(_watched(limits, now))
    stored = {
        row.instrument_id: _buckets(row) for row in MidWindow.objects.filter(instrument__in=[q.pk for q in watched])
    }
    found, changed = [], []
    for quote in watched:
        before = stored.get(quote.pk, ())
        mid = None if quote.bid is None or quote.ask is None else (quote.bid + quote.ask) / 2
        after = added(before, now, mid)
        if after != before:
            changed.append(MidWindow(instrument_id=quote.pk, buckets=_as_json(after)))
        instrument = quote.instrument
        found.append(Mids(instrument.mode, instrument.exchange, instrument.symbol, after))
    if changed:
        changed.sort(key=lambda row: row.instrument_id)
        MidWindow.objects.bulk_create(
            changed, update_conflicts=True, unique_fields=["instrument"], update_fields=["buckets"]
        )
    return found


def stored_mids(mode: str, now: datetime) -> list[Mids]:
    """What is stored of a mode's instruments, as of now."""
    rows = MidWindow.objects.filter(instrument__mode=mode).select_related("instrument")
    return [Mids(mode, row.instrument.exchange, row.instrument.symbol, added(_buckets(row), now, None)) for row in rows]


def _watched(limits: list[Limit], now: datetime) -> QuerySet[Quote]:
    """Usable prices of the symbols that limits name, and under wider limits of those that we have traded or work in."""
    named, wide = Q(pk__in=[]), Q(pk__in=[])
    for limit in limits:
        of_mode = Q(instrument__mode=limit.mode)
        if limit.scope_kind == "symbol":
            named |= of_mode & Q(instrument__symbol=limit.scope_key)
        elif limit.scope_kind == "exchange":
            wide |= of_mode & Q(instrument__exchange=limit.scope_key)
        else:
            wide |= of_mode
    ours = Exists(Position.objects.filter(instrument=OuterRef("pk"))) | Exists(
        Reservation.objects.filter(
            live=True,
            mode=OuterRef("instrument__mode"),
            exchange=OuterRef("instrument__exchange"),
            symbol=OuterRef("instrument__symbol"),
        )
    )
    fresh = Quote.objects.filter(
        bid__gt=0, bid__lt=F("ask"), confirmed_at__gte=now - MAX_QUOTE_AGE, confirmed_at__lte=now + AHEAD
    )
    return fresh.filter(named | (wide & Q(ours))).select_related("instrument").order_by("pk")


def _buckets(row: MidWindow) -> tuple[Bucket, ...]:
    return tuple(Bucket(from_ms(start), Decimal(low), Decimal(high)) for start, low, high in row.buckets)


def _as_json(buckets: Iterable[Bucket]) -> list[list[int | str]]:
    return [[to_ms(bucket.start), plain(bucket.low), plain(bucket.high)] for bucket in buckets]
