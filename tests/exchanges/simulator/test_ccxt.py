"""ccxt's ``binance`` and ``btcturk`` drive the simulator over sockets, with every one of their URLs on loopback.

Nobody here wrote ccxt, so what it reads is what the protocol says to a stranger. Where ccxt itself is wrong
(docs/btcturk.md §8) the test says so and asserts what the exchange makes of it.

Switched off: ``fetchCurrencies`` and ``fetchMargins`` of binance (``/sapi`` wallet and margin calls, no part of spot
trading and not served here) and its futures markets (other hosts).
"""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import ccxt
import pytest

from tests.exchanges.simulator.btcturk_client import POST, Turk, next_stamp
from tests.exchanges.simulator.conftest import KEY, SECRET, Simulator

SYMBOL, PAIR, FRACTIONS = "BTC/USDT", "BTC/TRY", "USDT/TRY"


def on_loopback(client: Any, url: str) -> Any:
    """With all URLs of the client at the simulator, none forgotten."""
    for name, given in client.urls["api"].items():
        assert given.startswith("https://"), (name, given)
        client.urls["api"][name] = url + "/" + given.split("/", 3)[3] if given.count("/") > 2 else url
    client.urls = {"api": client.urls["api"], "hostname": "127.0.0.1"}
    assert all(each.startswith(url) for each in client.urls["api"].values())
    return client


@pytest.fixture
def binance(simulator: Simulator) -> Any:
    options = {"fetchCurrencies": False, "fetchMargins": False, "fetchMarkets": {"types": ["spot"]}}
    made = ccxt.binance({"apiKey": KEY, "secret": SECRET, "options": options, "enableRateLimit": False})
    return on_loopback(made, simulator.url)


class Increasing(ccxt.btcturk):
    """The stamps of ccxt are the plain time, and two calls within a millisecond share one (docs/btcturk.md §7, 3).

    Here they come from the sequence that the tests' own calls with the same key take theirs from.
    """

    def nonce(self) -> int:
        return next_stamp()


def btcturk_of(turk: Turk, kind: type[Any] = Increasing) -> Any:
    options = {"apiKey": turk.key, "secret": turk.secret, "enableRateLimit": False, "enableLastJsonResponse": True}
    return on_loopback(kind(options), turk.simulator.url)


@pytest.fixture
def btcturk(turk: Turk) -> Any:
    return btcturk_of(turk)


# Binance


def test_binance_markets_and_balance(binance: Any) -> None:
    markets = binance.load_markets()
    assert set(markets) == {"BTC/USDT", "ETH/USDT", "BNB/USDT", "ETH/BTC"}
    market = markets[SYMBOL]
    assert (market["id"], market["active"], market["spot"]) == ("BTCUSDT", True, True)
    assert (market["precision"]["price"], market["precision"]["amount"]) == (0.01, 0.00001)
    assert market["limits"]["cost"]["min"] == 5
    assert binance.fetch_balance()["BTC"] == {"free": 10.0, "used": 0.0, "total": 10.0}
    assert binance.fetch_order_book(SYMBOL)["bids"][0] == [59999.0, 1.0]


def test_binance_limit_order_from_placing_to_cancel(binance: Any, simulator: Simulator) -> None:
    placed = binance.create_order(SYMBOL, "limit", "buy", 0.01, 59000, {"newClientOrderId": "by-ccxt-1"})
    assert (placed["status"], placed["clientOrderId"], placed["amount"]) == ("open", "by-ccxt-1", 0.01)
    assert [each["id"] for each in binance.fetch_open_orders(SYMBOL)] == [placed["id"]]
    assert binance.fetch_balance()["USDT"]["used"] == 590.0
    simulator.sim("POST", "market/BTCUSDT/trade", {"price": "59000.00", "quantity": "0.004", "aggressor": "SELL"})
    seen = binance.fetch_order(placed["id"], SYMBOL)
    assert (seen["status"], seen["filled"], seen["remaining"]) == ("open", 0.004, 0.006)
    (trade,) = binance.fetch_my_trades(SYMBOL)
    assert (trade["order"], trade["price"], trade["amount"], trade["takerOrMaker"]) == (
        placed["id"],
        59000.0,
        0.004,
        "maker",
    )
    assert trade["fee"] == {"cost": 0.000004, "currency": "BTC"}
    canceled = binance.cancel_order(placed["id"], SYMBOL)
    assert (canceled["status"], canceled["filled"]) == ("canceled", 0.004)
    assert binance.fetch_open_orders(SYMBOL) == []
    with pytest.raises(ccxt.OrderNotFound):
        binance.cancel_order(placed["id"], SYMBOL)


def test_binance_market_orders(binance: Any, simulator: Simulator) -> None:
    bought = binance.create_order(SYMBOL, "market", "buy", 0.5)
    assert (bought["status"], bought["filled"], bought["average"]) == ("closed", 0.5, 60000.0)
    by_cost = binance.create_market_buy_order_with_cost(SYMBOL, 600)
    assert (by_cost["filled"], by_cost["cost"]) == (0.01, 600.0)
    sold = binance.create_order(SYMBOL, "market", "sell", 0.01)
    assert [each["order"] for each in binance.fetch_my_trades(SYMBOL)] == [bought["id"], by_cost["id"], sold["id"]]
    assert bought["clientOrderId"].startswith("x-")  # like python-binance, a label of its own unless one is given


def test_binance_refusals(binance: Any, simulator: Simulator) -> None:
    with pytest.raises(ccxt.InsufficientFunds):
        binance.create_order(SYMBOL, "limit", "buy", 20, 59000)
    with pytest.raises(ccxt.ExchangeError, match="Filter failure: NOTIONAL"):
        binance.create_order(SYMBOL, "limit", "buy", 0.00001, 59000)
    with pytest.raises(ccxt.OrderImmediatelyFillable):
        binance.create_order(SYMBOL, "limit", "buy", 0.01, 60001, {"postOnly": True})
    with pytest.raises(ccxt.OrderNotFound):
        binance.fetch_order("999", SYMBOL)
    simulator.fault("rate_limit")
    with pytest.raises(ccxt.DDoSProtection, match="429"):
        binance.fetch_balance()
    stranger = on_loopback(ccxt.binance({"apiKey": KEY, "secret": "wrong", "enableRateLimit": False}), simulator.url)
    with pytest.raises(ccxt.AuthenticationError):
        stranger.privateGetAccount()


# BTCTurk


def test_btcturk_markets_and_balance(btcturk: Any) -> None:
    """ccxt ignores ``hasFraction``: ``denominatorScale`` counts as the decimals of a price (docs/btcturk.md §7, 9)."""
    markets = btcturk.load_markets()
    assert {PAIR, FRACTIONS} < set(markets)
    assert (markets[PAIR]["id"], markets[PAIR]["active"]) == ("BTCTRY", True)
    assert markets[PAIR]["info"]["hasFraction"] is False
    assert markets[PAIR]["precision"]["price"] == 0.01
    assert btcturk.fetch_balance()["BTC"] == {"free": 10.0, "used": 0.0, "total": 10.0}
    assert btcturk.fetch_order_book(PAIR)["asks"][0] == [3000000.0, 1.0]
    assert btcturk.fetch_ticker(PAIR)["bid"] == 2999000.0


def test_btcturk_two_decimals_on_an_integer_pair_are_refused(btcturk: Any) -> None:
    """By its own precision this price is fine; the exchange wants an integer whatever the scale says."""
    with pytest.raises(ccxt.ExchangeError, match="FAILED_INVALID_PRICE_SCALE"):
        btcturk.create_order(PAIR, "limit", "buy", 0.01, 2900000.25)
    assert btcturk.create_order(PAIR, "limit", "buy", 0.01, 2900000)["id"]


def test_btcturk_limit_order_from_placing_to_cancel(btcturk: Any, turk: Turk) -> None:
    """No ``fetchOrder`` in ccxt: the order is found again in the two lists."""
    placed = btcturk.create_order(PAIR, "limit", "buy", 0.01, 2900000)
    assert (placed["amount"], placed["price"]) == (0.01, 2900000.0)
    assert not placed["status"]  # a placement answer has neither status nor fills: docs/btcturk.md §2.5
    assert [each["id"] for each in btcturk.fetch_open_orders(PAIR)] == [placed["id"]]
    assert btcturk.fetch_balance()["TRY"]["used"] > 29000
    turk.print_trade("2900000", "0.004", "SELL")
    (seen,) = btcturk.fetch_open_orders(PAIR)
    assert (seen["status"], seen["filled"], seen["remaining"]) == ("open", 0.004, 0.006)
    (trade,) = btcturk.fetch_my_trades(PAIR)
    assert (trade["order"], trade["price"], trade["amount"], trade["side"]) == (placed["id"], 2900000.0, 0.004, "buy")
    assert trade["fee"] == {"cost": float(-Decimal(trade["info"]["fee"])), "currency": "TRY"}
    btcturk.cancel_order(placed["id"])
    assert btcturk.fetch_open_orders(PAIR) == []
    (ended,) = btcturk.fetch_orders(PAIR)
    assert (ended["id"], ended["status"], ended["filled"]) == (placed["id"], "canceled", 0.004)
    btcturk.cancel_order(placed["id"])  # repeating a cancel succeeds: docs/btcturk.md §2.6
    with pytest.raises(ccxt.ExchangeError, match="NO_ORDER_MATCHES_YOUR_REQUEST"):
        btcturk.cancel_order("999")


def test_btcturk_loses_its_label(btcturk: Any, turk: Turk) -> None:
    """ccxt sends ``newClientOrderId``; the name is ``newOrderClientId``, and the wrong one is ignored without error."""
    placed = btcturk.create_order(PAIR, "limit", "buy", 0.01, 2900000, {"clientOrderId": "mine-1"})
    assert turk.order(int(placed["id"]))["orderClientId"] not in {"", "mine-1"}
    assert turk.simulator.counter("mine-1") == (0, 0)
    named = btcturk.create_order(PAIR, "limit", "buy", 0.01, 2900000, {"newOrderClientId": "mine-2"})
    assert [each["clientOrderId"] for each in btcturk.fetch_open_orders(PAIR) if each["id"] == named["id"]] == [
        "mine-2"
    ]


def test_btcturk_market_buy_amount_is_quote_whatever_ccxt_says(btcturk: Any, turk: Turk) -> None:
    """ccxt documents ``amount`` as base. The exchange spends that many TRY: 0.01 is refused, 1000 buys for 1000."""
    with pytest.raises(ccxt.ExchangeError, match=r"FAILED_MIN_TOTAL_AMOUNT|FAILED_INVALID_QUANTITY_SCALE"):
        btcturk.create_order(PAIR, "market", "buy", 0.01)
    before = turk.balance("TRY")[0]
    bought = btcturk.create_order(PAIR, "market", "buy", 1000)
    spent = before - turk.balance("TRY")[0]
    assert Decimal(999) < spent <= Decimal(1000)
    (trade,) = btcturk.fetch_my_trades(PAIR)
    assert trade["order"] == bought["id"]
    assert trade["cost"] < 1000  # fee and tax are within the thousand
    assert trade["fee"]["cost"] < float(spent) - trade["cost"]  # ccxt leaves the tax out
    sold = btcturk.create_order(PAIR, "market", "sell", 0.01)
    assert turk.order(int(sold["id"]))["amount"].startswith("0.01")


def test_btcturk_limit_of_orders_and_pair_of_trades_do_not_reach_the_exchange(btcturk: Any, turk: Turk) -> None:
    """ccxt sends ``last`` for ``limit``, and no filter at all for trades; both are then cut down on its own side."""
    for price in ("2900000", "2900001", "2900002"):
        turk.limit("buy", "0.01", price)
    assert len(btcturk.fetch_orders(PAIR, limit=2)) == 2
    assert len(btcturk.last_json_response["data"]) == 3
    turk.market("buy", "1000")
    turk.post(pairSymbol="USDTTRY", orderMethod="market", orderType="buy", quantity="100")
    assert {each["info"]["numeratorSymbol"] for each in btcturk.fetch_my_trades()} == {"BTC", "USDT"}
    assert {trade["numeratorSymbol"] for trade in btcturk.last_json_response["data"]} == {"BTC", "USDT"}
    # Its rows name no pair that it would know ("pair"), so asked for one pair it labels them all with that pair.
    assert {(each["symbol"], each["info"]["numeratorSymbol"]) for each in btcturk.fetch_my_trades(PAIR)} == {
        (PAIR, "BTC"),
        (PAIR, "USDT"),
    }


def test_btcturk_stamps_of_plain_ccxt_meet_within_a_millisecond(turk: Turk, monkeypatch: pytest.MonkeyPatch) -> None:
    """ccxt's nonce is the time; the exchange takes a stamp once and answers the second call with an empty 401."""
    client = btcturk_of(turk, ccxt.btcturk)
    client.load_markets()
    instant = int(time.time() * 1000) + 1500  # ahead of every stamp that was used so far
    monkeypatch.setattr(client, "milliseconds", lambda: instant)
    assert client.fetch_balance()["BTC"]["free"] == 10.0
    with pytest.raises(ccxt.AuthenticationError):
        client.fetch_balance()


def test_btcturk_errors(btcturk: Any, turk: Turk) -> None:
    """ccxt maps three messages and looks at the body's code before the status: whatever else is refused, a 429 as
    well, comes as a bare ``ExchangeError`` with the exchange's words."""
    with pytest.raises(ccxt.ExchangeError, match=r"BALANCE_NOT_ENOUGH|FAILED_ORDER_WITH_OPEN_ORDERS"):
        btcturk.create_order(PAIR, "limit", "buy", 9, 2900000)
    turk.simulator.fault("rate_limit", "GET /api/v1/users/balances")
    with pytest.raises(ccxt.ExchangeError, match="TOO_MANY_REQUESTS") as caught:
        btcturk.fetch_balance()
    assert type(caught.value) is ccxt.ExchangeError
    assert btcturk.last_response_headers["Retry-After"] == "5"
    turk.simulator.fault("drop_after", POST)
    with pytest.raises(ccxt.NetworkError):
        btcturk.create_order(PAIR, "limit", "buy", 0.01, 2900000)
    assert len(btcturk.fetch_open_orders(PAIR)) == 1  # the answer was lost, not the order
