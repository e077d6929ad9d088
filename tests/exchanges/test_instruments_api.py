"""Instruments at the API: filters as the exchange gave them, and what can be done with an instrument."""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import FILTERS, AccountFactory, InstrumentFactory, api_key
from tests.reading import read

pytestmark = pytest.mark.django_db
TYPES = ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT"]


def symbols(**query: Any) -> list[str]:
    return [row["symbol"] for row in read("instruments", **query)["instruments"]]


def test_an_instrument_says_what_orders_it_takes() -> None:
    InstrumentFactory(order_types=TYPES)
    InstrumentFactory(exchange="btcturk", quote_asset="TRY", order_types=["MARKET", "LIMIT", "STOP_LOSS"])
    binance, btcturk = read("instruments")["instruments"]
    assert binance["filters"] == FILTERS
    assert binance["order_types"] == [
        {"type": "MARKET", "times_in_force": []},
        {"type": "LIMIT", "times_in_force": ["FOK", "GTC", "IOC"]},
        {"type": "LIMIT_MAKER", "times_in_force": []},
        {"type": "STOP_LOSS_LIMIT", "times_in_force": ["FOK", "GTC", "IOC"]},
    ]
    assert (binance["quantity_sides"], binance["quote_quantity_sides"]) == (["BUY", "SELL"], ["BUY", "SELL"])
    assert binance["replace_methods"] == ["amend", "cancel_replace", "cancel_then_place"]
    assert [row["type"] for row in btcturk["order_types"]] == ["MARKET", "LIMIT"]
    assert (btcturk["quantity_sides"], btcturk["quote_quantity_sides"]) == (["SELL"], ["BUY"])
    assert btcturk["replace_methods"] == ["cancel_then_place"]


def test_what_the_exchange_does_not_offer_for_a_pair_is_not_claimed() -> None:
    InstrumentFactory(order_types=["LIMIT"], quote_quantity_allowed=False)
    (row,) = read("instruments")["instruments"]
    assert [kind["type"] for kind in row["order_types"]] == ["LIMIT"]
    assert row["quote_quantity_sides"] == []


def test_instruments_are_filtered() -> None:
    InstrumentFactory()
    InstrumentFactory(base_asset="ETH", is_trading=False)
    InstrumentFactory(exchange="btcturk", base_asset="USDT", quote_asset="TRY")
    InstrumentFactory(mode="live", base_asset="BNB")
    assert symbols() == ["BTCUSDT", "ETHUSDT", "USDTTRY", "BNBUSDT"]
    assert symbols(exchange="btcturk") == ["USDTTRY"]
    assert symbols(mode="live") == ["BNBUSDT"]
    assert symbols(base="ETH") == ["ETHUSDT"]
    assert symbols(quote="TRY") == ["USDTTRY"]
    assert symbols(symbol="BTCUSDT", mode="sandbox") == ["BTCUSDT"]
    assert symbols(trading="false") == ["ETHUSDT"]
    assert symbols(trading="true", mode="sandbox") == ["BTCUSDT", "USDTTRY"]
    assert len(symbols(limit=3)) == 3


def test_an_account_stands_for_its_exchange_and_mode() -> None:
    account = AccountFactory(exchange="btcturk")
    InstrumentFactory()
    InstrumentFactory(exchange="btcturk", base_asset="USDT", quote_asset="TRY")
    InstrumentFactory(exchange="btcturk", mode="live", base_asset="ETH", quote_asset="TRY")
    assert symbols(account=account.name) == ["USDTTRY"]
    for key, name in ((api_key("read"), "nobody"), (api_key("read", accounts=["other"]), account.name)):
        assert read("instruments", key=key, status=404, account=name)["code"] == "UNKNOWN_ACCOUNT"


@pytest.mark.parametrize("query", [{"exchange": "mars"}, {"mode": "LIVE"}, {"trading": "yes"}])
def test_a_choice_that_is_none_is_refused(query: dict[str, str]) -> None:
    assert read("instruments", status=400, **query)["code"] == "INVALID_PARAMETER"
