"""Positions, their sums and fills at the API: what is in the books, for the keys that may see it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from exchanges.models import Instrument
from execution_project.common import clock
from execution_project.common.ids import uuid7
from tests.factories import (
    AccountFactory,
    FillFactory,
    InstrumentFactory,
    PositionFactory,
    StrategyFactory,
    api_key,
)
from tests.reading import read

pytestmark = pytest.mark.django_db


def pair(base: str, quote: str, exchange: str = "binance", mode: str = "sandbox") -> Instrument:
    instrument: Instrument = InstrumentFactory(base_asset=base, quote_asset=quote, exchange=exchange, mode=mode)
    return instrument


def sums(grouping: str, **query: Any) -> list[tuple[Any, ...]]:
    """(group's values, mode, asset, net quantity, cost, realised, fees) of each row."""
    document = read("positions", aggregate=grouping, **query)
    assert document["aggregate"] == grouping
    numbers = ("net_quantity", "cost", "realised_pnl", "fees_in_quote")
    return [
        (*row["group"].values(), row["mode"], row["asset"], *(row[name] for name in numbers))
        for row in document["sums"]
    ]


@pytest.fixture
def books() -> None:
    """BTC at two exchanges against USDT and TRY, USDT against TRY, and BTC in another mode."""
    first, second = AccountFactory(name="first"), AccountFactory(name="second", exchange="btcturk")
    paper = AccountFactory(name="paper", mode="paper", rest_url="")
    one = StrategyFactory(name="one")
    values = {"realised_pnl": Decimal("5"), "fees_in_quote": Decimal("0.1")}
    PositionFactory(account=first, instrument=pair("BTC", "USDT"), strategy=one, **values)
    PositionFactory(account=first, instrument=pair("BTC", "USDT"), net_quantity=Decimal("-0.25"), cost=Decimal("-30"))
    PositionFactory(account=second, instrument=pair("BTC", "TRY", "btcturk"), cost=Decimal("4000"), **values)
    PositionFactory(account=second, instrument=pair("USDT", "TRY", "btcturk"), cost=Decimal("40"))
    PositionFactory(account=paper, instrument=pair("BTC", "USDT", mode="paper"), net_quantity=Decimal("9"))


@pytest.mark.usefixtures("books")
def test_sums_never_add_different_assets_or_modes() -> None:
    assert sums("exchange") == [
        ("binance", "paper", "BTC", "9", None, None, None),
        ("binance", "paper", "USDT", None, "100", "0", "0"),
        ("binance", "sandbox", "BTC", "0.75", None, None, None),
        ("binance", "sandbox", "USDT", None, "70", "5", "0.1"),
        ("btcturk", "sandbox", "BTC", "1", None, None, None),
        ("btcturk", "sandbox", "TRY", None, "4040", "5", "0.1"),
        ("btcturk", "sandbox", "USDT", "1", None, None, None),
    ]


@pytest.mark.usefixtures("books")
def test_an_asset_is_summed_over_exchanges_with_its_money_per_quote_asset() -> None:
    assert sums("asset") == [
        ("BTC", "paper", "BTC", "9", None, None, None),
        ("BTC", "paper", "USDT", None, "100", "0", "0"),
        ("BTC", "sandbox", "BTC", "1.75", None, None, None),
        ("BTC", "sandbox", "TRY", None, "4000", "5", "0.1"),
        ("BTC", "sandbox", "USDT", None, "70", "5", "0.1"),
        ("USDT", "sandbox", "TRY", None, "40", "0", "0"),
        ("USDT", "sandbox", "USDT", "1", None, None, None),
    ]


@pytest.mark.usefixtures("books")
def test_sums_by_instrument_account_and_strategy() -> None:
    assert ("binance", "BTCUSDT", "sandbox", "BTC", "0.75", None, None, None) in sums("instrument")
    assert {row[0] for row in sums("account")} == {"first", "second", "paper"}
    by_strategy = sums("strategy", account="first")
    assert by_strategy == [
        ("one", "sandbox", "BTC", "1", None, None, None),
        ("one", "sandbox", "USDT", None, "100", "5", "0.1"),
        (None, "sandbox", "BTC", "-0.25", None, None, None),
        (None, "sandbox", "USDT", None, "-30", "0", "0"),
    ]


@pytest.mark.usefixtures("books")
def test_sums_and_lists_hold_only_what_the_key_reaches() -> None:
    bound = api_key("read", accounts=["second"])
    assert {row["group"]["account"] for row in read("positions", key=bound, aggregate="account")["sums"]} == {"second"}
    assert {row["account"] for row in read("positions", key=bound)["positions"]} == {"second"}
    of_one = api_key("read", strategies=["one"])
    assert [row["strategy"] for row in read("positions", key=of_one)["positions"]] == ["one"]
    assert [row["net_quantity"] for row in read("positions", key=of_one, aggregate="asset")["sums"]] == ["1", None]


@pytest.mark.parametrize(
    "query", [{"aggregate": "galaxy"}, {"aggregate": "asset", "limit": "5"}, {"aggregate": "asset", "after": "x"}]
)
def test_sums_that_cannot_be_had_are_refused(query: dict[str, str]) -> None:
    assert read("positions", status=400, **query)["code"] == "INVALID_PARAMETER"


@pytest.mark.usefixtures("books")
def test_positions_are_filtered_and_come_by_pages() -> None:
    assert len(read("positions")["positions"]) == 5
    assert [row["symbol"] for row in read("positions", account="second", symbol="USDTTRY")["positions"]] == ["USDTTRY"]
    first = read("positions", limit=4)
    assert len(first["positions"]) == 4
    assert len(read("positions", limit=4, after=first["next"])["positions"]) == 1


def test_fills_are_filtered_by_order_exchange_order_and_time() -> None:
    order, earlier = uuid7(), clock.now() - timedelta(hours=1)
    FillFactory(trade_id="1", order_id=order, exchange_order_id="77")
    FillFactory(trade_id="2", exchange_order_id="78", traded_at=earlier)

    def found(**query: Any) -> list[str]:
        return [fill["trade_id"] for fill in read("fills", **query)["fills"]]

    between = (clock.now() - timedelta(minutes=30)).isoformat()
    assert found() == ["2", "1"]
    assert found(order=order) == ["1"]
    assert found(exchange_order="78") == ["2"]
    assert found(traded_after=between) == ["1"]
    assert found(traded_before=between) == ["2"]
    assert found(order=order, traded_before=between) == []


def test_fills_of_others_are_not_there() -> None:
    own, strategy = AccountFactory(name="own"), StrategyFactory(name="mine")
    FillFactory(trade_id="1", account=own)
    FillFactory(trade_id="2", account=own, strategy=strategy)
    FillFactory(trade_id="3", strategy=strategy)

    def found(**bound: Any) -> list[str]:
        return [fill["trade_id"] for fill in read("fills", key=api_key("read", **bound))["fills"]]

    assert found(accounts=["own"]) == ["2", "1"]
    assert found(strategies=["mine"]) == ["3", "2"]
    assert found(accounts=["own"], strategies=["mine"]) == ["2"]
