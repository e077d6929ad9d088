"""The rate budget that all processes share through PostgreSQL: windows are counted before a request, never after.

Windows are fixed and aligned to the clock (docs/binance.md §6). A part of each is kept for cancels and probes. A
pause that an exchange imposed (Retry-After, ban) is stored per host and holds for every process and restart.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import connection, transaction

from exchanges.adapters import Cost
from exchanges.models import HostPause
from execution_project.common import clock


@dataclass(frozen=True, slots=True)
class Window:
    """One limit: at most ``limit`` units of ``kind`` in each window of ``length``."""

    kind: str
    length: timedelta
    limit: int


# docs/binance.md §6: weight is counted per address, orders per account.
WEIGHT = Window("weight_1m", timedelta(minutes=1), 6000)
ORDER_WINDOWS = (Window("orders_10s", timedelta(seconds=10), 100), Window("orders_1d", timedelta(days=1), 200_000))
RESERVED_PERCENT = 20


@dataclass(frozen=True, slots=True)
class Refused:
    """No budget: nothing may be sent before ``not_before``."""

    not_before: datetime
    reason: str


def _start(now: datetime, length: timedelta) -> datetime:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return now - (now - epoch) % length


def take(host: str, account: str, cost: Cost, *, urgent: bool = False) -> Refused | None:
    """Take ``cost`` from every window concerned, or nothing at all; None when granted.

    ``urgent`` (cancels, probes) may use the reserve; only a pause of the host stops it.
    """
    now = clock.now()
    pause = HostPause.objects.filter(host=host, until__gt=now).first()
    if pause is not None:
        return Refused(pause.until, pause.reason)
    wanted = [(host, WEIGHT, cost.weight)] + [(account, window, cost.orders) for window in ORDER_WINDOWS]
    # Windows that an exchange opens with the first call are counted by the clock here: half the limit in each keeps any
    # stretch of that length within the whole.
    wanted += [
        (
            account if window.per_account else host,
            Window(window.kind, timedelta(seconds=window.seconds), window.limit // 2),
            1,
        )
        for window in cost.windows
    ]
    try:
        with transaction.atomic():
            for subject, window, units in wanted:
                if units:
                    _take_one(subject, window, units, now, urgent)
    except _NoRoom as full:
        return Refused(full.window_end, f"{full.kind} used up")
    return None


class _NoRoom(Exception):
    def __init__(self, kind: str, window_end: datetime) -> None:
        super().__init__(kind)
        self.kind = kind
        self.window_end = window_end


def _take_one(subject: str, window: Window, units: int, now: datetime, urgent: bool) -> None:
    start = _start(now, window.length)
    limit = window.limit if urgent else window.limit * (100 - RESERVED_PERCENT) // 100
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO exchanges_ratewindow (subject, kind, window_start, used) SELECT %s, %s, %s, %s WHERE %s <= %s"
            " ON CONFLICT (subject, kind, window_start) DO UPDATE SET used = exchanges_ratewindow.used + excluded.used"
            " WHERE exchanges_ratewindow.used + excluded.used <= %s",
            [subject, window.kind, start, units, units, limit, limit],
        )
        if cursor.rowcount != 1:
            raise _NoRoom(window.kind, start + window.length)


def pause(host: str, for_ms: int, *, reason: str, banned: bool = False) -> None:
    """Remember that the exchange wants no request to ``host`` for ``for_ms``; a longer pause is never shortened."""
    until = clock.now() + timedelta(milliseconds=for_ms)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO exchanges_hostpause (host, until, banned, reason) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (host) DO UPDATE SET until = excluded.until, banned = excluded.banned,"
            " reason = excluded.reason WHERE exchanges_hostpause.until < excluded.until",
            [host, until, banned, reason[:256]],
        )


def correct_from_exchange(host: str, used_weight: int | None) -> None:
    """Raise our count to the exchange's own when other programs use the same address."""
    if used_weight is None:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO exchanges_ratewindow (subject, kind, window_start, used) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (subject, kind, window_start) DO UPDATE SET"
            " used = greatest(exchanges_ratewindow.used, excluded.used)",
            [host, WEIGHT.kind, _start(clock.now(), WEIGHT.length), used_weight],
        )


def prune() -> int:
    """Drop windows that ended two days ago."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM exchanges_ratewindow WHERE window_start < %s", [clock.now() - timedelta(days=2)])
        return int(cursor.rowcount)
