"""The injected clock, and whole milliseconds both ways."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_project.common import clock

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_manual_clock_moves_only_when_told_and_both_times_together() -> None:
    with clock.using(clock.ManualClock(START)) as manual:
        before = clock.monotonic()
        assert clock.now() == clock.now() == START
        manual.advance(timedelta(seconds=1.5))
        assert clock.now() == START + timedelta(seconds=1.5)
        assert clock.monotonic() - before == 1.5


def test_the_former_clock_is_back_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), clock.using(clock.ManualClock(START)):
        raise ZeroDivisionError
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_the_system_clock_is_aware_and_utc() -> None:
    assert clock.now().utcoffset() == timedelta(0)


@given(st.integers(0, 253_402_300_799_999))
def test_milliseconds_are_exact_both_ways(milliseconds: int) -> None:
    assert clock.to_ms(clock.from_ms(milliseconds)) == milliseconds


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_milliseconds_are_rounded_down(moment: datetime) -> None:
    assert timedelta(0) <= moment - clock.from_ms(clock.to_ms(moment)) < timedelta(milliseconds=1)
