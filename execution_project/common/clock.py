"""The injected clock: business code asks here for the time, tests and replays put another clock in its place."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Wall time (aware, UTC) and monotonic time (s)."""

    def now(self) -> datetime:
        """Current wall time, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...

    def sleep(self, by: timedelta) -> None:
        """Let that much time pass on this clock."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """Current wall time, aware, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """``time.monotonic()``."""
        return time.monotonic()

    def sleep(self, by: timedelta) -> None:
        """Wait."""
        time.sleep(by.total_seconds())


class ManualClock:
    """A clock that moves only when told to; both times move together."""

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._monotonic = 1000.0

    def now(self) -> datetime:
        """The time it was last set to."""
        return self._now

    def monotonic(self) -> float:
        """Seconds, moving with ``advance``."""
        return self._monotonic

    def advance(self, by: timedelta) -> None:
        """Move forward by ``by``."""
        self._now += by
        self._monotonic += by.total_seconds()

    def sleep(self, by: timedelta) -> None:
        """Move forward at once."""
        self.advance(by)


_clock: Clock = SystemClock()


def now() -> datetime:
    """Current wall time of the clock in use, aware, UTC."""
    return _clock.now()


def now_ms() -> int:
    """Current wall time in whole ms since the epoch."""
    return to_ms(_clock.now())


def monotonic() -> float:
    """Monotonic seconds of the clock in use."""
    return _clock.monotonic()


def sleep(by: timedelta) -> None:
    """Let time pass on the clock in use: the machine's waits, one that moves by hand jumps."""
    if by > timedelta(0):
        _clock.sleep(by)


def to_ms(moment: datetime) -> int:
    """Whole milliseconds since the epoch, rounded down, exact."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def from_ms(milliseconds: int) -> datetime:
    """The aware UTC time of ``milliseconds`` since the epoch, exact."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


def rfc3339(moment: datetime) -> str:
    """An aware UTC time as RFC 3339 with a final Z."""
    return moment.isoformat().replace("+00:00", "Z")


@contextmanager
def using(clock: Clock) -> Iterator[Clock]:
    """Put another clock in place for a block (tests, replay); process-wide."""
    global _clock
    before = _clock
    _clock = clock
    try:
        yield clock
    finally:
        _clock = before
