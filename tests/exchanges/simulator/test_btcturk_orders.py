"""BTCTurk orders over real sockets: fields, rules, life cycle, and the sheet's pitfalls (sheet §2 to §5, §7)."""

from __future__ import annotations

import http.client
import json
import time
from decimal import ROUND_DOWN, Decimal
from typing import Any
from urllib.parse import quote

import pytest

from tests.exchanges.simulator.btcturk_client import ORDER, Turk, refused

D = Decimal


def placed(reply: Any) -> int:
    assert reply.status == 200, reply
    order_id = reply.body["data"]["id"]
    assert isinstance(order_id, int)
    return order_id


def raw(turk: Turk, path: str) -> str:
    """The bytes of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", turk.simulator.port, timeout=10)
    connection.request("GET", path, headers=turk.headers())
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def test_a_placement_is_echoed_without_status_or_fills(turk: Turk) -> None:
    reply = turk.limit("buy", "0.0005", "3000000", newOrderClientId="eng-0001")
    data = reply.body.pop("data")
    assert reply.body == {"success": True, "message": "SUCCESS", "code": 0, "httpStatusCode": 200}
    assert abs(data.pop("datetime") - time.time() * 1000) < 5000
    assert data == {
        "id": 26950000001,
        "type": "buy",
        "method": "limit",
        "price": "3000000",
        "stopPrice": "0",
        "quantity": "0.00050000",
        "pairSymbol": "BTCTRY",
        "pairSymbolNormalized": "BTC_TRY",
        "newOrderClientId": "eng-0001",
    }
    order = turk.order(26950000001)
    assert (order["status"], order["leftAmount"], order["orderClientId"]) == ("Closed", "0.00000000", "eng-0001")


def test_numbers_may_be_json_numbers_and_pairs_have_two_spellings(turk: Turk) -> None:
    body = '{"pairSymbol":"BTC_TRY","orderMethod":"LIMIT","orderType":"Buy","quantity":0.01,"price":2900000}'
    reply = turk.simulator.request(
        "POST", ORDER, body.encode(), {**turk.headers(), "Content-Type": "application/json; charset=utf-8"}
    )
    assert turk.order(placed(reply))["amount"] == "0.01000000"
    assert len(turk.data("openOrders", pairSymbol="BTC_TRY")["bids"]) == 1


def test_a_label_in_the_wrong_field_is_lost_without_error(turk: Turk) -> None:
    first = placed(turk.limit("buy", "0.01", "2900000", newClientOrderId="lost"))
    label = turk.order(first)["orderClientId"]
    assert len(label) == 36 and label != "lost"
    assert turk.simulator.counter("lost") == (0, 0)
    assert placed(turk.limit("buy", "0.01", "2900000", newOrderClientId="")) == first + 1


def test_a_label_is_no_idempotency_key(turk: Turk) -> None:
    ids = [placed(turk.limit("buy", "0.01", "2900000", newOrderClientId="twice")) for _ in range(2)]
    assert [row["id"] for row in turk.orders() if row["orderClientId"] == "twice"] == ids[::-1]
    assert turk.simulator.counter("twice") == (2, 2)
    assert refused(turk.limit("buy", "0.01", "2900000", newOrderClientId="x" * 51))[1] == "FAILED_ORDER_PARAMETER"
    placed(turk.limit("buy", "0.01", "2900000", newOrderClientId="x" * 50))


@pytest.mark.parametrize(
    ("fields", "message", "code"),
    [
        ({"price": "3000000.50"}, "FAILED_INVALID_PRICE_SCALE", 1126),
        ({"quantity": "0.000100001"}, "FAILED_INVALID_QUANTITY_SCALE", 1127),
        ({"quantity": "1E-2"}, "FAILED_INVALID_QUANTITY_SCALE", 1127),
        ({"quantity": 1e-05}, "FAILED_INVALID_QUANTITY_SCALE", 1127),
        ({"quantity": "0.10000000000000001"}, "FAILED_INVALID_QUANTITY_SCALE", 1127),
        ({"price": "2.9e6"}, "FAILED_INVALID_PRICE_SCALE", 1126),
        ({"quantity": "0,01"}, "FAILED_ORDER_PARAMETER", 1121),
        ({"quantity": None}, "FAILED_LIMIT_ORDER", 1120),
        ({"price": None}, "FAILED_LIMIT_ORDER", 1120),
        ({"quantity": "0.00001"}, "FAILED_MIN_TOTAL_AMOUNT", 1123),
        ({"price": "299999"}, "ORDER_MIN_PRICE_EXCEEDED", 1229),
        ({"price": "9999999999"}, "PRICE_MUST_BE_LESS_THAN_MAXPRICE", 1226),
        ({"orderType": "hold"}, "ORDER_TYPE_NOT_SUPPORTED", 1193),
        ({"orderMethod": "ioc"}, "ORDER_METHOD_NOT_SUPPORTED", 1134),
        ({"pairSymbol": "BTCEUR"}, "PAIR_NOT_FOUND_ERROR", 1027),
        ({"quantity": "5"}, "BALANCE_NOT_ENOUGH", 1055),
        ({"orderMethod": "market", "price": "3000000.5", "quantity": "100"}, "FAILED_INVALID_PRICE_SCALE", 1126),
        ({"orderMethod": "market", "quantity": "100.50", "price": None}, "FAILED_INVALID_QUANTITY_SCALE", 1127),
        ({"orderMethod": "market", "quantity": "0.01", "price": None}, "FAILED_INVALID_QUANTITY_SCALE", 1127),
        ({"orderMethod": "market", "quantity": "99", "price": None}, "FAILED_MIN_TOTAL_AMOUNT", 1123),
        ({"orderMethod": "stopLimit"}, "FAILED_ORDER_PARAMETER", 1121),
        ({"orderMethod": "stopLimit", "stopPrice": "3000000"}, "FAILED_STOP_PRICE_GREATER_THAN_BEST_ASK", 1124),
        ({"orderMethod": "stopLimit", "stopPrice": "3000000.5"}, "FAILED_INVALID_STOP_PRICE_SCALE", 1128),
        (
            {"orderMethod": "stopLimit", "stopPrice": "2999000", "orderType": "sell"},
            "FAILED_STOP_PRICE_LESS_THAN_BEST_BID",
            1125,
        ),
        ({"orderMethod": "stopMarket", "stopPrice": "3100000", "price": "0.0"}, "FAILED_ORDER_PARAMETER", 1121),
    ],
)
def test_refusals_by_message(turk: Turk, fields: dict[str, Any], message: str, code: int) -> None:
    wanted = {"quantity": "0.01", "price": "2900000", "newOrderClientId": "r", **fields}
    reply = turk.post(**{name: value for name, value in wanted.items() if value is not None})
    assert refused(reply) == (400, message, code)
    assert (reply.body["data"], reply.body["httpStatusCode"]) == (None, 400)
    assert turk.simulator.counter("r") == (1, 0)
    turk.settings(legacy_codes=True)
    again = turk.post(**{name: value for name, value in wanted.items() if value is not None})
    assert refused(again) == (400, message, code + 1)


def test_only_json_bodies_place_orders(turk: Turk) -> None:
    form = b"pairSymbol=BTCTRY&orderMethod=limit&orderType=buy&quantity=0.01&price=2900000"
    headers = {**turk.headers(), "Content-Type": "application/x-www-form-urlencoded"}
    assert turk.simulator.request("POST", ORDER, form, headers).status == 415
    query = turk.call("POST", f"{ORDER}?{form.decode()}", {})
    assert refused(query)[1] == "ORDER_METHOD_NOT_SUPPORTED"
    assert turk.orders() == []


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        "5",
        "{",
        "[" * 5000,
        '{"pairSymbol":["BTCTRY"],"orderMethod":{},"orderType":null}',
        '{"pairSymbol":5}',
        '{"pairSymbol":"BTCTRY","orderMethod":"limit","orderType":"buy","quantity":true,"price":[1]}',
        '{"pairSymbol":"BTCTRY","orderMethod":"limit","orderType":"buy","quantity":"1","price":"1","newOrderClientId":{}}',
        '{"pairSymbol":"BTCTRY","orderMethod":"limit","orderType":"buy","quantity":NaN,"price":1}',
    ],
)
def test_what_is_no_order_is_refused_and_never_breaks_the_server(turk: Turk, body: str) -> None:
    turk.simulator.fault("reject", match={"symbol": "OTHER"})
    headers = {**turk.headers(), "Content-Type": "application/json"}
    assert turk.simulator.request("POST", ORDER, body.encode(), headers).status == 400


def test_odd_labels_and_ids_are_taken_as_they_are(turk: Turk) -> None:
    order_id = placed(turk.limit("buy", "0.01", "2900000", newOrderClientId="\ud800 ığ"))
    assert turk.order(order_id)["orderClientId"] == "\ud800 ığ"
    for path in (
        "order/x",
        "order/" + "9" * 5000,
        "order/٣",
        "allOrders?pairSymbol=BTCTRY&limit=-1&page=0&orderId=1e5",
    ):
        assert turk.call("GET", f"/api/v1/{quote(path, safe='/?&=')}").status in (200, 400)
    assert refused(turk.call("DELETE", f"{ORDER}?id="))[1] == "NO_ORDER_MATCHES_YOUR_REQUEST"


def test_prices_have_their_pairs_decimals(turk: Turk) -> None:
    pairs = {
        row["name"]: row for row in turk.simulator.request("GET", "/api/v2/server/ExchangeInfo").body["data"]["symbols"]
    }
    # Integer prices in spite of a denominator scale of two.
    assert (pairs["BTCTRY"]["hasFraction"], pairs["BTCTRY"]["denominatorScale"]) == (False, 2)
    assert (pairs["USDTTRY"]["hasFraction"], pairs["USDTTRY"]["denominatorScale"]) == (True, 2)
    # The published tick size is ten; nothing enforces it.
    assert pairs["BTCTRY"]["filters"][0]["tickSize"] == "10"
    placed(turk.limit("buy", "0.01", "2900003"))
    placed(turk.limit("buy", "100", "40.55", pairSymbol="USDTTRY"))
    assert refused(turk.limit("buy", "100", "40.555", pairSymbol="USDTTRY"))[1] == "FAILED_INVALID_PRICE_SCALE"
    assert refused(turk.limit("buy", "100.1234567", "40", pairSymbol="USDTTRY"))[1] == "FAILED_INVALID_QUANTITY_SCALE"
    placed(turk.market("buy", "100.55", pairSymbol="USDTTRY"))


def test_limit_prices_follow_the_market(turk: Turk) -> None:
    def bounds() -> tuple[Decimal, Decimal]:
        text = raw(turk, "/api/v2/server/exchangeinfo")
        pair = json.loads(text, parse_float=D)["data"]["symbols"][0]
        return pair["minimumLimitOrderPrice"], pair["maximumLimitOrderPrice"]

    assert bounds() == (D(300000), D(30000000))
    turk.book([["5000000", "1"]], [["5000001", "1"]])
    assert bounds() == (D(500000), D(50000000))
    turk.settings(pairs={"BTCTRY": {"order_methods": ["LIMIT", "STOP_LIMIT"]}})
    assert refused(turk.market("buy", "1000")) == (400, "ORDER_METHOD_NOT_SUPPORTED", 1134)
    turk.settings(pairs={"BTCTRY": {"status": "HALTED"}})
    assert refused(turk.limit("buy", "0.01", "4900000"))[1] == "FAILED_LIMIT_ORDER"


# -- fills, fee and tax --------------------------------------------------------------------------------------------


def test_market_buy_spends_quote_with_fee_and_tax(turk: Turk) -> None:
    before = turk.balance("TRY")[0]
    order_id = placed(turk.market("buy", "4000000", newOrderClientId="mb"))
    rows = json.loads(raw(turk, f"/api/v1/users/transactions/trade?orderId={order_id}"), parse_float=D)["data"]
    assert [row["price"] for row in rows] == ["3001000", "3000000"]
    spent = sum(D(row["price"]) * row["preciseAmount"] - D(row["fee"]) - D(row["tax"]) for row in rows)
    assert before - turk.balance("TRY")[0] == spent
    assert 0 <= D(4000000) - spent < D("0.00000002")
    for row in rows:
        value = D(row["price"]) * row["preciseAmount"]
        assert abs(D(row["fee"]) + value * D("0.001")) <= D("1e-8")
        assert abs(D(row["tax"]) + value * D("0.0002")) <= D("2e-8")
    bought = sum(row["preciseAmount"] for row in rows)
    assert turk.balance("BTC") == (10 + bought, 0)
    order = turk.order(order_id)
    # The amount is converted base, the quantity a residue, the price not zero.
    assert (order["method"], order["status"], order["quantity"]) == ("market", "Closed", "0.0000000000000001")
    assert (D(order["amount"]), order["price"], order["leftAmount"]) == (bought, "3000000", "0.00000000")


def test_the_sheets_own_fee_samples(turk: Turk) -> None:
    turk.simulator.sim("POST", "accounts/turk/fees", {"maker_fee": "0.0005", "taker_fee": "0.0005", "tax_rate": "0.2"})
    turk.book([["6321.50", "1"]], [["6321.51", "1"]], "AAVETRY")
    turk.simulator.sim("POST", "accounts/turk/deposit", {"balances": {"AAVE": "1"}})
    before = turk.balance("TRY")[0]
    placed(turk.market("sell", "0.33840811", pairSymbol="AAVETRY"))
    text = raw(turk, "/api/v1/users/transactions/trade?pairSymbol=AAVETRY")
    assert '"preciseAmount":-0.3384081100000000' in text
    row = json.loads(text, parse_float=str)["data"][0]
    assert (row["amount"], row["fee"], row["tax"]) == ("-0.3384", "-1.06962343", "-0.21392469")
    assert turk.balance("TRY")[0] - before == D("0.33840811") * D("6321.50") - D("1.06962343") - D("0.21392469")
    turk.book([["1.01", "1"]], [["1.02", "500"]], "USDTTRY")
    turk.limit("buy", "205.24", "1.02", pairSymbol="USDTTRY")
    row = turk.trades(pairSymbol="USDTTRY")[0]
    assert (row["amount"], row["fee"], row["tax"]) == ("205.24000000", "-0.10467240", "-0.02093448")


def test_a_limit_buy_reserves_the_taker_rate_and_a_maker_fill_releases_the_rest(turk: Turk) -> None:
    turk.simulator.sim("POST", "accounts/turk/fees", {"maker_fee": "0.0005", "taker_fee": "0.0015"})
    before = turk.balance("TRY")[0]
    placed(turk.limit("buy", "0.02", "2500000"))
    assert turk.balance("TRY") == (before - 50090, 50090)
    row = next(row for row in turk.data("users/balances") if row["asset"] == "TRY")
    assert (row["locked"], row["orderFund"], row["requestFund"]) == ("50090", "50090", "0")
    turk.print_trade("2500000", "1", "SELL")
    assert turk.balance("TRY") == (before - 50030, 0)
    other = Turk(turk.simulator, "whole", "key-whole")
    other.open(balances={"TRY": "50000"})
    assert refused(other.limit("buy", "0.02", "2500000")) == (400, "BALANCE_NOT_ENOUGH", 1055)


def test_market_orders_stay_within_five_percent(turk: Turk) -> None:
    turk.book([["2999000", "1"]], [["3000000", "0.1"], ["3150000", "0.1"], ["3150001", "9"]])
    order_id = placed(turk.market("buy", "5000000"))
    assert {row["price"] for row in turk.trades(orderId=order_id)} == {"3000000", "3150000"}
    order = turk.order(order_id)
    assert (order["status"], D(order["amount"]) - D(order["leftAmount"])) == ("Canceled", D("0.2"))
    assert turk.balance("TRY")[1] == 0
    turk.book([["2999000", "1"]], [])
    assert refused(turk.market("buy", "5000")) == (400, "FAILED_MARKET_ORDER", 1118)


def test_several_fills_make_the_single_query_misleading(turk: Turk) -> None:
    order_id = placed(turk.limit("buy", "2", "3001000"))
    assert turk.order(order_id)["price"] == "3000000"
    assert turk.orders()[0]["price"] == "3001000"


def test_what_a_fill_brought_cannot_be_spent_at_once(turk: Turk) -> None:
    other = Turk(turk.simulator, "late", "key-late")
    other.open(balances={"TRY": "40000"})
    turk.settings(release_lag_ms=60_000)
    placed(other.market("buy", "30000"))
    assert refused(other.market("sell", "0.009")) == (400, "FAILED_ORDER_WITH_OPEN_ORDERS", 1122)
    turk.settings(release_lag_ms=0)
    placed(other.market("sell", "0.009"))
    placed(other.limit("buy", "0.01", "2000000"))
    assert refused(other.limit("buy", "0.01", "2000000"))[1] == "FAILED_ORDER_WITH_OPEN_ORDERS"


# -- cancel --------------------------------------------------------------------------------------------------------


def test_an_accepted_cancel_takes_effect_later(turk: Turk) -> None:
    turk.settings(cancel_delay_ms=100)
    order_id = placed(turk.limit("buy", "0.01", "2900000"))
    reply = turk.cancel(order_id)
    assert (reply.status, reply.body) == (200, {"success": True, "message": "SUCCESS", "code": 0})
    assert turk.order(order_id)["status"] == "Untouched"
    assert turk.cancel(order_id).status == 200
    turk.simulator.until(lambda: turk.order(order_id)["status"] == "Canceled")
    assert turk.cancel(order_id).status == 200
    assert turk.balance("TRY") == (10_000_000, 0)


def test_an_order_may_fill_while_its_cancel_is_on_its_way(turk: Turk) -> None:
    turk.settings(cancel_delay_ms=60_000)
    whole, part = (placed(turk.limit("buy", "0.01", "2900000")) for _ in range(2))
    assert {turk.cancel(each).status for each in (whole, part)} == {200}
    turk.print_trade("2900000", "0.015", "SELL")
    assert turk.order(whole)["status"] == "Closed"
    order = turk.order(part)
    assert (order["status"], order["leftAmount"]) == ("Partial", "0.00500000")
    assert refused(turk.cancel(whole)) == (400, "ORDER_COULD_NOT_BE_CANCELED", 1050)


def test_cancels_that_cannot_be(turk: Turk) -> None:
    order_id = placed(turk.limit("buy", "0.01", "2900000"))
    assert refused(turk.call("DELETE", ORDER, {"id": order_id})) == (400, "NO_ORDER_MATCHES_YOUR_REQUEST", 1052)
    assert refused(turk.cancel(5))[1] == "NO_ORDER_MATCHES_YOUR_REQUEST"
    stranger = Turk(turk.simulator, "stranger", "key-stranger")
    stranger.open()
    assert refused(stranger.cancel(order_id))[1] == "NO_ORDER_MATCHES_YOUR_REQUEST"
    assert refused(stranger.get(f"order/{order_id}")) == (400, "Order not found", 1152)
    turk.settings(pairs={"BTCTRY": {"cancel_blocked": True}})
    assert refused(turk.cancel(order_id)) == (400, "ORDER_CANCEL_BLOCKED", 1051)
    assert refused(turk.cancel(placed(turk.market("buy", "1000"))))[1] == "ORDER_CANCEL_BLOCKED"
    turk.settings(pairs={"BTCTRY": {"cancel_blocked": False}})
    assert refused(turk.cancel(placed(turk.market("buy", "1000"))))[1] == "ORDER_COULD_NOT_BE_CANCELED"


# -- stops ---------------------------------------------------------------------------------------------------------


def test_a_triggered_stop_ends_canceled_and_goes_on_under_a_new_id(turk: Turk) -> None:
    stop = placed(
        turk.limit("buy", "0.01", "3200000", orderMethod="stopLimit", stopPrice="3100000", newOrderClientId="s")
    )
    waiting = turk.order(stop)
    assert (waiting["method"], waiting["status"], waiting["stopPrice"]) == ("stoplimit", "Untouched", "3100000")
    turk.book([["3099000", "1"]], [["3100000", "1"]])
    turk.print_trade("3100000", "0.001", "BUY")
    old = turk.order(stop)
    assert (old["status"], old["leftAmount"]) == ("Canceled", "0.01000000")
    new = turk.orders()[0]
    assert (new["id"], new["method"], new["orderClientId"], new["status"]) == (stop + 1, "limit", "s", "Closed")
    assert {row["orderId"] for row in turk.trades()} == {stop + 1}
    assert turk.cancel(stop).status == 200


def test_stop_market_orders_name_quote_to_buy_and_base_to_sell(turk: Turk) -> None:
    turk.book([["1799.00", "5"]], [["1800.00", "5"]], "ETHUSDT")
    # The amount a capture showed: 360 USDT / 1.0012 / 1800.1, to 16 decimals.
    buy = placed(turk.post(pairSymbol="ETHUSDT", orderMethod="stopMarket", quantity="360", stopPrice="1800.1"))
    stored = turk.order(buy)
    converted = (D(360) / D("1.0012") / D("1800.1")).quantize(D("1e-16"), ROUND_DOWN)
    assert (D(stored["amount"]), stored["method"]) == (converted, "stopmarket")
    assert turk.balance("USDT") == (99640, 360)
    sell = placed(turk.post(orderMethod="stopMarket", orderType="sell", quantity="1", stopPrice="2900000"))
    assert turk.balance("BTC") == (9, 1)
    turk.print_trade("1800.10", "0.001", "BUY", "ETHUSDT")
    turk.print_trade("2900000", "0.001", "SELL")
    assert [turk.order(each)["status"] for each in (buy, sell)] == ["Canceled", "Canceled"]
    spent = 100_000 - sum(turk.balance("USDT"))
    assert 0 <= 360 - spent < D("0.00000002")
    assert turk.balance("BTC") == (9, 0)


def test_a_foreign_stop_of_the_control_api(turk: Turk) -> None:
    foreign = {"account": "turk", "symbol": "BTCTRY", "side": "SELL", "type": "STOP_LOSS_LIMIT", "quantity": "0.5"}
    row = turk.simulator.sim("POST", "orders", {**foreign, "stop_price": "2950000", "client_order_id": "website"})
    assert (row["status"], row["trades"]) == ("NEW", [])
    turk.print_trade("2950000", "0.001", "SELL")
    new = turk.orders()[0]
    assert (new["id"], new["orderClientId"]) == (row["order_id"] + 1, "website")
    truth = turk.simulator.sim("GET", "orders?account=turk")
    assert [each["origin"] for each in truth] == [0, row["order_id"]]
    bad = turk.simulator.request("POST", "/sim/orders", json.dumps({**foreign, "stop_price": "2999500"}).encode())
    assert (bad.status, bad.body) == (400, {"error": "FAILED_STOP_PRICE_LESS_THAN_BEST_BID"})
    gone = turk.simulator.sim("POST", "orders", {**foreign, "type": "LIMIT", "price": "3300000", "stop_price": None})
    turk.simulator.sim("DELETE", "orders", {"account": "turk", "symbol": "BTCTRY", "order_id": gone["order_id"]})
    assert turk.order(gone["order_id"])["status"] == "Canceled"


# -- lists ---------------------------------------------------------------------------------------------------------


def test_open_orders_by_side_with_time_zero(turk: Turk) -> None:
    buy, sell = placed(turk.limit("buy", "0.01", "2900000")), placed(turk.limit("sell", "0.01", "3100000"))
    placed(turk.limit("buy", "10", "40", pairSymbol="USDTTRY"))
    book = turk.data("openOrders", pairSymbol="BTCTRY")
    assert {side: [row["id"] for row in rows] for side, rows in book.items()} == {"bids": [buy], "asks": [sell]}
    assert (book["bids"][0]["time"], book["bids"][0]["updateTime"]) != (0, 0) and book["bids"][0]["time"] == 0
    assert len(turk.data("openOrders")["bids"]) == 2


def test_order_history_counts_in_seconds(turk: Turk) -> None:
    ids = [placed(turk.limit("buy", "0.01", str(2900000 + n))) for n in range(3)]
    now = int(time.time())
    assert [row["id"] for row in turk.orders(startTime=now - 10, endTime=now + 10)] == ids[::-1]
    assert turk.orders(endTime=now - 60) == []
    assert refused(turk.get("allOrders", pairSymbol="BTCTRY", startTime=now * 1000))[2] == 1038
    assert refused(turk.get("allOrders"))[1] == "PAIR_NOT_FOUND_ERROR"
    assert [row["id"] for row in turk.orders(orderId=ids[1])] == ids[:0:-1]
    assert [[row["id"] for row in turk.orders(limit=2, page=page)] for page in (1, 2, 3)] == [ids[:0:-1], ids[:1], []]
    assert all(row["time"] > now * 1000 - 60_000 for row in turk.orders())


def test_transactions_count_in_milliseconds_and_end_at_two_hundred(turk: Turk) -> None:
    order_id = placed(turk.limit("buy", "2.05", "2900000"))
    for _ in range(205):
        turk.print_trade("2900000", "0.01", "SELL")
    rows = turk.trades(orderId=order_id)
    assert len(rows) == 200
    assert rows[0]["id"] > rows[-1]["id"] > 2**53
    assert {row["orderType"] for row in rows} == {"buy"}
    placed(turk.market("sell", "0.01"))
    sold = turk.trades(type="sell", pairSymbol="BTCTRY")
    assert ([row["amount"] for row in sold], len(turk.trades(type=["buy", "sell"]))) == (["-0.01000000"], 200)
    assert turk.trades(symbol="ETH") == [] and len(turk.trades(symbol="BTC")) == 200
    now = int(time.time() * 1000)
    assert turk.trades(startDate=now + 60_000) == [] == turk.trades(endDate=now - 60_000)
    assert refused(turk.get("users/transactions/trade", orderId=order_id, type="buy"))[1] == "INVALID_REQUEST"
    assert turk.data("users/transactions/crypto") == [] == turk.data("users/transactions/fiat")


def test_balances_with_dot_or_comma(turk: Turk) -> None:
    turk.simulator.sim("POST", "accounts/turk/deposit", {"balances": {"TRY": "0.75"}})

    def free() -> str:
        rows = {row["asset"]: row for row in turk.data("users/balances")}
        assert rows["ETH"]["balance"] == "0"
        text = rows["TRY"]["free"]
        assert isinstance(text, str)
        return text

    assert free() == "10000000.75"
    turk.settings(comma_balances=True)
    assert free() == "10000000,75"


# -- market data ---------------------------------------------------------------------------------------------------


def test_market_data(turk: Turk) -> None:
    ask = turk.simulator.request
    assert ask("GET", "/api/v2/server/ping").body == {"pong": True}
    book = raw(turk, "/api/v2/orderbook?pairSymbol=BTCTRY&limit=1")
    assert (
        '"code":"SUCCESS"' in book and '.0,"bids":[["2999000","1.00000000"]],"asks":[["3000000","1.00000000"]]' in book
    )
    ticker = ask("GET", "/api/v2/ticker?pairSymbol=BTCTRY").body
    assert (ticker["message"], ticker["data"][0]["bid"], ticker["data"][0]["ask"]) == (None, 2999000, 3000000)
    assert ask("GET", "/api/v2/ticker?pairSymbol=NOPE").body["data"] == []
    assert len(ask("GET", "/api/v2/ticker").body["data"]) == 6
    assert {row["pair"] for row in ask("GET", "/api/v2/ticker/currency?symbol=USDT").body["data"]} == {
        "USDTTRY",
        "BTCUSDT",
        "ETHUSDT",
    }
    placed(turk.market("sell", "0.5"))
    trade = ask("GET", "/api/v2/trades?pairSymbol=BTCTRY&last=1").body["data"][0]
    assert (trade["numerator"], trade["price"], trade["amount"], trade["side"]) == (
        "BTC",
        "2999000",
        "0.50000000",
        "sell",
    )
    day = ask("GET", "/v1/ohlcs?pair=BTCTRY&from=0&to=1").body[0]
    assert (day["pair"], day["close"], day["time"] % 86400) == ("BTCTRY", 2999000, 0)
    assert ask("GET", "/v1/klines/history?symbol=BTCTRY&resolution=1D").body["s"] == "ok"


def test_the_two_exchanges_do_not_mix(turk: Turk) -> None:
    turk.book([["70000", "1"]], [["70001", "1"]], "BTCUSDT")
    assert turk.simulator.sim("GET", "market/BTCUSDT")["asks"][0] == ["60000.00", "1"]
    assert turk.simulator.sim("GET", "market/BTCUSDT?exchange=btcturk")["asks"] == [["70001", "1"]]
    placed(turk.market("buy", "1000", pairSymbol="BTCUSDT"))
    assert turk.simulator.sim("GET", "trades?account=one") == []
    trade = turk.simulator.sim("GET", "trades?account=turk")[0]
    assert (trade["symbol"], trade["commission_asset"]) == ("BTCUSDT", "USDT")
    assert [account["name"] for account in turk.simulator.sim("GET", "accounts")] == ["one", "turk"]
    assert turk.simulator.sim("GET", "health")["btcturk"]["accounts"] == ["turk"]
    off_scale = {"bids": [["70000.5", "1"]], "asks": []}
    assert turk.simulator.request("POST", "/sim/btcturk/market/BTCUSDT", json.dumps(off_scale).encode()).status == 400
