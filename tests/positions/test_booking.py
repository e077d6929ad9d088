"""Fills are booked once, in one piece with their legs, holdings and position, whatever comes twice or at once."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from django.db.models import Sum

from exchanges.models import Account, Instrument
from exchanges.reports import Fee, TradeReport
from execution_project.common.locking import LockOrderError, Rank, ordered
from execution_project.common.models import Event, Strategy
from positions.accounting import PositionState, apply_fill
from positions.booking import Booking, book_trades
from positions.models import Fill, Holding, LedgerEntry, Position
from positions.posting import book_opening
from tests.factories import AccountFactory, InstrumentFactory, StrategyFactory, trade_report
from tests.threads import run_together

D = Decimal
START = datetime(2026, 5, 1, tzinfo=UTC)


def trade(number: int, side: str, quantity: str, price: str, *fees: Fee, **values: Any) -> TradeReport:
    """Trade ``number``, made that many seconds after the start."""
    at = START + timedelta(seconds=number)
    return trade_report(str(number), quantity, price, fees=fees, side=side, traded_at=at, **values)


def book(
    account: Account, *trades: TradeReport, strategy: Strategy | None = None, pair: Instrument | None = None
) -> list[Fill]:
    pair = pair or InstrumentFactory()
    with ordered() as locks:
        return book_trades(locks, account, [Booking(t, pair, None, strategy, "client-1") for t in trades])


def holdings(account: Account) -> dict[str, Decimal]:
    rows = Holding.objects.filter(account=account).values_list("asset").annotate(total=Sum("quantity"))
    return {asset: total for asset, total in rows if total}


def position() -> tuple[Decimal | int | None, ...]:
    row = Position.objects.get()
    return row.net_quantity, row.cost, row.average_price, row.realised_pnl, row.fees_in_quote


def assert_books_agree(account: Account) -> None:
    """Invariant 3: legs balance, and holdings and positions are the fold of the fills."""
    fills = list(Fill.objects.filter(account=account).select_related("instrument"))
    for fill in fills:
        totals: dict[str, Decimal] = defaultdict(Decimal)
        for entry in LedgerEntry.objects.filter(fill=fill):
            totals[entry.asset] += entry.amount
        assert set(totals.values()) <= {D(0)}
    exchange = LedgerEntry.objects.filter(account=account, book="exchange").values_list("asset").annotate(Sum("amount"))
    assert holdings(account) == {asset: total for asset, total in exchange if total}
    for row in Position.objects.filter(account=account):
        own = [f for f in fills if (f.instrument_id, f.strategy_id) == (row.instrument_id, row.strategy_id)]
        state = PositionState()
        for fill in sorted(own, key=lambda f: (f.traded_at, len(f.trade_id), f.trade_id)):
            paid = sum((D(f["amount"]) for f in fill.fees if f["asset"] == fill.instrument.quote_asset), D(0))
            state = apply_fill(
                state, side=fill.side, quantity=fill.quantity, quote_quantity=fill.quote_quantity, fee_in_quote=paid
            )
        assert row.fill_count == len(own)
        assert (row.net_quantity, row.cost, row.average_price, row.realised_pnl, row.fees_in_quote) == (
            state.net_quantity,
            state.cost,
            state.average_price,
            state.realised_pnl,
            state.fees_in_quote,
        )
        assert (row.bought_quantity, row.sold_quantity) == (state.bought_quantity, state.sold_quantity)


# ---------------------------------------------------------------------------------------------------- worked examples


@pytest.mark.django_db
def test_a_fee_in_base_reduces_what_is_held_and_not_what_was_traded() -> None:
    account = AccountFactory()
    book(account, trade(1, "BUY", "1", "100", Fee("BTC", D("0.001"))))
    assert holdings(account) == {"BTC": D("0.999"), "USDT": -100}
    assert position() == (1, 100, 100, 0, 0)


@pytest.mark.django_db
def test_a_fee_in_bnb_moves_bnb() -> None:
    account = AccountFactory()
    book(account, trade(1, "BUY", "1", "100", Fee("BNB", D("0.00025"))))
    assert holdings(account) == {"BTC": 1, "USDT": -100, "BNB": D("-0.00025")}
    assert position() == (1, 100, 100, 0, 0)


@pytest.mark.django_db
def test_a_fee_in_quote_is_kept_apart_from_the_price() -> None:
    account = AccountFactory()
    book(
        account,
        trade(1, "BUY", "2", "100", Fee("USDT", D("0.2"))),
        trade(2, "SELL", "1", "150", Fee("USDT", D("0.15"))),
    )
    assert holdings(account) == {"BTC": 1, "USDT": D("-50.35")}
    assert position() == (1, 100, 100, 50, D("0.35"))


@pytest.mark.django_db
def test_a_flip_closes_at_cost_and_opens_at_the_new_price() -> None:
    account = AccountFactory()
    book(account, trade(1, "BUY", "2", "100"))
    book(account, trade(2, "SELL", "5", "110"))
    assert position() == (-3, -330, 110, 20, 0)
    assert holdings(account) == {"BTC": -3, "USDT": 350}


@pytest.mark.django_db
def test_a_position_that_is_closed_and_opened_again_starts_anew() -> None:
    account = AccountFactory()
    book(account, trade(1, "BUY", "1", "100"), trade(2, "SELL", "1", "120"))
    assert position() == (0, 0, None, 20, 0)
    book(account, trade(3, "BUY", "1", "500"))
    assert position() == (1, 500, 500, 20, 0)
    assert_books_agree(account)


@pytest.mark.django_db
def test_strategies_and_pairs_have_positions_of_their_own_and_share_the_account() -> None:
    account, alpha, beta = AccountFactory(), StrategyFactory(), StrategyFactory()
    eth = InstrumentFactory(base_asset="ETH")
    book(account, trade(1, "BUY", "1", "100"), strategy=alpha)
    book(account, trade(2, "BUY", "2", "100"), strategy=beta)
    book(account, trade(3, "SELL", "5", "10", symbol="ETHUSDT"), pair=eth, strategy=alpha)
    book(account, trade(4, "BUY", "4", "100"))
    positions = Position.objects.values_list("instrument__symbol", "strategy__name", "net_quantity")
    assert set(positions) == {
        ("BTCUSDT", alpha.name, 1),
        ("BTCUSDT", beta.name, 2),
        ("ETHUSDT", alpha.name, -5),
        ("BTCUSDT", None, 4),
    }
    assert holdings(account) == {"BTC": 7, "ETH": -5, "USDT": -650}
    assert_books_agree(account)


@pytest.mark.django_db
def test_an_opening_balance_is_held_by_no_strategy() -> None:
    account = AccountFactory()
    with ordered() as locks:
        book_opening(locks, account, {"BTC": D(3), "USDT": D("100.5")})
    book(account, trade(1, "SELL", "1", "100"))
    assert holdings(account) == {"BTC": 2, "USDT": D("200.5")}
    assert LedgerEntry.objects.filter(kind="opening").aggregate(total=Sum("amount"))["total"] == 0


# ---------------------------------------------------------------------------------------------- once, and in any order


@pytest.mark.django_db
def test_a_trade_that_comes_again_changes_nothing() -> None:
    account = AccountFactory()
    first, second = trade(1, "BUY", "1", "100"), trade(2, "BUY", "1", "200")
    assert len(book(account, first, first)) == 1
    before = (position(), holdings(account), LedgerEntry.objects.count())
    assert book(account, first) == []
    assert (position(), holdings(account), LedgerEntry.objects.count()) == before
    assert [fill.trade_id for fill in book(account, second, first)] == ["2"]
    assert position() == (2, 300, 150, 0, 0)
    assert_books_agree(account)


@pytest.mark.django_db
def test_one_trade_number_of_two_orders_accounts_or_pairs_is_two_trades() -> None:
    account, other = AccountFactory(), AccountFactory()
    book(account, trade(1, "BUY", "1", "100"), trade(1, "SELL", "1", "100", exchange_order_id="9002"))
    book(other, trade(1, "BUY", "1", "100"))
    book(account, trade(1, "BUY", "1", "100", symbol="ETHUSDT"), pair=InstrumentFactory(base_asset="ETH"))
    assert Fill.objects.count() == 4, "a trade with oneself has one number and two orders"
    assert_books_agree(account)


TRADES = (
    trade(1, "BUY", "3", "100", Fee("BTC", D("0.003"))),
    trade(2, "SELL", "1", "130", Fee("USDT", D("0.13"))),
    trade(3, "SELL", "4", "90", Fee("BNB", D("0.001"))),
    trade(10, "BUY", "1", "70"),
)


@pytest.mark.django_db
@pytest.mark.parametrize("arrival", list(permutations(range(4))))
def test_trades_that_arrive_in_any_order_leave_the_books_of_their_true_order(arrival: tuple[int, ...]) -> None:
    account = AccountFactory()
    for index in arrival:
        book(account, TRADES[index])
    assert_books_agree(account)
    assert position() == (-1, -90, 90, 30 - 20 + 20, D("0.13"))
    row = Position.objects.get()
    assert (row.last_trade_id, row.last_trade_at) == ("10", START + timedelta(seconds=10))
    late = [number for at, number in enumerate(arrival) if number < max(arrival[:at], default=-1)]
    assert Event.objects.filter(kind="position.restated", subject_id=str(row.pk)).count() == len(late)


@pytest.mark.django_db
def test_trades_of_one_moment_are_folded_by_their_number() -> None:
    account = AccountFactory()
    at = {"traded_at": START}
    buy, sell = trade(9, "BUY", "1", "100"), trade(10, "SELL", "2", "110")
    book(account, *(trade_report(t.trade_id, str(t.quantity), str(t.price), side=t.side, **at) for t in (sell, buy)))
    assert position() == (-1, -110, 110, 10, 0)


@pytest.mark.django_db
def test_amounts_of_many_digits_are_booked_to_the_last_one() -> None:
    account = AccountFactory()
    huge, tiny = "99999999999999.999999999999999999", "0.000000000000000001"
    book(account, trade(1, "BUY", huge, "1"), trade(2, "BUY", tiny, "1"))
    assert holdings(account)["BTC"] == D("100000000000000")
    book(account, trade(3, "SELL", huge, "1"))
    assert holdings(account)["BTC"] == D(tiny)
    assert_books_agree(account)


@pytest.mark.django_db
def test_a_failure_leaves_no_half_of_a_fill() -> None:
    account = AccountFactory()
    with pytest.raises(LockOrderError), ordered() as locks:
        locks.share_trading_state(["global:"])  # a later rank: the holdings cannot be locked any more
        book_trades(locks, account, [Booking(TRADES[0], InstrumentFactory(), None, None, "c")])
    assert not Fill.objects.exists()
    assert not LedgerEntry.objects.exists()
    with ordered() as locks:
        locks.rows(Rank.ORDERS, Position.objects.none())
        assert len(book_trades(locks, account, [Booking(TRADES[0], InstrumentFactory(), None, None, "c")])) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", range(3))
def test_the_same_trades_booked_by_many_at_once_are_booked_once(seed: int) -> None:
    account, pair, strategy = AccountFactory(), InstrumentFactory(), StrategyFactory()
    chance = random.Random(seed)
    trades = [
        trade(n, chance.choice(["BUY", "SELL"]), str(chance.randint(1, 9)), str(chance.randint(90, 110)))
        for n in range(1, 31)
    ]
    acts = []
    for _ in range(6):
        mine = chance.sample(trades, 24)
        acts.append(
            lambda mine=mine: [book(account, *part, pair=pair, strategy=strategy) for part in (mine[:9], mine[9:])]
        )
    acts.append(lambda: [book(account, *trades, pair=pair, strategy=strategy)])
    results = run_together(acts)
    assert not [result for result in results if isinstance(result, Exception)], results
    assert sum(len(fills) for result in results if isinstance(result, list) for fills in result) == 30
    assert Fill.objects.count() == 30
    assert LedgerEntry.objects.count() == 120
    assert_books_agree(account)
