"""What was asked for within a window is the same whether its quarters of an hour were summed or not."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from execution_project.common import clock, ids
from execution_project.common.clock import ManualClock
from risk.models import Decision, DecisionSum, Exposure
from risk.usage import usage_of
from risk.windows import AT_ONCE, QUARTER, REACH, SETTLED_AFTER, sum_quarters, whole_quarter
from tests.factories import LimitFactory

pytestmark = pytest.mark.django_db
D = Decimal
START = datetime(2026, 11, 20, 9, 7, 31, tzinfo=UTC)
SCOPES = (("global", ""), ("account", "own"), ("strategy", "mine"), ("symbol", "ETHUSDT"), ("exchange", "btcturk"))
WINDOWS = {
    "max_turnover_1d": timedelta(days=1),
    "max_turnover_1h": timedelta(hours=1),
    "max_turnover_1m": timedelta(minutes=1),
    "max_order_rate_60s": timedelta(minutes=1),
}


def decided(at: datetime, worth: int | None = 7, *, own: bool = True, accepted: bool = True) -> Decision:
    return Decision(
        order_id=ids.uuid7(),
        accepted=accepted,
        results=[],
        inputs={},
        gate_seq=0,
        decided_at=at,
        actor="key:test",
        mode="sandbox",
        exchange="binance" if own else "btcturk",
        account_name="own" if own else "other",
        strategy="mine" if own else "",
        symbol="ETHUSDT" if own else "BTCTRY",
        side="BUY",
        notional=None if worth is None else D(worth),
    )


def by_hand(rows: list[Decision], control: str, kind: str, key: str, now: datetime) -> Decimal:
    """The rule, row by row."""
    within = [row for row in rows if now - WINDOWS[control] < row.decided_at]
    column = {"account": "account_name"}.get(kind, kind)
    mine = [row for row in within if kind == "global" or getattr(row, column) == key]
    if control == "max_order_rate_60s":
        return D(len(mine))
    return sum((row.notional or D(0) for row in mine if row.accepted), D(0))


def summed_whole() -> int:
    """Turns of the tick until nothing is left to sum."""
    turns = 0
    while sum_quarters():
        turns += 1
    return turns


def limits() -> None:
    for control in WINDOWS:
        for kind, key in SCOPES:
            LimitFactory(control=control, scope_kind=kind, scope_key=key, value=D(1000))


def used() -> dict[tuple[str, str, str], Decimal | None]:
    return {(u.limit.control, u.limit.scope_kind, u.limit.scope_key): u.used for u in usage_of("sandbox")}


def test_summed_or_not_a_window_holds_the_same() -> None:
    chance, moving = random.Random(7), ManualClock(START)
    with clock.using(moving):
        edges = [START - timedelta(days=1), START - timedelta(days=1) + timedelta(microseconds=1)]
        edges += [whole_quarter(START) - n * QUARTER for n in (0, 1, 2, 95, 96)]
        times = [START - chance.random() * timedelta(hours=26) for _ in range(400)]
        rows = [
            decided(at, chance.choice([None, 1, 20, 300]), own=chance.random() < 0.5, accepted=chance.random() < 0.8)
            for at in [*edges, *times]
        ]
        Decision.objects.bulk_create(rows)
        Exposure.objects.create(mode="sandbox")
        limits()
        for later in (timedelta(0), timedelta(minutes=9), timedelta(hours=3, minutes=1)):
            moving.advance(later)
            expected = {
                (control, kind, key): by_hand(rows, control, kind, key, clock.now())
                for control in WINDOWS
                for kind, key in SCOPES
            }
            assert used() == expected
            summed_whole()
            assert used() == expected
        assert DecisionSum.objects.count() > 90


def test_only_what_is_over_is_summed_and_once() -> None:
    moving = ManualClock(whole_quarter(START) + SETTLED_AFTER - timedelta(microseconds=1))
    with clock.using(moving):
        Exposure.objects.create(mode="sandbox")
        begin = whole_quarter(START) - QUARTER
        Decision.objects.bulk_create([decided(begin), decided(begin + QUARTER - timedelta(microseconds=1))])
        summed_whole()
        assert not DecisionSum.objects.exists(), "its quarter ended less than a minute ago"
        moving.advance(timedelta(microseconds=1))
        assert (sum_quarters(), sum_quarters()) == (1, 0)
        row = DecisionSum.objects.get()
        assert (row.begins, row.value, row.increasing, row.reducing) == (begin, 14, 2, 0)


def test_a_standstill_is_made_up_for_in_turns_and_only_as_far_as_a_window_reaches() -> None:
    moving = ManualClock(START)
    with clock.using(moving):
        Exposure.objects.create(mode="sandbox")
        Decision.objects.bulk_create([decided(START), decided(START + timedelta(days=9))])
        summed_whole()
        moving.advance(timedelta(minutes=20))
        summed_whole()
        assert DecisionSum.objects.count() == 1
        moving.advance(timedelta(days=9))
        assert summed_whole() == REACH // AT_ONCE + 1
        assert DecisionSum.objects.get().begins == whole_quarter(START + timedelta(days=9)), "older ones are gone"
        LimitFactory(control="max_turnover_1d", scope_kind="global", scope_key="", value=D(1000))
        assert set(used().values()) == {D(7)}
