"""Sums across exchanges and quote assets by hand; what is not known makes a sum unknown and is named."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from exchanges.models import Account, Instrument
from execution_project.common.models import Strategy
from positions.aggregates import sum_holdings, sum_positions, total_positions
from positions.models import Holding, Position
from positions.shown import show_holdings, show_positions
from tests.commands import run
from tests.factories import (
    AccountFactory,
    HoldingFactory,
    InstrumentFactory,
    PositionFactory,
    QuoteFactory,
    StrategyFactory,
)
from tests.positions.books import pair
from tests.reading import read

pytestmark = pytest.mark.django_db
D = Decimal


def quote(instrument: Instrument, bid: str, ask: str) -> None:
    QuoteFactory(instrument=instrument, bid=D(bid), ask=D(ask))


@pytest.fixture
def exchanges() -> dict[str, Account]:
    """Two exchanges: BTC for USDT at one and for TRY at the other, 40 TRY per USDT."""
    return {
        "binance": AccountFactory(name="one", exchange="binance"),
        "btcturk": AccountFactory(name="two", exchange="btcturk"),
    }


def btctry() -> Instrument:
    instrument: Instrument = InstrumentFactory(exchange="btcturk", base_asset="BTC", quote_asset="TRY")
    return instrument


def usdttry() -> Instrument:
    instrument: Instrument = InstrumentFactory(exchange="btcturk", base_asset="USDT", quote_asset="TRY")
    return instrument


@pytest.fixture
def traded(exchanges: dict[str, Account]) -> None:
    """2 BTC long for 220 USDT, realised 7, fees 3; 1 BTC short for 5000 TRY, realised 400, fees 80."""
    PositionFactory(
        account=exchanges["binance"],
        instrument=pair("BTC"),
        net_quantity=D(2),
        cost=D(220),
        realised_pnl=D(7),
        fees_in_quote=D(1),
        fees_valued=D(3),
    )
    PositionFactory(
        account=exchanges["btcturk"],
        instrument=btctry(),
        net_quantity=D(-1),
        cost=D(-5000),
        realised_pnl=D(400),
        fees_in_quote=D(80),
        fees_valued=D(80),
        strategy=StrategyFactory(name="alpha"),
    )


def totals(grouping: str) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    names = ("realised_pnl", "fees", "unrealised_pnl", "pnl_before_fees", "pnl_after_fees", "missing")
    rows = read("positions", aggregate=grouping)["totals"]
    return {tuple(row["group"].values()): tuple(row[name] for name in names) for row in rows}


@pytest.mark.usefixtures("traded")
def test_money_of_different_quotes_is_added_in_the_reporting_currency() -> None:
    quote(pair("BTC"), "120", "121")
    quote(btctry(), "4700", "4800")
    quote(usdttry(), "39", "40")
    # Long: 2 × bid 120 − 220 = 20. Short: −1 × ask 4800 + 5000 = 200 TRY = 5 USDT. 400 TRY = 10, 80 TRY = 2.
    one, two = ("7", "3", "20", "27", "24", []), ("10", "2", "5", "15", "13", [])
    both = ("17", "5", "25", "42", "37", [])
    assert totals("all") == {(): both}
    assert totals("asset") == {("BTC",): both}
    assert totals("exchange") == {("binance",): one, ("btcturk",): two}
    assert totals("account") == {("one",): one, ("two",): two}
    assert totals("instrument") == {("binance", "BTCUSDT"): one, ("btcturk", "BTCTRY"): two}
    assert totals("strategy") == {("alpha",): two, (None,): one}
    sums = {row["asset"]: row for row in read("positions", aggregate="all")["sums"]}
    assert (sums["BTC"]["net_quantity"], sums["BTC"]["unrealised_pnl"]) == ("1", None)
    assert (sums["TRY"]["unrealised_pnl"], sums["TRY"]["fees"], sums["USDT"]["fees"]) == ("200", "80", "3")


@pytest.mark.usefixtures("traded")
def test_a_missing_mark_makes_the_sum_unknown_and_says_which() -> None:
    quote(btctry(), "4700", "4800")
    lacking = ["mark of BTCUSDT@binance", "mark of TRY@btcturk"]
    assert totals("exchange") == {
        ("binance",): ("7", "3", None, None, None, lacking[:1]),
        ("btcturk",): (None, None, None, None, None, lacking[1:]),
    }
    assert totals("all") == {(): (None, None, None, None, None, lacking)}


@pytest.mark.usefixtures("traded")
def test_what_realised_is_known_without_a_price_of_the_base() -> None:
    quote(usdttry(), "39", "40")
    assert totals("all") == {
        (): ("17", "5", None, None, None, ["mark of BTCUSDT@binance", "mark of BTCTRY@btcturk"]),
    }


@pytest.mark.usefixtures("traded")
def test_a_fee_without_a_rate_leaves_profit_before_fees_known() -> None:
    quote(pair("BTC"), "120", "121")
    Position.objects.filter(account__name="one").update(pending=1)
    (row,) = read("positions", account="one")["positions"]
    assert (row["fees"], row["pnl_before_fees"], row["pnl_after_fees"]) == (None, "27", None)
    assert (row["missing"], row["confidence"]) == (["fees of BTCUSDT@binance"], "provisional")


@pytest.mark.usefixtures("traded")
def test_a_stale_quote_is_no_price(settings: Any) -> None:
    quote(pair("BTC"), "120", "121")
    rows = list(Position.objects.filter(account__name="one").select_related("account", "instrument"))
    assert [one.price is None for one in show_positions(rows)] == [False]
    settings.EXEC_MARK_MAX_AGE = -60
    assert [(one.price, one.unrealised) for one in show_positions(rows)] == [(None, None)]


@pytest.fixture
def owned(exchanges: dict[str, Account]) -> Strategy:
    """3 BTC over both exchanges, one of them alpha's, and 60 USDT."""
    alpha: Strategy = StrategyFactory(name="alpha")
    values = {"realised_pnl": D(5), "currency_effect": D(2)}
    HoldingFactory(account=exchanges["binance"], asset="BTC", quantity=D(1), cost=D(100), **values)
    HoldingFactory(account=exchanges["binance"], asset="BTC", quantity=D(1), cost=D(80), strategy=alpha)
    HoldingFactory(account=exchanges["btcturk"], asset="BTC", quantity=D(1), cost=D(90))
    HoldingFactory(account=exchanges["btcturk"], asset="USDT", quantity=D(60), cost=D(60))
    quote(pair("BTC"), "115", "116")
    return alpha


def holding_sums(grouping: str) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    names = (
        "quantity",
        "cost",
        "average_cost",
        "realised_pnl",
        "currency_effect",
        "value",
        "unrealised_pnl",
        "share",
        "missing",
    )
    rows = read("holdings", aggregate=grouping)["sums"]
    return {tuple(row["group"].values()): tuple(row[name] for name in names) for row in rows}


@pytest.mark.usefixtures("owned")
def test_holdings_are_added_over_exchanges_with_value_and_share() -> None:
    # BTC at BTCTurk has no pair of its own with a quote: it is valued at the other exchange's bid.
    assert holding_sums("asset") == {
        ("BTC",): ("3", "270", "90", "5", "2", "345", "75", "85.18", []),
        ("USDT",): ("60", "60", "1", "0", "0", "60", "0", "14.81", []),
    }
    assert holding_sums("all") == {(): (None, "330", None, "5", "2", "405", "75", "100", [])}
    assert holding_sums("exchange") == {
        ("binance",): (None, "180", None, "5", "2", "230", "50", "56.79", []),
        ("btcturk",): (None, "150", None, "0", "0", "175", "25", "43.2", []),
    }
    assert holding_sums("strategy")["alpha",] == (None, "80", None, "0", "0", "115", "35", "28.39", [])
    assert set(holding_sums("account")) == {("one",), ("two",)}


@pytest.mark.usefixtures("owned")
def test_a_holding_without_a_mark_or_a_cost_leaves_sums_unknown() -> None:
    HoldingFactory(account=Account.objects.get(name="one"), asset="ETH", quantity=D(1), cost=D(7))
    Holding.objects.filter(asset="USDT").update(pending=2)
    found = holding_sums("asset")
    assert found["ETH",] == ("1", "7", "7", "0", "0", None, None, None, ["mark of ETH@binance"])
    assert found["USDT",] == ("60", None, None, "0", "0", "60", None, None, ["cost of USDT@btcturk"])
    assert found["BTC",][5:] == ("345", "75", None, [])
    (everything,) = holding_sums("all").values()
    lacking = ["cost of USDT@btcturk", "mark of ETH@binance"]
    assert (*everything[:-1], sorted(everything[-1])) == (None, None, None, "5", "2", None, None, None, lacking)


def test_suspense_is_a_part_of_its_own(exchanges: dict[str, Account]) -> None:
    HoldingFactory(account=exchanges["binance"], asset="BTC", quantity=D(2), cost=D(200))
    HoldingFactory(account=exchanges["binance"], asset="BTC", quantity=D(-1), cost=D(-90), in_suspense=True)
    (row,) = read("holdings", aggregate="asset")["sums"]
    assert (row["quantity"], row["in_suspense"], row["cost"], row["value"]) == ("1", "-1", "110", None)
    assert [row["in_suspense"] for row in read("holdings")["holdings"]] == [False, True]


def test_sums_of_nothing_are_nothing() -> None:
    assert read("positions", aggregate="all") == {"as_of": None, "aggregate": "all", "sums": [], "totals": []}
    assert read("holdings", aggregate="all") == {"as_of": None, "aggregate": "all", "sums": []}
    assert (sum_positions([], "all"), total_positions([], "all"), sum_holdings([], "all")) == ([], [], [])
    assert show_holdings([]) == []


@pytest.mark.usefixtures("traded")
def test_the_command_shows_the_same_as_a_table() -> None:
    quote(pair("BTC"), "120", "121")
    quote(btctry(), "4700", "4800")
    quote(usdttry(), "39", "40")
    ran = run("positions")
    assert ran.code == 0
    lines = [line.split() for line in ran.out.splitlines()]
    assert lines[0][:4] == ["account", "symbol", "strategy", "net_quantity"]
    assert [line[:4] for line in lines[1:]] == [["one", "BTCUSDT", "–", "2"], ["two", "BTCTRY", "alpha", "-1"]]
    assert run("positions", "--aggregate", "all", "--json").document["pnl_after_fees"] == "37"
    assert "37" in run("positions", "--aggregate", "all").out
    assert [row["account"] for row in run("positions", "--account", "two", "--json").documents] == ["two"]
    Position.objects.update(net_quantity=0)
    assert run("positions").out == "No positions.\n"
    assert len(run("positions", "--all", "--json").documents) == 2
    assert "There is no account" in run("positions", "--account", "none").err
    assert "no books" in run("positions", "--as-of", "2001-01-01T00:00:00Z").err
