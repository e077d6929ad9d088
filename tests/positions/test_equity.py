"""The series of equity: what each valuation leaves behind, and that neither flows, ticks, nor restarts bend it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from exchanges.models import Account, Quote
from exchanges.reports import Fee
from execution_project.common import clock
from execution_project.common.clock import ManualClock
from execution_project.common.locking import ordered
from execution_project.common.models import AppendOnlyError
from positions.booking import Booking, book_trades
from positions.equity import curve_of, thin_points, value_mode, value_what_is_due
from positions.models import (
    EquityPoint,
    EquitySeries,
    Holding,
    LedgerEntry,
    PendingRate,
    Posting,
    PostingKind,
    Valuation,
)
from positions.posting import Movement, book_opening, post
from tests.factories import (
    BY,
    AccountFactory,
    HoldingFactory,
    InstrumentFactory,
    QuoteFactory,
    StrategyFactory,
    trade_report,
)

pytestmark = pytest.mark.django_db

D = Decimal
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def now() -> Iterator[ManualClock]:
    hand = ManualClock(NOON)
    with clock.using(hand):
        yield hand


@pytest.fixture
def account() -> Account:
    """1000 USDT and 1 BTC."""
    found: Account = AccountFactory(name="main")
    HoldingFactory(account=found, asset="USDT", quantity=D(1000))
    HoldingFactory(account=found, asset="BTC", quantity=D(1))
    return found


class Desk:
    """Moves prices and money, and values everything after each move, a second later."""

    def __init__(self, hand: ManualClock) -> None:
        self.clock = hand

    def price(self, bid: str, *, times: int = 1) -> EquityPoint:
        """BTCUSDT at this bid, as often confirmed; the last point."""
        for _ in range(times):
            self.clock.advance(SECOND)
            row = QuoteFactory(instrument=InstrumentFactory())
            Quote.objects.filter(pk=row.pk).update(bid=D(bid), ask=D(bid) + 1, confirmed_at=self.clock.now())
            value_mode("sandbox")
        return point()

    def move(self, account: Account, kind: str, asset: str, amount: str) -> EquityPoint:
        """Money in or out; the point after."""
        Posting.objects.create(
            account=account,
            kind=kind,
            asset=asset,
            amount=D(amount),
            currency="USDT",
            reference="test",
            posted_by="user:test",
            effective_at=self.clock.now(),
            posted_at=self.clock.now(),
        )
        row = Holding.objects.get(account=account, asset=asset)
        row.quantity += D(amount)
        row.save()
        self.clock.advance(SECOND)
        value_mode("sandbox")
        return point()


@pytest.fixture
def desk(now: ManualClock) -> Desk:
    return Desk(now)


def point(scope: str = "global") -> EquityPoint:
    return EquityPoint.objects.filter(series__scope=scope).order_by("-id").select_related("valuation")[0]


def series(scope: str = "global") -> EquitySeries:
    return EquitySeries.objects.get(scope=scope)


def last_valuation(scope: str = "global") -> Valuation:
    return Valuation.objects.filter(series__scope=scope).order_by("-id")[0]


def test_a_series_opens_when_its_marks_are_confirmed(desk: Desk, account: Account) -> None:
    first = desk.price("60000")
    assert (first.equity, first.nav, first.confirmed) == (D(61000), None, False)
    second = desk.price("60000")
    assert (second.equity, second.nav, second.hwm_nav, second.confirmed) == (D(61000), D(1), D(1), True)
    assert (second.drawdown_trailing, second.drawdown_absolute, second.daily_loss) == (D(0), D(0), D(0))
    assert {(row.scope, row.nav) for row in EquitySeries.objects.all()} == {("global", D(1)), ("account", D(1))}


def test_the_high_water_mark_is_stored_with_the_valuation_that_set_it(desk: Desk, account: Account) -> None:
    desk.price("60000", times=2)
    top = desk.price("61000")
    fallen = desk.price("60390")
    row = series()
    assert row.hwm_nav == top.nav == D("1.016393442622950819")  # 62 000 / 61 000
    assert (row.hwm_at, row.hwm_valuation_id) == (top.at, top.valuation_id)
    assert row.hwm_valuation is not None
    assert "high" in row.hwm_valuation.why.split()
    assert row.hwm_valuation.marks[0]["price"] == "61000"
    assert (fallen.drawdown_absolute, fallen.hwm_equity) == (D(610), D(62000))
    assert fallen.drawdown_trailing == D("0.009838709677419355")  # 610 / 62 000 = 0.00983870967741935…, rounded up


def test_one_bad_tick_lifts_no_high_water_mark(desk: Desk, account: Account) -> None:
    desk.price("60000", times=2)
    bad = desk.price("600000")
    assert (bad.equity, bad.confirmed, bad.hwm_nav) == (D(601000), False, D(1))
    back = desk.price("60000")
    assert (back.confirmed, back.drawdown_trailing) == (False, D(0))
    assert series().hwm_nav == 1
    # A real move of the same size counts from its second quote on.
    desk.price("66000")
    assert series().hwm_nav == 1
    assert desk.price("66000").hwm_nav == D("1.098360655737704918")  # 67 000 / 61 000


def test_money_that_comes_in_at_a_bad_tick_is_counted_at_the_next_good_one(desk: Desk, account: Account) -> None:
    desk.price("60000", times=2)
    desk.price("30000")
    held = desk.move(account, "deposit", "USDT", "61000")  # the same quote again: still not confirmed
    assert (held.confirmed, held.nav) == (False, D("0.508196721311475409"))  # 31 000 / 61 000
    desk.price("60000")
    good = desk.price("60000")
    assert (good.nav, good.confirmed, good.equity) == (D(1), True, D(122000))


def test_coins_that_came_in_and_were_sold_at_once_are_counted_at_a_confirmed_mark(desk: Desk, now: ManualClock) -> None:
    account = AccountFactory()
    cash = HoldingFactory(account=account, asset="USDT", quantity=D(60000))
    HoldingFactory(account=account, asset="BTC", quantity=D(0))
    value_mode("sandbox")
    cash.quantity = D(120000)
    cash.save()
    now.advance(SECOND)
    QuoteFactory(instrument=InstrumentFactory(), bid=D(600000), ask=D(600001), confirmed_at=now.now())  # a bad tick
    desk.move(account, "deposit", "BTC", "1")
    Holding.objects.filter(asset="BTC").update(quantity=0)
    value_mode("sandbox")
    assert (point().confirmed, series().nav, curve_of(series()).units) == (False, D(1), D(60000))
    sold = desk.price("60000", times=2)
    assert (sold.confirmed, sold.equity, sold.nav) == (True, D(120000), D(1))


def test_a_deposit_in_a_drawdown_neither_hides_nor_heals_it(desk: Desk, account: Account) -> None:
    desk.price("60000", times=2)
    before = desk.price("58780")  # 59 780 of 61 000: 2 % down
    assert before.drawdown_trailing == D("0.02")
    after = desk.move(account, "deposit", "USDT", "59780")
    assert (after.equity, after.nav, after.drawdown_trailing) == (D(119560), D("0.98"), D("0.02"))
    assert (after.drawdown_absolute, after.daily_loss) == (D(1220), D(1220))
    assert after.valuation is not None
    assert (after.valuation.flows, "flow" in after.valuation.why) == (D(59780), True)


def test_a_withdrawal_of_coins_makes_no_drawdown(desk: Desk, account: Account) -> None:
    desk.price("60000", times=2)
    after = desk.move(account, "withdrawal", "BTC", "-0.5")
    assert (after.equity, after.nav, after.drawdown_trailing, after.daily_loss) == (D(31000), D(1), D(0), D(0))


def test_a_missing_mark_freezes_the_curve_and_flows_wait_for_it(desk: Desk, now: ManualClock, account: Account) -> None:
    desk.price("60000", times=2)
    now.advance(timedelta(seconds=30))
    value_mode("sandbox")
    blind = point()
    assert (blind.equity, blind.nav, blind.drawdown_trailing, blind.daily_loss) == (None, None, None, None)
    assert (blind.missing, blind.hwm_nav) == (["BTC@binance"], D(1))
    assert (last_valuation().equity, last_valuation().missing) == (None, ["BTC@binance"])
    desk.move(account, "deposit", "USDT", "1000")
    assert desk.price("60000").nav == 1
    assert last_valuation().flows == 1000


def test_a_restart_keeps_the_high_water_mark(desk: Desk, now: ManualClock, account: Account) -> None:
    desk.price("60000", times=2)
    desk.price("61000")
    now.advance(timedelta(hours=5))
    down = desk.price("59000", times=2)
    assert (down.hwm_nav, down.drawdown_absolute) == (D("1.016393442622950819"), D(2000))


def test_the_day_begins_at_midnight_with_the_equity_before_it(desk: Desk, now: ManualClock, account: Account) -> None:
    desk.price("60000", times=2)
    desk.price("61000")
    now.advance(timedelta(hours=12))
    morning = desk.price("60500", times=2)
    assert (morning.daily_loss, morning.at.date()) == (D(500), NOON.date() + timedelta(days=1))
    assert (series().day_equity, series().day_began_at) == (D(62000), NOON + 3 * SECOND)
    assert morning.drawdown_daily == morning.drawdown_trailing
    first = Valuation.objects.filter(series=series(), at__date=morning.at.date()).order_by("id")[0]
    assert "day" in first.why.split()


def test_a_strategy_has_a_series_of_its_own_capital(desk: Desk, account: Account) -> None:
    strategy = StrategyFactory()
    own = HoldingFactory(account=account, strategy=strategy, asset="BTC", quantity=D(1), cost=D(60000))
    desk.price("60000", times=2)
    desk.price("61200")
    assert (point("strategy").nav, point("strategy").equity) == (D("1.02"), D(61200))
    # It is handed another coin at its price of now: capital grows, NAV does not.
    own.quantity, own.cost = D(2), D(121200)
    own.save()
    desk.price("61200")
    assert (point("strategy").nav, point("strategy").equity) == (D("1.02"), D(122400))


def test_trades_and_deposits_as_they_are_booked(desk: Desk) -> None:
    # 100 000 USDT; a strategy buys 0.5 BTC at 60 000 and pays 30 USDT: 69 970 + 30 000 = 99 970, NAV 0.9997.
    account, strategy = AccountFactory(name="main"), StrategyFactory()
    with ordered() as locks:
        book_opening(locks, account, {"USDT": D(100000)}, by=BY)
    desk.price("60000", times=2)
    assert point().nav == 1
    trade = trade_report("1", "0.5", fees=(Fee("USDT", D(30), "fee"),), traded_at=desk.clock.now())
    with ordered() as locks:
        book_trades(locks, account, [Booking(trade, InstrumentFactory(), None, strategy, "c1")])
    desk.price("60000", times=2)
    assert (point().equity, point().nav) == (D(99970), D("0.9997"))
    # The strategy was handed 30 030 and holds 30 000: the fee is its loss, seen although it came before the first mark.
    own = point("strategy")
    assert (own.equity, own.hwm_nav, own.drawdown_absolute, own.daily_loss) == (D(30000), D(1), D(30), D(30))
    assert own.nav == D("0.999000999000999000")  # 30 000 / 30 030
    # 10 000 come in and go out again; the fee of 5 is an expense of all 109 970: NAV 0.9997 × 109 965 / 109 970.
    for kind, amount, fee in ((PostingKind.DEPOSIT, "10000", "0"), (PostingKind.WITHDRAWAL, "-10005", "5")):
        with ordered() as locks:
            post(locks, account, [Movement(kind, "USDT", D(amount), "test", network_fee=D(fee))], by=BY)
        desk.price("60000")
    assert (point().equity, point().nav) == (D(99965), D("0.999654546694553059"))
    assert (point("account").nav, point().drawdown_absolute) == (point().nav, D(35))
    assert point("strategy").nav == own.nav


def test_the_ticker_values_every_five_seconds_and_within_one_after_a_fact(
    desk: Desk, now: ManualClock, account: Account
) -> None:
    QuoteFactory()
    assert value_what_is_due() == 2
    assert value_what_is_due() == 0
    now.advance(timedelta(seconds=4.5))
    assert value_what_is_due() == 0
    now.advance(timedelta(seconds=0.5))
    assert value_what_is_due() == 2
    LedgerEntry.objects.create(
        account=account,
        asset="USDT",
        book="exchange",
        amount=D(0),
        kind="fill",
        reference="1",
        effective_at=now.now(),
        posted_at=now.now(),
    )
    now.advance(timedelta(seconds=0.5))
    assert value_what_is_due() == 0
    now.advance(timedelta(seconds=0.5))
    assert value_what_is_due() == 2
    now.advance(SECOND)
    assert value_what_is_due() == 0


def test_points_that_say_nothing_new_are_written_once_a_minute(now: ManualClock) -> None:
    HoldingFactory(account=AccountFactory())
    for _ in range(25):
        value_mode("sandbox")
        now.advance(timedelta(seconds=5))
    assert EquityPoint.objects.filter(series__scope="global").count() == 3
    assert Valuation.objects.filter(series__scope="global").count() == 3


def test_statements_do_not_grow_with_the_number_of_scopes(now: ManualClock) -> None:
    def statements() -> int:
        now.advance(timedelta(minutes=2))
        with CaptureQueriesContext(connection) as captured:
            value_mode("sandbox")
        return len(captured)

    HoldingFactory(account=AccountFactory())
    value_mode("sandbox")
    few = statements()
    for _ in range(5):
        HoldingFactory(account=AccountFactory(), strategy=StrategyFactory())
    value_mode("sandbox")
    assert statements() == few <= 12


def test_old_points_become_one_a_minute_with_its_extremes(desk: Desk, now: ManualClock, account: Account) -> None:
    desk.price("60000", times=2)
    for bid in ("60100", "59900", "60050"):
        desk.price(bid)
    now.advance(timedelta(minutes=1))
    desk.price("60000", times=2)
    assert thin_points() == 0
    now.advance(timedelta(days=9))
    assert thin_points() == 2 * 4
    first, second = EquityPoint.objects.filter(series=series()).order_by("at")
    assert (first.equity, first.low_equity, first.high_equity) == (D(61050), D(60900), D(61100))
    assert first.at == NOON + 5 * SECOND
    assert (second.low_equity, second.high_equity, second.equity) == (D(61000), D(61000), D(61000))
    assert thin_points() == 0


def test_a_valuation_is_a_fact(desk: Desk, account: Account) -> None:
    desk.price("60000")
    with pytest.raises(AppendOnlyError):
        last_valuation().save()


def gone(account: Account, now: ManualClock, value: str | None) -> None:
    """Five OLD came in and were converted to 2 USDT, and OLD has no quote."""
    old = Movement(PostingKind.DEPOSIT, "OLD", D(5), "test", value=None if value is None else D(value))
    away = Movement(PostingKind.DUST, "OLD", D(-5), "test", value=D(-2))
    got = Movement(PostingKind.DUST, "USDT", D(2), "test", value=D(2))
    for movement in (old, away, got):
        now.advance(SECOND)
        with ordered() as locks:
            post(locks, account, [movement], by=BY)


def test_what_came_and_went_before_the_curve_opens_needs_no_mark(desk: Desk, now: ManualClock) -> None:
    account = AccountFactory(name="main")
    gone(account, now, "3")
    now.advance(SECOND)
    value_mode("sandbox")
    now.advance(SECOND)
    value_mode("sandbox")
    assert (series("account").last_equity, series("account").last_missing) == (D(2), [])
    assert series("account").opening_nav == 1


@pytest.mark.parametrize(("booked", "flows", "word"), [("3", D(3), "flow_as_booked"), (None, D(0), "flow_unvalued")])
def test_what_came_and_went_without_a_mark_counts_at_what_was_booked(
    desk: Desk, now: ManualClock, account: Account, booked: str | None, flows: Decimal, word: str
) -> None:
    desk.price("60000", times=2)
    gone(account, now, booked)
    if booked is None:
        assert desk.price("60000").missing == ["OLD@binance"], "its rate may be found yet"
        PendingRate.objects.update(next_at=None)
    after = desk.price("60000")
    assert (after.equity, after.missing) == (D(61002), [])
    assert (last_valuation().flows, word in last_valuation().why.split()) == (flows, True)
    assert point("account").equity == D(61002)
