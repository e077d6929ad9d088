"""Equity of accounts, strategies and modes by hand: two currencies, money under way, missing and stale marks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from exchanges.models import Account
from execution_project.common import clock
from execution_project.common.clock import ManualClock
from execution_project.common.models import Strategy
from positions.models import Inventory, Posting
from positions.valuation import Books, Stock, mark, moved_between, read_books, value, value_of_flows
from tests.factories import AccountFactory, HoldingFactory, InstrumentFactory, QuoteFactory, StrategyFactory

pytestmark = pytest.mark.django_db

D = Decimal
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def now() -> Iterator[ManualClock]:
    hand = ManualClock(NOW)
    with clock.using(hand):
        yield hand


def quote(symbol: str, bid: str, ask: str, *, exchange: str = "binance") -> None:
    base, quote_asset = symbol.split("/")
    instrument = InstrumentFactory(base_asset=base, quote_asset=quote_asset, exchange=exchange)
    QuoteFactory(instrument=instrument, bid=D(bid), ask=D(ask))


def hold(account: Account, strategy: Strategy | None = None, **amounts: str) -> None:
    for asset, amount in amounts.items():
        HoldingFactory(account=account, asset=asset, strategy=strategy, quantity=D(amount))


def post(account: Account, kind: str, asset: str, amount: str, **values: Any) -> Posting:
    posting: Posting = Posting.objects.create(
        account=account,
        kind=kind,
        asset=asset,
        amount=D(amount),
        currency="USDT",
        reference="test",
        posted_by="user:test",
        effective_at=clock.now(),
        posted_at=clock.now(),
        **values,
    )
    return posting


def books() -> Books:
    return read_books("sandbox")


def equity(stock: Stock) -> Decimal | None:
    return value(stock, mark("sandbox", stock.amounts.keys(), clock.now())).equity


def missing(stock: Stock) -> tuple[str, ...]:
    return value(stock, mark("sandbox", stock.amounts.keys(), clock.now())).missing


def flows(stock: Stock) -> dict[str, Decimal]:
    return {asset: amount for (_, asset), amount in stock.flows.items()}


def test_try_and_usdt_together() -> None:
    # 1000 USDT + 0.5 BTC × 60 000 at Binance; 40 000 TRY / 40 + 0.1 BTC × 2 320 000 / 40 at BTCTurk.
    first, second = AccountFactory(), AccountFactory(exchange="btcturk")
    hold(first, USDT="1000", BTC="0.5")
    hold(second, TRY="40000", BTC="0.1")
    quote("BTC/USDT", "60000", "60010")
    quote("BTC/TRY", "2320000", "2400000", exchange="btcturk")
    quote("USDT/TRY", "39", "40", exchange="btcturk")
    found = books()
    assert equity(found.accounts[first.pk]) == 1000 + 30000
    assert equity(found.accounts[second.pk]) == 1000 + 5800
    assert equity(found.everything) == 31000 + 6800


def test_a_missing_mark_leaves_no_equity_instead_of_a_smaller_one() -> None:
    first, second = AccountFactory(), AccountFactory()
    hold(first, USDT="1000", DOGE="5", SHIB="0")
    hold(second, USDT="7")
    found = books()
    assert equity(found.accounts[first.pk]) is None
    assert missing(found.accounts[first.pk]) == ("DOGE@binance",)
    assert equity(found.accounts[second.pk]) == 7
    assert (equity(found.everything), missing(found.everything)) == (None, ("DOGE@binance",))


def test_a_stale_mark_is_missing_and_back_with_the_next_quote(now: ManualClock) -> None:
    account = AccountFactory()
    hold(account, TRY="4000")
    quote("USDT/TRY", "39", "40")
    assert equity(books().everything) == 100
    now.advance(timedelta(seconds=16))
    assert (equity(books().everything), missing(books().everything)) == (None, ("TRY@binance",))
    type(InstrumentFactory(base_asset="USDT", quote_asset="TRY").quote).objects.update(confirmed_at=now.now())
    assert equity(books().everything) == 100


def test_every_line_says_where_its_worth_comes_from(now: ManualClock) -> None:
    account = AccountFactory()
    hold(account, TRY="4000", USDT="5")
    quote("USDT/TRY", "39", "40")
    now.advance(timedelta(seconds=3))
    stock = books().accounts[account.pk]
    lines = value(stock, mark("sandbox", stock.amounts.keys(), now.now())).lines
    assert [line.document() for line in lines] == [
        {
            "exchange": "binance",
            "asset": "TRY",
            "amount": "4000",
            "worth": "100",
            "price": "0.025",
            "source": "quote",
            "path": ["binance:USDTTRY:ask"],
            "at": "2026-05-01T12:00:00Z",
            "age_ms": 3000,
        },
        {
            "exchange": "binance",
            "asset": "USDT",
            "amount": "5",
            "worth": "5",
            "price": "1",
            "source": "currency",
            "path": [],
            "at": "2026-05-01T12:00:03Z",
            "age_ms": 0,
        },
    ]


def test_what_comes_from_outside_is_a_flow_and_what_is_earned_is_none() -> None:
    account = AccountFactory()
    hold(account, USDT="1000")
    for kind, amount in (("opening", "100"), ("transfer", "20"), ("deposit", "7"), ("withdrawal", "-4")):
        post(account, kind, "USDT", amount)
    for kind, amount in (("dust", "1000"), ("airdrop", "2000"), ("rebate", "3000")):
        post(account, kind, "USDT", amount)
    found = books()
    assert flows(found.accounts[account.pk]) == flows(found.everything) == {"USDT": D(123)}


def test_the_fee_of_a_withdrawal_is_no_flow_and_a_reversed_posting_is_nothing() -> None:
    account = AccountFactory()
    hold(account, USDT="1000")
    post(account, "withdrawal", "USDT", "-101", network_fee=D(1))
    wrong = post(account, "transfer", "USDT", "55")
    post(account, "transfer", "USDT", "-55", reverses=wrong)
    post(account, "airdrop", "USDT", "55", classifies=wrong)
    assert flows(books().everything) == {"USDT": D(-100)}


def test_an_own_transfer_is_a_flow_of_accounts_alone_and_counts_while_it_is_under_way() -> None:
    sender, receiver = AccountFactory(), AccountFactory(exchange="btcturk")
    quote("BTC/USDT", "60000", "60010")
    hold(sender, USDT="10", BTC="0.999")
    hold(receiver, USDT="5")
    sent = post(sender, "own_transfer", "BTC", "-1.001", network_fee=D("0.001"))
    found = books()
    assert equity(found.everything) == 15 + D("1.999") * 60000
    assert (flows(found.everything), flows(found.accounts[sender.pk])) == ({}, {"BTC": D(-1)})
    post(receiver, "own_transfer", "BTC", "1", counterpart=sent)
    hold(receiver, BTC="1")
    found = books()
    assert equity(found.everything) == 15 + D("1.999") * 60000
    assert (flows(found.everything), flows(found.accounts[receiver.pk])) == ({}, {"BTC": D(1)})


def test_a_strategy_is_worth_its_own_holdings_and_its_flows_are_what_was_handed_to_it() -> None:
    # 60 000 USDT went into 1 BTC; half of it was sold for 33 000 (realised 3 000): 30 000 of cost + 33 000 - 3 000.
    account, strategy = AccountFactory(), StrategyFactory()
    quote("BTC/USDT", "66000", "66010")
    hold(account, USDT="500")
    HoldingFactory(
        account=account, strategy=strategy, asset="BTC", quantity=D("0.5"), cost=D(30000), realised_pnl=D(3000)
    )
    HoldingFactory(account=account, strategy=strategy, asset="USDT", quantity=D(33000), cost=D(33000))
    stock = books().strategies[strategy.pk]
    assert equity(stock) == 66000
    assert flows(stock) == {"capital": D(60000)}
    assert value_of_flows(stock.flows, {}, {}) == (D(60000), ())


def test_a_strategy_whose_cost_is_not_known_has_no_equity() -> None:
    account, strategy = AccountFactory(), StrategyFactory()
    quote("BTC/USDT", "66000", "66010")
    HoldingFactory(account=account, strategy=strategy, asset="BTC", quantity=D(1), pending=1)
    found = books()
    assert missing(found.strategies[strategy.pk]) == ("cost of BTC@binance",)
    assert (equity(found.strategies[strategy.pk]), equity(found.everything)) == (None, D(66000))


def test_a_strategy_has_no_equity_while_its_costs_are_folded_anew() -> None:
    account, strategy = AccountFactory(), StrategyFactory()
    quote("BTC/USDT", "66000", "66010")
    HoldingFactory(account=account, strategy=strategy, asset="BTC", quantity=D(1))
    Inventory.objects.create(account=account, asset="BTC", restating=True, updated_at=clock.now())
    found = books()
    assert missing(found.strategies[strategy.pk]) == ("cost of BTC@binance restating",)
    assert (equity(found.strategies[strategy.pk]), equity(found.everything)) == (None, D(66000))


def test_what_flowed_and_is_not_there_any_more_needs_its_mark_all_the_same() -> None:
    before = {("binance", "BTC"): D(1), ("binance", "USDT"): D(5)}
    after = {("binance", "BTC"): D(3), ("binance", "USDT"): D(4)}
    quote("BTC/USDT", "60000", "60010")
    marks = mark("sandbox", {*before}, clock.now())
    moved = moved_between(before, after)
    assert value_of_flows(moved, marks, {}) == (D(2 * 60000 - 1), ())
    of_usdt = mark("sandbox", {("binance", "USDT")}, clock.now())
    assert value_of_flows(moved, of_usdt, {}) == (None, ("BTC@binance",))
    assert value_of_flows(moved, of_usdt, {("binance", "BTC"): D(7)}) == (D(6), ())


def test_accounts_without_open_books_and_other_modes_do_not_count() -> None:
    hold(AccountFactory(books_opened_at=None), USDT="1")
    hold(AccountFactory(mode="paper", rest_url=""), USDT="2")
    hold(AccountFactory(), USDT="3")
    assert equity(books().everything) == 3
