"""Pauses: what the gate makes of them, streaks of losses and moving prices that set them, and how they end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from exchanges.models import Account, Instrument
from execution_project.common import clock
from execution_project.common.clock import ManualClock
from execution_project.common.models import Event
from execution_project.common.problems import Problem
from positions.models import RealisedPnl
from risk.controls import paused
from risk.facts import Paused
from risk.models import Alert, Limit, MidWindow, Pause, TradingState
from risk.monitors import loss_streak, mid_windows, volatility
from risk.monitors.loss_streak import Close
from risk.monitors.mid_windows import Bucket, added
from risk.pausing import pause
from risk.trading_state import propose_start
from tests.factories import (
    BY,
    AccountFactory,
    FillFactory,
    InstrumentFactory,
    LimitFactory,
    PositionFactory,
    QuoteFactory,
    StrategyFactory,
)
from tests.kills import WHY
from tests.risk.gate_inputs import NOW, inputs, sale

D = Decimal


@pytest.fixture
def moving() -> Iterator[ManualClock]:
    """A clock that the test moves."""
    manual = ManualClock(NOW)
    with clock.using(manual):
        yield manual


def limit(control: str, value: str, kind: str = "global", key: str = "", **values: Any) -> Limit:
    row: Limit = LimitFactory(control=control, value=D(value), scope_kind=kind, scope_key=key, **values)
    return row


# ---------------------------------------------------------------------------------------------------------- the gate


@pytest.mark.parametrize(("seconds", "outcome"), [(0.001, "breach"), (0, "pass"), (-1, "pass")])
def test_a_pause_denies_until_its_end_and_not_at_it(seconds: float, outcome: str) -> None:
    standing = Paused("max_losing_closes_1h", "account:main", NOW + timedelta(seconds=seconds), "losses")
    result = paused.evaluate(inputs(paused=(standing,)))
    assert (result.outcome, result.code) == (outcome, "COOLING_DOWN" if outcome == "breach" else "")


def test_of_several_pauses_the_last_to_end_is_told_and_exits_pass() -> None:
    rows = (
        Paused("max_losing_closes_1h", "account:main", NOW + timedelta(seconds=5), "losses"),
        Paused("max_range_1m", "symbol:BTCUSDT", NOW + timedelta(seconds=9), "it moved"),
    )
    result = paused.evaluate(inputs(paused=rows))
    assert (result.outcome, result.code) == ("breach", "VOLATILITY_PAUSE")
    assert "symbol:BTCUSDT is paused until 2026-05-01T12:00:09Z" in result.detail
    assert paused.evaluate(inputs(order=sale(), paused=rows)).outcome == "not_applicable"


@pytest.mark.django_db
def test_a_pause_is_set_once_never_drawn_out_and_at_most_a_day(moving: ManualClock) -> None:
    def set_for(seconds: int) -> Pause | None:
        length = timedelta(seconds=seconds)
        return pause("sandbox", "account", "main", control="c", length=length, reason="r", evidence={}, by=BY)

    assert set_for(0) is None
    first = set_for(10)
    assert first is not None
    assert set_for(100) is None
    moving.advance(timedelta(seconds=10))
    last = set_for(200_000)
    assert last is not None
    assert last.until - last.began_at == timedelta(days=1)
    told = Event.objects.filter(kind="trading.paused", subject_id="account:main").latest("id").evidence
    assert (told["until"], told["mode"]) == ("2026-05-02T12:00:10Z", "sandbox")


# ------------------------------------------------------------------------------------------------------- loss streaks


def closes(*realised: str, age: float = 1) -> list[Close]:
    return [Close("sandbox", "main", "", NOW - timedelta(seconds=age), D(value)) for value in realised]


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        (closes("-1", "-1"), (2, False)),
        (closes("-1", "-1", "-0.000000000000000001"), (3, True)),
        (closes("-1", "-1", "0"), (2, False)),
        (closes("-1", "-1", "-1", "-1"), (4, True)),
        (closes("-1", "-1", "-1", age=3599.999), (3, True)),
        (closes("-1", "-1", "-1", age=3600), (0, False)),
        (closes("-1", "-1", "-1", age=-1), (0, False)),
    ],
    ids=["under", "equal", "no loss", "over", "just inside", "just outside", "of the future"],
)
def test_a_streak_is_so_many_losing_closes_within_an_hour(rows: list[Close], found: tuple[int, bool]) -> None:
    assert loss_streak.evaluate(rows, NOW, D(3)) == found


def test_losses_up_to_the_end_of_a_pause_have_had_their_consequence() -> None:
    since = NOW - timedelta(seconds=10)
    assert loss_streak.evaluate(closes("-1", age=10), NOW, D(1), since) == (0, False)
    assert loss_streak.evaluate(closes("-1", age=9.999), NOW, D(1), since) == (1, True)


def losing_sale(account: Account, realised: str = "-5", **values: Any) -> None:
    """A sale that realised this, now."""
    fill = FillFactory(account=account, side="SELL", exchange_order_id=str(RealisedPnl.objects.count()))
    RealisedPnl.objects.create(
        **{
            "account": account,
            "asset": "BTC",
            "fill": fill,
            "instrument": fill.instrument,
            "role": "base",
            "at": clock.now(),
            "moment": "m",
            "quantity": D(1),
            "proceeds": D(100),
            "cost": D(100) - D(realised),
            "realised": D(realised),
            **values,
        }
    )


@pytest.mark.django_db
def test_a_streak_pauses_for_the_cool_down_and_ends_by_itself(moving: ManualClock) -> None:
    account = AccountFactory(name="main")
    limit("max_losing_closes_1h", "2", "account", "main")
    losing_sale(account)
    losing_sale(account, "5")
    losing_sale(account, is_pending=True)
    losing_sale(account, role="fee")
    losing_sale(AccountFactory())
    assert loss_streak.watch() == 0
    losing_sale(account)
    assert loss_streak.watch() == 1
    row = Pause.objects.get()
    assert (row.mode, row.scope_kind, row.scope_key, row.control) == (
        *("sandbox", "account", "main"),
        "max_losing_closes_1h",
    )
    assert row.until - row.began_at == timedelta(seconds=900), "cool_down is not set"
    assert loss_streak.watch() == 0
    moving.advance(timedelta(seconds=900))
    assert loss_streak.watch() == 0, "it is over, and the same losses do not count again"
    limit("cool_down", "60")
    limit("cool_down", "120", "account", "main")
    moving.advance(timedelta(seconds=1))
    losing_sale(account)
    assert loss_streak.watch() == 0
    losing_sale(account)
    assert loss_streak.watch() == 1
    latest = Pause.objects.latest("began_at")
    assert latest.until - latest.began_at == timedelta(seconds=120), "the longest that applies"
    assert not TradingState.objects.exists()


@pytest.mark.django_db
def test_a_strategys_streak_pauses_the_strategy_in_its_mode_alone() -> None:
    strategy, account = StrategyFactory(), AccountFactory()
    limit("max_losing_closes_1h", "1", "strategy", strategy.name)
    limit("max_losing_closes_1h", "1", "strategy", strategy.name, mode="live")
    losing_sale(account)
    assert loss_streak.watch() == 0
    losing_sale(account, strategy=strategy)
    assert loss_streak.watch() == 1
    assert Pause.objects.values_list("mode", "scope_kind", "scope_key").get() == ("sandbox", "strategy", strategy.name)


@pytest.mark.django_db
def test_a_streak_that_only_warns_is_told_once() -> None:
    account = AccountFactory(name="main")
    limit("max_losing_closes_1h", "1", "account", "main", enforcement="WARN")
    losing_sale(account)
    for _ in range(2):
        assert loss_streak.watch() == 0
    assert Event.objects.get(kind="monitor.warned").evidence["observed"] == "1"
    assert not Pause.objects.exists()


# --------------------------------------------------------------------------------------------------------- volatility


def bucket(low: str, high: str, age: float = 1) -> Bucket:
    return Bucket(NOW - timedelta(seconds=age), D(low), D(high))


@pytest.mark.parametrize(
    ("rows", "broken"),
    [
        ([bucket("100", "104.999999")], False),
        ([bucket("100", "105")], True),
        ([bucket("100", "105.000001")], True),
        ([bucket("105", "105", 50), bucket("100", "100")], True),
        ([bucket("100", "100")], False),
        ([], False),
    ],
    ids=["under", "equal", "over", "across buckets", "still", "no prices"],
)
def test_a_range_breaks_at_its_limit(rows: list[Bucket], broken: bool) -> None:
    assert volatility.evaluate(rows, D("0.05"))[1] is broken


def test_what_moved_before_the_end_of_a_pause_does_not_count() -> None:
    rows = [bucket("100", "100", 11), bucket("105", "105", 10)]
    assert volatility.evaluate(rows, D("0.05")) == (D("0.05"), True)
    assert volatility.evaluate(rows, D("0.05"), NOW - timedelta(seconds=10)) == (D(0), False)


def test_mids_are_kept_by_five_seconds_for_a_minute() -> None:
    rows: tuple[Bucket, ...] = ()
    for second, mid in ((0, "10"), (4.999, "12"), (5, "9"), (7, None), (8, "11")):
        rows = added(rows, NOW + timedelta(seconds=second), None if mid is None else D(mid))
    assert rows == (Bucket(NOW, D(10), D(12)), Bucket(NOW + timedelta(seconds=5), D(9), D(11)))
    assert added(rows, NOW + timedelta(seconds=64.999), None) == rows
    assert added(rows, NOW + timedelta(seconds=65), None) == rows[1:]
    assert added(rows, NOW + timedelta(seconds=70), None) == ()


def quoted(instrument: Instrument, mid: str) -> None:
    """The instrument's price, now."""
    QuoteFactory(instrument=instrument)
    type(instrument.quote).objects.filter(instrument=instrument).update(
        bid=D(mid) - 1, ask=D(mid) + 1, confirmed_at=clock.now()
    )


def moves(instrument: Instrument, *mids: str, by: ManualClock) -> list[int]:
    """What the monitor did at each price, a second apart."""
    found = []
    for mid in mids:
        quoted(instrument, mid)
        found.append(volatility.watch())
        by.advance(timedelta(seconds=1))
    return found


@pytest.mark.django_db
def test_a_first_move_pauses_and_a_second_within_the_hour_latches(moving: ManualClock) -> None:
    instrument, account = InstrumentFactory(), AccountFactory(name="main")
    PositionFactory(account=account, instrument=instrument)
    limit("max_range_1m", "0.05")
    limit("volatility_pause", "120", "exchange", "binance")
    assert moves(instrument, "60000", "61000", "63000", "66000", by=moving) == [0, 0, 1, 0]
    row = Pause.objects.get()
    assert (row.scope_kind, row.scope_key, row.control) == ("symbol", "BTCUSDT", "max_range_1m")
    assert row.until - row.began_at == timedelta(seconds=120)
    assert row.evidence["observed"] == "0.05"
    moving.advance(timedelta(seconds=122))
    assert moves(instrument, "60000", "62999", by=moving) == [0, 0], "it goes on by itself"
    assert moves(instrument, "63000", by=moving) == [1]
    state = TradingState.objects.get()
    assert (state.scope_kind, state.scope_key, state.state) == ("account", "main", "REDUCE_ONLY"), "no live symbol"
    assert state.tripped_by == "max_range_1m"
    assert Pause.objects.count() == 2, "who holds nothing of it does not begin now"


@pytest.mark.django_db
def test_a_symbol_that_moves_at_one_of_two_exchanges_is_told_once_and_until_it_rests(moving: ManualClock) -> None:
    moved, still = InstrumentFactory(), InstrumentFactory(exchange="btcturk")
    for row in (moved, still):
        PositionFactory(account=AccountFactory(exchange=row.exchange), instrument=row)
    limit("max_range_1m", "0.05", enforcement="WARN")
    quoted(still, "60000")
    assert moves(moved, "60000", "66000", "66000", "66000", by=moving) == [0, 0, 0, 0]
    told = Event.objects.filter(subject_type="monitor").order_by("id")
    assert [(event.kind, event.evidence["exchange"]) for event in told] == [("monitor.warned", "binance")]
    alert = Alert.objects.get()
    assert (alert.kind, alert.scope, alert.resolved_at) == ("warned", "symbol:BTCUSDT", None)
    moving.advance(timedelta(seconds=70))
    quoted(moved, "66000")
    volatility.watch()
    alert.refresh_from_db()
    assert alert.resolved_at == clock.now()
    assert [event.kind for event in told.all()] == ["monitor.warned", "monitor.cleared"]


@pytest.mark.django_db
def test_a_latch_holds_while_the_price_still_moves(moving: ManualClock) -> None:
    instrument = InstrumentFactory(mode="live")
    limit("max_range_1m", "0.05", "symbol", "BTCUSDT", mode="live")
    limit("volatility_pause", "1", mode="live")
    assert moves(instrument, "60000", "66000", by=moving) == [0, 1]
    moving.advance(timedelta(seconds=5))
    assert moves(instrument, "60000", "66000", by=moving) == [0, 1]
    state = TradingState.objects.get()
    assert (state.scope_kind, state.scope_key, state.latched) == ("symbol", "BTCUSDT", True)
    with pytest.raises(Problem) as held:
        propose_start("symbol", "BTCUSDT", reason=WHY, by=BY)
    assert held.value.members["held_by"] == ["BTCUSDT at binance moved by 0.1 within a minute, 0.05 is the limit."]
    moving.advance(timedelta(seconds=65))
    assert propose_start("symbol", "BTCUSDT", reason=WHY, by=BY).approved is None


@pytest.mark.django_db
def test_a_move_an_hour_after_the_last_pauses_again(moving: ManualClock) -> None:
    instrument = InstrumentFactory()
    limit("max_range_1m", "0.05", "symbol", "BTCUSDT")
    assert moves(instrument, "60000", "66000", by=moving) == [0, 1]
    moving.advance(timedelta(minutes=60) - timedelta(seconds=2))
    assert moves(instrument, "60000", "66000", by=moving) == [0, 1]
    assert Pause.objects.count() == 2
    assert not TradingState.objects.exists()


@pytest.mark.django_db
def test_a_missing_or_old_price_says_nothing_and_a_restart_forgets_nothing(moving: ManualClock) -> None:
    instrument = InstrumentFactory()
    limit("max_range_1m", "0.05", "symbol", "BTCUSDT")
    assert moves(instrument, "60000", by=moving) == [0]
    stored = MidWindow.objects.get().buckets
    moving.advance(timedelta(seconds=5.001))
    assert volatility.watch() == 0
    type(instrument.quote).objects.update(bid=None, confirmed_at=clock.now())
    assert volatility.watch() == 0
    assert MidWindow.objects.get().buckets == stored
    assert moves(instrument, "63000", by=moving) == [1]


@pytest.mark.django_db
def test_a_wide_limit_looks_at_what_we_trade_or_hold(moving: ManualClock) -> None:
    traded, other = InstrumentFactory(), InstrumentFactory(base_asset="ETH")
    PositionFactory(instrument=traded)
    for row in (traded, other):
        quoted(row, "60000")
    wide = limit("max_range_1m", "0.05")
    found = mid_windows.look_again([wide], clock.now())
    assert [row.symbol for row in found] == ["BTCUSDT"]
    named = limit("max_range_1m", "0.05", "symbol", "ETHUSDT")
    assert len(mid_windows.look_again([wide, named], clock.now())) == 2
