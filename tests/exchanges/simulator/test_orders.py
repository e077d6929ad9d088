"""Orders over the wire: placement, matching, balances, errors, reads (docs/binance.md §2, §4, §5)."""

from __future__ import annotations

import time
from typing import Any

import pytest
from binance.exceptions import BinanceAPIException

from exchanges.simulator.signatures import sign
from tests.exchanges.simulator.conftest import KEY, ORDER, Reply, Simulator

GOOD = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.5",
    "price": "59000.00",
}


def refused(reply: Reply) -> tuple[int, int, str]:
    return reply.status, reply.body["code"], reply.body["msg"]


def place(simulator: Simulator, **changes: Any) -> Reply:
    params = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    return simulator.signed("POST", ORDER, **params)


def test_python_binance_places_queries_and_cancels(simulator: Simulator) -> None:
    client = simulator.client()
    placed = client.order_limit_buy(symbol="BTCUSDT", quantity="0.5", price="59000.00", newClientOrderId="mine-1")
    assert (placed["status"], placed["fills"], placed["clientOrderId"]) == ("NEW", [], "mine-1")
    assert client.response.headers["X-MBX-ORDER-COUNT-10S"] == "1"
    assert client.response.headers["Content-Type"] == "application/json;charset=UTF-8"
    assert [order["orderId"] for order in client.get_open_orders(symbol="BTCUSDT")] == [placed["orderId"]]
    assert simulator.balance("USDT") == (970500, 29500)
    canceled = client.cancel_order(symbol="BTCUSDT", origClientOrderId="mine-1", newClientOrderId="cancel-1")
    assert (canceled["clientOrderId"], canceled["origClientOrderId"]) == ("cancel-1", "mine-1")
    assert canceled["status"] == "CANCELED"
    assert "workingTime" not in canceled
    assert client.get_order(symbol="BTCUSDT", orderId=placed["orderId"])["status"] == "CANCELED"
    assert simulator.balance("USDT") == (1000000, 0)
    bought = client.order_market_buy(symbol="BTCUSDT", quoteOrderQty="600", newClientOrderId="mine-2")
    assert (bought["status"], bought["executedQty"]) == ("FILLED", "0.01000000")
    trades = client.get_my_trades(symbol="BTCUSDT", orderId=bought["orderId"])
    assert [(trade["qty"], trade["commission"], trade["commissionAsset"]) for trade in trades] == [
        ("0.01000000", "0.00001000", "BTC")
    ]
    account = client.get_account(omitZeroBalances="true")
    assert {row["asset"]: row["free"] for row in account["balances"]}["BTC"] == "10.00999000"
    with pytest.raises(BinanceAPIException) as error:
        client.cancel_order(symbol="BTCUSDT", origClientOrderId="mine-1")
    assert (error.value.code, error.value.message) == (-2011, "Unknown order sent.")


def test_market_data_and_account_reads(simulator: Simulator) -> None:
    client = simulator.client()
    assert client.ping() == {}
    assert abs(client.get_server_time()["serverTime"] - time.time() * 1000) < 2000
    info = client._get("exchangeInfo", data={"symbol": "ETHBTC"})
    assert [row["symbol"] for row in info["symbols"]] == ["ETHBTC"]
    assert {row["filterType"] for row in info["symbols"][0]["filters"]} >= {"PRICE_FILTER", "LOT_SIZE", "NOTIONAL"}
    assert len(client.get_exchange_info()["symbols"]) == 4
    assert client.get_order_book(symbol="BTCUSDT", limit=1)["asks"] == [["60000.00000000", "1.00000000"]]
    assert client.get_orderbook_ticker(symbol="BTCUSDT")["bidPrice"] == "59999.00000000"
    assert len(client.get_orderbook_ticker()) == 4
    assert client.get_symbol_ticker(symbol="BTCUSDT")["price"] == "60000.00000000"
    assert client.get_avg_price(symbol="BTCUSDT")["mins"] == 5
    assert [row["count"] for row in client.get_current_order_count()] == [0, 0]
    rates = client.v3_get_account_commission(symbol="BTCUSDT")
    assert rates["standardCommission"]["taker"] == "0.00100000"
    assert client.create_test_order(**GOOD) == {}
    assert client.get_open_orders() == []
    listed = simulator.request("GET", "/api/v3/ticker/price?symbols=%5B%22BTCUSDT%22,%22ETHBTC%22%5D")
    assert [row["symbol"] for row in listed.body] == ["BTCUSDT", "ETHBTC"]
    assert (
        simulator.request("GET", "/api/v3/time", headers={"X-MBX-TIME-UNIT": "MICROSECOND"}).body["serverTime"] > 10**15
    )
    assert simulator.request("GET", "/api/v3/time", headers={"X-MBX-TIME-UNIT": "FORTNIGHT"}).body["code"] == -1194
    gone = simulator.request("POST", "/api/v3/userDataStream", b"", {"X-MBX-APIKEY": KEY})
    assert (gone.status, gone.headers["Content-Type"]) == (410, "text/html")
    assert simulator.request("GET", "/api/v3/nothing").status == 404


def test_partial_fill_then_the_rest_by_prints(simulator: Simulator) -> None:
    placed = simulator.limit("BUY", "1.5", "60000.00", newClientOrderId="part").body
    assert (placed["status"], placed["executedQty"], len(placed["fills"])) == ("PARTIALLY_FILLED", "1.00000000", 1)
    fill = {"price": "60000.00", "quantity": "0.2", "aggressor": "SELL"}
    print_reply = simulator.sim("POST", "market/BTCUSDT/trade", fill)
    assert [row["quantity"] for row in print_reply["fills"]] == ["0.2"]
    order = simulator.signed("GET", ORDER, symbol="BTCUSDT", origClientOrderId="part").body
    assert (order["status"], order["executedQty"]) == ("PARTIALLY_FILLED", "1.20000000")
    simulator.book([["59990.00", "1"]], [["59995.00", "1"]])
    order = simulator.signed("GET", ORDER, symbol="BTCUSDT", origClientOrderId="part").body
    assert (order["status"], order["cummulativeQuoteQty"]) == ("FILLED", "90000.00000000")
    trades = simulator.signed("GET", "/api/v3/myTrades", symbol="BTCUSDT").body
    assert [(trade["qty"], trade["isMaker"]) for trade in trades] == [
        ("1.00000000", False),
        ("0.20000000", True),
        ("0.30000000", True),
    ]
    counts = simulator.signed("GET", "/api/v3/rateLimit/order").body
    assert [row["count"] for row in counts] == [0, 0]


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({"timeInForce": "IOC", "quantity": "2", "price": "60000.00"}, "EXPIRED", "UNFILLED_IOC_QUANTITY_EXPIRED"),
        ({"timeInForce": "FOK", "quantity": "2", "price": "60000.00"}, "EXPIRED", "UNFILLED_FOK_ORDER_EXPIRED"),
        (
            {"type": "MARKET", "timeInForce": None, "price": None, "quantity": "4"},
            "EXPIRED",
            "INSUFFICIENT_LIQUIDITY",
        ),
    ],
)
def test_what_cannot_trade_expires_with_its_reason(
    simulator: Simulator, changes: dict[str, Any], status: str, reason: str
) -> None:
    reply = place(simulator, **changes)
    assert (reply.status, reply.body["status"], reply.body["expiryReason"]) == (200, status, reason)
    assert simulator.balance("USDT")[1] == 0


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"quantity": None}, -1102, "Mandatory parameter 'quantity' was not sent, was empty/null, or malformed."),
        ({"side": ""}, -1102, "Mandatory parameter 'side' was not sent, was empty/null, or malformed."),
        ({"foo": "1"}, -1104, "Not all sent parameters were read; read '8' parameter(s) but was sent '9'."),
        ({"newClientOrderId": ""}, -1105, "Parameter 'newClientOrderId' was empty."),
        ({"quoteOrderQty": "100"}, -1106, "Parameter 'quoteOrderQty' sent when not required."),
        (
            {"price": "1e-05"},
            -1100,
            "Illegal characters found in parameter 'price'; legal range is '^([0-9]{1,20})(\\.[0-9]{1,20})?$'.",
        ),
        (
            {"newClientOrderId": "a b"},
            -1100,
            "Illegal characters found in parameter 'newClientOrderId'; legal range is '^[a-zA-Z0-9-_]{1,36}$'.",
        ),
        (
            {"symbol": "btcusdt"},
            -1100,
            "Illegal characters found in parameter 'symbol'; legal range is '^[\\w\\-._&&[^a-z]]{1,50}$'.",
        ),
        ({"side": "HOLD"}, -1117, "Invalid side."),
        ({"type": "WISH"}, -1116, "Invalid orderType."),
        ({"timeInForce": "GTD"}, -1115, "Invalid timeInForce."),
        ({"symbol": "NOPE"}, -1121, "Invalid symbol."),
        ({"quantity": "0.123456789"}, -1111, "Parameter 'quantity' has too much precision."),
        ({"price": "59000.001"}, -1013, "Filter failure: PRICE_FILTER"),
        ({"price": "300000.01"}, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
        ({"quantity": "0.000001"}, -1013, "Filter failure: LOT_SIZE"),
        ({"quantity": "0.00008"}, -1013, "Filter failure: NOTIONAL"),
        (
            {"selfTradePreventionMode": "DECREMENT"},
            -1013,
            "This symbol does not allow the specified self-trade prevention mode.",
        ),
        ({"quantity": "20"}, -2010, "Account has insufficient balance for requested action."),
        (
            {"type": "LIMIT_MAKER", "timeInForce": None, "price": "60000.00"},
            -2010,
            "Order would immediately match and take.",
        ),
        (
            {"type": "STOP_LOSS_LIMIT", "stopPrice": "59500.00"},
            -2010,
            "Order would trigger immediately.",
        ),
        ({"recvWindow": "60001"}, -1131, "'recvWindow' must be less than 60000."),
    ],
)
def test_refusals_in_exact_words(simulator: Simulator, changes: dict[str, Any], code: int, text: str) -> None:
    assert refused(place(simulator, **changes)) == (400, code, text)
    assert simulator.sim("GET", "orders") == []
    assert simulator.balance("USDT") == (1000000, 0)


def test_keys_timestamps_and_signatures(simulator: Simulator) -> None:
    now = int(time.time() * 1000)
    assert refused(place(simulator, timestamp=now - 6000))[1:] == (
        -1021,
        "Timestamp for this request is outside of the recvWindow.",
    )
    assert refused(place(simulator, timestamp=now + 5000))[1:] == (
        -1021,
        "Timestamp for this request was 1000ms ahead of the server's time.",
    )
    assert place(simulator, timestamp=now - 6000, recvWindow="7000.5").status == 200
    assert place(simulator, timestamp=now * 1000).status == 200
    assert refused(simulator.signed("POST", ORDER, secret="other", **GOOD)) == (
        400,
        -1022,
        "Signature for this request is not valid.",
    )
    assert refused(simulator.signed("POST", ORDER, key="bad key!", **GOOD)) == (401, -2014, "API-key format invalid.")
    assert refused(simulator.signed("POST", ORDER, key="unknown", **GOOD)) == (
        401,
        -2015,
        "Invalid API-key, IP, or permissions for action.",
    )


def test_query_wins_over_body_and_duplicates_are_refused(simulator: Simulator) -> None:
    def send(query: str, body: str) -> Reply:
        signature = sign("secret-one", (query + body).encode())
        return simulator.request("POST", f"{ORDER}?{query}", f"signature={signature}&{body}".encode(), headers)

    headers = {"X-MBX-APIKEY": KEY}
    stamp = int(time.time() * 1000)
    rest = f"side=BUY&type=LIMIT&timeInForce=GTC&price=59000&timestamp={stamp}"
    assert send("symbol=BTCUSDT&quantity=0.1", f"quantity=0.2&{rest}").body["origQty"] == "0.10000000"
    assert send("symbol=BTCUSDT&quantity=0.1&quantity=0.1", rest).body["code"] == -1101


def test_client_ids_are_unique_among_open_orders_only(simulator: Simulator) -> None:
    assert place(simulator, newClientOrderId="same").status == 200
    assert refused(place(simulator, newClientOrderId="same"))[1:] == (-2010, "Duplicate order sent.")
    assert simulator.market("BUY", quantity="0.1", newClientOrderId="again").status == 200
    assert simulator.market("BUY", quantity="0.1", newClientOrderId="again").status == 200
    assert simulator.counter("again") == (2, 2)
    assert simulator.counter("same") == (2, 1)
    assert len(simulator.sim("GET", "trades?account=one")) == 2


def test_cancel_rules(simulator: Simulator) -> None:
    placed = place(simulator, newClientOrderId="c").body
    by_both = {"symbol": "BTCUSDT", "orderId": placed["orderId"], "origClientOrderId": "other"}
    assert refused(simulator.signed("DELETE", ORDER, **by_both))[1] == -2011
    assert refused(simulator.signed("GET", ORDER, **by_both))[1] == -2039
    assert refused(simulator.signed("DELETE", ORDER, symbol="BTCUSDT"))[1] == -1102
    restricted = simulator.signed(
        "DELETE", ORDER, symbol="BTCUSDT", origClientOrderId="c", cancelRestrictions="ONLY_PARTIALLY_FILLED"
    )
    assert refused(restricted)[1:] == (-2011, "Order was not canceled due to cancel restrictions.")
    place(simulator)
    swept = simulator.signed("DELETE", "/api/v3/openOrders", symbol="BTCUSDT").body
    assert [order["status"] for order in swept] == ["CANCELED", "CANCELED"]
    assert refused(simulator.signed("DELETE", "/api/v3/openOrders", symbol="BTCUSDT"))[1] == -2011
    assert refused(simulator.signed("GET", ORDER, symbol="BTCUSDT", origClientOrderId="none"))[1:] == (
        -2013,
        "Order does not exist.",
    )
    listed = simulator.signed("GET", "/api/v3/allOrders", symbol="BTCUSDT", orderId=2).body
    assert [order["orderId"] for order in listed] == [2]


def test_stop_limit_waits_then_works(simulator: Simulator) -> None:
    stop = place(
        simulator,
        type="STOP_LOSS_LIMIT",
        side="SELL",
        stopPrice="59500.00",
        newClientOrderId="stop",
        newOrderRespType="RESULT",
    ).body
    assert (stop["status"], stop["workingTime"], stop["stopPrice"]) == ("NEW", -1, "59500.00000000")
    assert simulator.signed("GET", ORDER, symbol="BTCUSDT", origClientOrderId="stop").body["isWorking"] is False
    simulator.book([["59400.00", "2"]], [["59450.00", "1"]])
    order = simulator.signed("GET", ORDER, symbol="BTCUSDT", origClientOrderId="stop").body
    assert (order["status"], order["isWorking"], order["executedQty"]) == ("FILLED", True, "0.50000000")


def test_my_trades_combinations(simulator: Simulator) -> None:
    for _ in range(3):
        simulator.market("BUY", quantity="0.1")
    trades = "/api/v3/myTrades"
    now = int(time.time() * 1000)

    def ids(**params: Any) -> list[int]:
        return [row["id"] for row in simulator.signed("GET", trades, symbol="BTCUSDT", **params).body]

    assert ids() == [1, 2, 3]
    assert ids(limit=2) == [2, 3]
    assert ids(fromId=2) == [2, 3]
    assert ids(fromId=1, limit=1) == [1]
    assert ids(orderId=2) == [2]
    assert ids(orderId=2, fromId=3) == []
    assert ids(startTime=now - 60_000, endTime=now + 60_000) == [1, 2, 3]
    assert ids(endTime=now - 60_000) == []
    bad = simulator.signed("GET", trades, symbol="BTCUSDT", fromId=1, startTime=1)
    assert refused(bad)[1:] == (-1128, "Combination of optional parameters invalid.")
    wide = simulator.signed("GET", trades, symbol="BTCUSDT", startTime=1, endTime=86_400_002)
    assert refused(wide)[1] == -1127


def test_fees_in_bnb_fall_back_when_bnb_runs_out(simulator: Simulator) -> None:
    simulator.account("bnb", "key-bnb", "secret-bnb", bnb_fees=True, balances={"USDT": "200000", "BNB": "0.08"})
    simulator.sim("POST", "market/BNBUSDT", {"bids": [["599.99", "1"]], "asks": [["600.00", "1"]]})
    bought = simulator.signed(
        "POST", ORDER, key="key-bnb", secret="secret-bnb", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="1.2"
    ).body
    assert [(fill["commission"], fill["commissionAsset"]) for fill in bought["fills"]] == [
        ("0.07500000", "BNB"),
        ("0.00020000", "BTC"),
    ]


def test_rate_limits_escalate_from_429_to_418(simulator: Simulator) -> None:
    simulator.sim("POST", "limits", {"orders_10s": 2, "request_weight": 100, "ban_after": 2})
    assert place(simulator).headers["X-MBX-ORDER-COUNT-10S"] == "1"
    assert place(simulator).headers["X-MBX-ORDER-COUNT-10S"] == "2"
    over = place(simulator)
    assert refused(over) == (429, -1015, "Too many new orders; current limit is 2 orders per 10 SECOND.")
    assert 1 <= int(over.headers["Retry-After"]) <= 10
    heavy = [simulator.request("GET", "/api/v3/exchangeInfo") for _ in range(8)]
    statuses = [reply.status for reply in heavy]
    assert statuses[0] == 200
    assert 429 in statuses
    assert statuses[-1] == 418
    assert heavy[-1].body["code"] == -1003
    assert int(heavy[-1].headers["Retry-After"]) > 60


def test_orders_meet_each_other_and_foreign_orders_show_up(simulator: Simulator) -> None:
    simulator.account("two", "key-two", "secret-two")
    foreign = {"account": "two", "symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT"}
    rests = simulator.sim("POST", "orders", {**foreign, "quantity": "0.3", "price": "59999.50"})
    taken = simulator.market("BUY", quantity="0.4").body
    assert [fill["price"] for fill in taken["fills"]] == ["59999.50000000", "60000.00000000"]
    assert [order["status"] for order in simulator.sim("GET", "orders?account=two")] == ["FILLED"]
    assert simulator.sim("GET", "trades?account=two")[0]["is_maker"] is True
    assert rests["status"] == "NEW"
    own = {"account": "one", "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "1", "price": "50000.00"}
    placed = simulator.sim("POST", "orders", own)
    opened = simulator.signed("GET", "/api/v3/openOrders", symbol="BTCUSDT").body
    assert [order["orderId"] for order in opened] == [placed["order_id"]]
    cancel = {"account": "one", "symbol": "BTCUSDT", "order_id": placed["order_id"]}
    assert simulator.sim("DELETE", "orders", cancel)["status"] == "CANCELED"
