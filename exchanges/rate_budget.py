"""The rate budget that all processes share through PostgreSQL: windows are counted before a request, never after.

Windows are fixed and aligned to the clock (docs/binance.md §6). A part of each is kept for cancels and probes. A
pause that an exchange imposed (Retry-After, ban) is stored per host and holds for every process and restart. A ban
stops even cancels and probes, so it raises the highest alarm, and they are the first to go when it ends.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import connection, transaction

from exchanges.adapters import Cost
from exchanges.models import HostPause
from execution_project.common import clock
from execution_project.common.actors import engine
from execution_project.common.events import record

log = logging.getLogger(__name__)

# One statement for all windows of a call, in the order given: they are the hottest rows there are, and locked no longer
# than it takes.
_TAKE = """
WITH wanted AS (
  SELECT * FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::bigint[], %s::bigint[])
    WITH ORDINALITY AS each (subject, kind, window_start, units, most, place))
INSERT INTO exchanges_ratewindow AS known (subject, kind, window_start, used)
SELECT subject, kind, window_start, units FROM wanted WHERE units <= most ORDER BY place
ON CONFLICT (subject, kind, window_start) DO UPDATE SET used = known.used + excluded.used
 WHERE known.used + excluded.used
       <= (SELECT most FROM wanted w WHERE w.subject = excluded.subject AND w.kind = excluded.kind)
RETURNING subject, kind
"""


@dataclass(frozen=True, slots=True)
class Window:
    """One limit: at most ``limit`` units of ``kind`` in each window of ``length``."""

    kind: str
    length: timedelta
    limit: int


# docs/binance.md §6: weight is counted per address, orders per account.
WEIGHT = Window("weight_1m", timedelta(minutes=1), 6000)
RAW = Window("raw_5m", timedelta(minutes=5), 300_000)
"""Requests whatever they weigh, of the hosts that count weight."""
ORDER_WINDOWS = (Window("orders_10s", timedelta(seconds=10), 100), Window("orders_1d", timedelta(days=1), 200_000))
RESERVED_PERCENT = 20
AFTER_BAN = timedelta(seconds=2)
"""So much longer than a ban everything waits but cancels and probes: the ticks that ring these again come every second
at the latest."""
NEW_WINDOW = timedelta(seconds=2)
"""So early in a window an answer may still count the one before, the day's among them."""
TOLD_AGAIN = timedelta(minutes=1)
"""A ban that goes on so much longer than was said is an alarm again."""


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

    ``urgent`` (cancels, probes) may use the reserve; only a pause of the host stops it. What is not urgent waits
    ``AFTER_BAN`` longer than a ban.
    """
    now = clock.now()
    pause = HostPause.objects.filter(host=host, until__gt=now - AFTER_BAN).first()
    if pause is not None:
        until = pause.until if urgent or not pause.banned else pause.until + AFTER_BAN
        if until > now:
            return Refused(until, pause.reason)
    wanted = [(host, WEIGHT, cost.weight), (host, RAW, min(cost.weight, 1))]
    wanted += [(account, window, cost.orders) for window in ORDER_WINDOWS]
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
            _take_all([each for each in wanted if each[2]], now, urgent)
    except _NoRoom as full:
        return Refused(full.window_end, f"{full.kind} used up")
    return None


class _NoRoom(Exception):
    def __init__(self, kind: str, window_end: datetime) -> None:
        super().__init__(kind)
        self.kind = kind
        self.window_end = window_end


def _take_all(wanted: list[tuple[str, Window, int]], now: datetime, urgent: bool) -> None:
    """Raises ``_NoRoom`` for the first window that has none; the caller's transaction then gives back the others."""
    if not wanted:
        return
    subjects = [subject for subject, _, _ in wanted]
    kinds = [window.kind for _, window, _ in wanted]
    starts = [_start(now, window.length) for _, window, _ in wanted]
    units = [units for _, _, units in wanted]
    percent = 100 if urgent else 100 - RESERVED_PERCENT
    limits = [window.limit * percent // 100 for _, window, _ in wanted]
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [subjects, kinds, starts, units, limits])
        taken = set(cursor.fetchall())
    for (subject, window, _), start in zip(wanted, starts, strict=True):
        if (subject, window.kind) not in taken:
            raise _NoRoom(window.kind, start + window.length)


def pause(host: str, for_ms: int, *, reason: str, banned: bool = False) -> None:
    """Remember that the exchange wants no request to ``host`` for ``for_ms``; a longer pause is never shortened, and a
    ban stays a ban until its end. A ban is recorded as an event of severity critical, once."""
    now = clock.now()
    until = now + timedelta(milliseconds=for_ms)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO exchanges_hostpause (host, until, banned, reason) VALUES (%s, %s, false, '')"
                " ON CONFLICT (host) DO NOTHING",
                [host, now],
            )
        row = HostPause.objects.select_for_update(no_key=True).get(host=host)
        was_banned = row.banned and row.until > now
        new = banned and (not was_banned or until >= row.until + TOLD_AGAIN)
        if new or (until > row.until and not was_banned):
            row.reason = reason[:256]
        row.banned = banned or was_banned
        row.until = max(row.until, until)
        row.save()
        if new:
            evidence = {"severity": "critical", "until": clock.rfc3339(row.until), "reason": row.reason}
            record("host.banned", "host", host, engine("rate budget", "the exchange banned us"), evidence=evidence)
    if new:
        log.critical(sentence_of(row))


def silent_until(host: str) -> datetime | None:
    """Until when nothing at all may go to the host, not even what is urgent; None when it may now."""
    return HostPause.objects.filter(host=host, until__gt=clock.now()).values_list("until", flat=True).first()


def sentence_of(pause: HostPause) -> str:
    """What a pause means to people, with the time it ends."""
    if pause.banned:
        what = f"{pause.host} is banned until {pause.until:%FT%TZ}: nothing goes there, not even cancels and probes"
    else:
        what = f"{pause.host} is paused until {pause.until:%FT%TZ}"
    return f"{what} ({pause.reason})"


def correct_from_exchange(subject: str, window: Window, used: int | None) -> None:
    """Raise our count to the exchange's own when other programs use the same address (weight: ``subject`` is the host)
    or the same account (orders: its name). None: the answer did not say."""
    now = clock.now()
    start = _start(now, window.length)
    if used is None or now - start < NEW_WINDOW:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO exchanges_ratewindow (subject, kind, window_start, used) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (subject, kind, window_start) DO UPDATE SET"
            " used = greatest(exchanges_ratewindow.used, excluded.used)",
            [subject, window.kind, start, used],
        )


def prune() -> int:
    """Drop windows that ended two days ago."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM exchanges_ratewindow WHERE window_start < %s", [clock.now() - timedelta(days=2)])
        return int(cursor.rowcount)
