"""cancelReplace with every split outcome, amendments, symbol status and keys with a public half (docs §2.3, §2.5)."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest
from binance.client import Client
from binance.exceptions import BinanceAPIException
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.exchanges.simulator.conftest import ORDER, Reply, Simulator

REPLACE = f"{ORDER}/cancelReplace"
AMEND = f"{ORDER}/amend/keepPriority"


def replace(simulator: Simulator, mode: str = "STOP_ON_FAILURE", **changes: Any) -> Reply:
    params: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "0.5",
        "price": "58000.00",
        "newClientOrderId": "new",
        "cancelReplaceMode": mode,
        "cancelOrigClientOrderId": "old",
        **changes,
    }
    return simulator.signed("POST", REPLACE, **{name: value for name, value in params.items() if value is not None})


def rest(simulator: Simulator, client_id: str = "old", quantity: str = "1", price: str = "59000.00") -> int:
    reply = simulator.limit("BUY", quantity, price, newClientOrderId=client_id)
    assert reply.status == 200, reply
    return int(reply.body["orderId"])


def fill(simulator: Simulator, quantity: str, price: str = "59000.00") -> None:
    simulator.sim("POST", "market/BTCUSDT/trade", {"price": price, "quantity": quantity, "aggressor": "SELL"})


def working(simulator: Simulator) -> dict[str, str]:
    rows = simulator.signed("GET", "/api/v3/openOrders", symbol="BTCUSDT").body
    return {row["clientOrderId"]: row["origQty"] for row in rows}


def results(reply: Reply) -> tuple[int, int | None, str, str]:
    body = reply.body if reply.status == 200 else reply.body["data"]
    return reply.status, reply.body.get("code"), body["cancelResult"], body["newOrderResult"]


def test_success(simulator: Simulator) -> None:
    rest(simulator)
    reply = replace(simulator, cancelNewClientOrderId="the-cancel")
    assert results(reply) == (200, None, "SUCCESS", "SUCCESS")
    canceled, placed = reply.body["cancelResponse"], reply.body["newOrderResponse"]
    assert (canceled["clientOrderId"], canceled["origClientOrderId"]) == ("the-cancel", "old")
    assert (canceled["status"], placed["status"], placed["fills"]) == ("CANCELED", "NEW", [])
    assert working(simulator) == {"new": "0.50000000"}
    assert simulator.counter("new") == (1, 1)
    assert "X-MBX-ORDER-COUNT-10S" in reply.headers


POOR = {"quantity": "100"}
CODES = {-2021: "Order cancel-replace partially failed.", -2022: "Order cancel-replace failed."}


@pytest.mark.parametrize(
    ("mode", "exists", "changes", "expected", "left"),
    [
        ("STOP_ON_FAILURE", False, {}, (400, -2022, "FAILURE", "NOT_ATTEMPTED"), set()),
        ("STOP_ON_FAILURE", True, POOR, (409, -2021, "SUCCESS", "FAILURE"), set()),
        ("ALLOW_FAILURE", True, POOR, (409, -2021, "SUCCESS", "FAILURE"), set()),
        ("ALLOW_FAILURE", False, {}, (409, -2021, "FAILURE", "SUCCESS"), {"new"}),
        ("ALLOW_FAILURE", False, POOR, (400, -2022, "FAILURE", "FAILURE"), set()),
    ],
)
def test_split_outcomes(
    simulator: Simulator, mode: str, exists: bool, changes: dict[str, str], expected: Any, left: set[str]
) -> None:
    if exists:
        rest(simulator)
    reply = replace(simulator, mode, **changes)
    assert results(reply) == expected
    assert reply.body["msg"] == CODES[reply.body["code"]]
    data = reply.body["data"]
    if data["cancelResult"] == "FAILURE":
        assert data["cancelResponse"] == {"code": -2011, "msg": "Unknown order sent."}
    if data["newOrderResult"] == "FAILURE":
        assert data["newOrderResponse"]["code"] == -2010
    if data["newOrderResult"] == "NOT_ATTEMPTED":
        assert data["newOrderResponse"] is None
    assert set(working(simulator)) == left


@pytest.mark.parametrize(
    ("mode", "limit_mode", "exists", "expected"),
    [
        ("STOP_ON_FAILURE", "CANCEL_ONLY", True, (429, -2021, "SUCCESS", "FAILURE")),
        ("STOP_ON_FAILURE", "CANCEL_ONLY", False, (429, -2022, "FAILURE", "NOT_ATTEMPTED")),
        ("ALLOW_FAILURE", "CANCEL_ONLY", True, (409, -2021, "SUCCESS", "FAILURE")),
        ("ALLOW_FAILURE", "CANCEL_ONLY", False, (400, -2022, "FAILURE", "FAILURE")),
    ],
)
def test_over_the_order_limit(
    simulator: Simulator, mode: str, limit_mode: str, exists: bool, expected: tuple[int, int, str, str]
) -> None:
    if exists:
        rest(simulator)
    simulator.sim("POST", "limits", {"orders_1d": 0})
    nothing = replace(simulator, mode)
    assert (nothing.status, nothing.body["code"], "data" in nothing.body) == (429, -1015, False)
    assert len(working(simulator)) == exists
    reply = replace(simulator, mode, orderRateLimitExceededMode=limit_mode)
    assert results(reply) == expected
    assert ("Retry-After" in reply.headers) is (reply.status == 429)
    if expected[3] == "FAILURE":
        assert reply.body["data"]["newOrderResponse"]["code"] == -1015
    assert working(simulator) == {}


def test_the_order_count_is_taken_even_when_nothing_was_attempted(simulator: Simulator) -> None:
    def count() -> int:
        return int(simulator.signed("GET", "/api/v3/rateLimit/order").body[1]["count"])

    before = count()
    assert results(replace(simulator))[3] == "NOT_ATTEMPTED"
    assert count() == before + 1


def test_checks_before_the_cancel(simulator: Simulator) -> None:
    rest(simulator)
    for changes, code, text in (
        ({"quantity": "0.000001"}, -1013, "Filter failure: LOT_SIZE"),
        ({"cancelOrigClientOrderId": None}, -1102, "Param 'cancelOrigClientOrderId' or 'cancelOrderId' must be sent"),
        ({"cancelReplaceMode": "MAYBE"}, -1130, "Data sent for parameter 'cancelReplaceMode'"),
        ({"cancelReplaceMode": None}, -1102, "Mandatory parameter 'cancelReplaceMode'"),
        ({"orderRateLimitExceededMode": "MAYBE"}, -1130, "Data sent for parameter 'orderRateLimitExceededMode'"),
        ({"cancelRestrictions": "MAYBE"}, -1145, "Invalid cancelRestrictions"),
        ({"type": "NONE"}, -1116, "Invalid orderType."),
    ):
        reply = replace(simulator, **changes)
        assert (reply.status, reply.body["code"]) == (400, code)
        assert reply.body["msg"].startswith(text)
    assert set(working(simulator)) == {"old"}


def test_a_partly_filled_order_is_not_replaced_under_only_new(simulator: Simulator) -> None:
    order_id = rest(simulator)
    fill(simulator, "0.4")
    reply = replace(simulator, cancelOrigClientOrderId=None, cancelOrderId=order_id, cancelRestrictions="ONLY_NEW")
    assert results(reply) == (400, -2022, "FAILURE", "NOT_ATTEMPTED")
    assert reply.body["data"]["cancelResponse"]["msg"] == "Order was not canceled due to cancel restrictions."
    assert set(working(simulator)) == {"old"}


def test_python_binance_replaces_but_keeps_no_halves_and_has_a_wrong_second_path(simulator: Simulator) -> None:
    rest(simulator)
    client = simulator.client()
    wanted = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "0.5",
        "price": "58000.00",
        "cancelReplaceMode": "STOP_ON_FAILURE",
        "cancelOrigClientOrderId": "old",
    }
    assert client.cancel_replace_order(**wanted)["newOrderResult"] == "SUCCESS"
    with pytest.raises(BinanceAPIException) as failed:
        client.cancel_replace_order(**wanted)
    assert (failed.value.status_code, failed.value.code) == (400, -2022)
    assert json.loads(failed.value.response.text)["data"]["newOrderResult"] == "NOT_ATTEMPTED"
    with pytest.raises(BinanceAPIException) as lost:  # docs/binance.md §8.1: a path that does not exist
        client.v3_post_cancel_replace(**wanted)
    assert lost.value.status_code == 404
    client.close_connection()


# Amendments


def amend(simulator: Simulator, quantity: str, **params: Any) -> Reply:
    params = params or {"origClientOrderId": "old", "newClientOrderId": "old"}
    return simulator.signed("PUT", AMEND, symbol="BTCUSDT", newQty=quantity, **params)


def test_an_amendment_keeps_place_and_name_and_frees_what_it_gives_up(simulator: Simulator) -> None:
    first, second = rest(simulator), rest(simulator, "behind")
    fill(simulator, "0.2")
    free, locked = simulator.balance("USDT")
    reply = amend(simulator, "0.6")
    assert reply.status == 200
    order = reply.body["amendedOrder"]
    assert (order["qty"], order["executedQty"], order["status"]) == ("0.60000000", "0.20000000", "PARTIALLY_FILLED")
    assert (order["clientOrderId"], order["origClientOrderId"], order["orderId"]) == ("old", "old", first)
    released = Decimal("0.4") * 59000
    assert simulator.balance("USDT") == (free + released, locked - released)
    fill(simulator, "0.5")
    rows = {row["order_id"]: row for row in simulator.sim("GET", "orders?account=one")}
    assert (rows[first]["status"], rows[second]["executed"]) == ("FILLED", "0.1")


def test_an_amendment_without_an_id_renames_the_order(simulator: Simulator) -> None:
    order_id = rest(simulator)
    renamed = amend(simulator, "0.5", orderId=order_id).body["amendedOrder"]["clientOrderId"]
    assert renamed != "old"
    assert set(working(simulator)) == {renamed}
    assert simulator.signed("GET", ORDER, symbol="BTCUSDT", origClientOrderId="old").body["code"] == -2013
    assert simulator.limit("BUY", "0.1", "50000.00", newClientOrderId="old").status == 200


def test_what_an_amendment_refuses(simulator: Simulator) -> None:
    order_id = rest(simulator)
    rest(simulator, "other", price="58000.00")
    cases: list[tuple[str, dict[str, Any], int, str]] = [
        ("2", {"orderId": order_id}, -2038, "Order amend (quantity increase) is not supported."),
        ("1", {"orderId": order_id}, -2038, "The requested action would change no state; rejecting"),
        ("0.5", {"orderId": 999}, -2038, "Unknown order sent."),
        ("0.5", {"orderId": order_id, "newClientOrderId": "other"}, -2038, "Duplicate order sent."),
        ("0.000001", {"orderId": order_id}, -1013, "Filter failure: LOT_SIZE"),
        ("0.00001", {"orderId": order_id}, -1013, "Filter failure: NOTIONAL"),
        ("0", {"orderId": order_id}, -1102, "Mandatory parameter 'newQty'"),
        ("0.5", {"newClientOrderId": "x"}, -1102, "Param 'origClientOrderId' or 'orderId' must be sent"),
    ]
    for quantity, params, code, text in cases:
        reply = amend(simulator, quantity, **params)
        assert (reply.status, reply.body["code"]) == (400, code), text
        assert reply.body["msg"].startswith(text)
    assert working(simulator) == {"old": "1.00000000", "other": "1.00000000"}


def test_ten_amendments_and_their_list(simulator: Simulator) -> None:
    order_id = rest(simulator)
    for step in range(1, 11):
        assert amend(simulator, str(Decimal(1) - Decimal(step) / 100)).status == 200
    over = amend(simulator, "0.5")
    assert over.body == {"code": -2038, "msg": "Filter failure: MAX_NUM_ORDER_AMENDS"}
    rows = simulator.signed("GET", f"{ORDER}/amendments", symbol="BTCUSDT", orderId=order_id).body
    assert [row["newQty"] for row in rows[:2]] == ["0.99000000", "0.98000000"]
    assert [row["origQty"] for row in rows[:2]] == ["1.00000000", "0.99000000"]
    assert len(rows) == 10
    later = simulator.signed(
        "GET", f"{ORDER}/amendments", symbol="BTCUSDT", orderId=order_id, fromExecutionId=rows[8]["executionId"]
    )
    assert later.body == rows[8:]
    assert simulator.signed("GET", f"{ORDER}/amendments", symbol="BTCUSDT", orderId=999).body == []


def test_an_amendment_down_to_what_was_filled_ends_the_order(simulator: Simulator) -> None:
    rest(simulator)
    fill(simulator, "0.4")
    ended = amend(simulator, "0.3").body["amendedOrder"]
    assert (ended["status"], ended["qty"]) == ("EXPIRED", "0.40000000")
    assert working(simulator) == {}
    assert simulator.balance("USDT")[1] == 0


def test_amendments_survive_a_kill(start: Callable[..., Simulator]) -> None:
    simulator = start("--frozen")
    simulator.account()
    order_id = rest(simulator)
    amend(simulator, "0.5")
    simulator.sim("POST", "market/ETHUSDT/status", {"status": "HALT"})
    simulator.kill()
    again = start("--frozen", data_dir=simulator.data_dir)
    assert working(again) == {"old": "0.50000000"}
    rows = again.signed("GET", f"{ORDER}/amendments", symbol="BTCUSDT", orderId=order_id).body
    assert [row["newQty"] for row in rows] == ["0.50000000"]
    assert amend(again, "0.4").status == 200
    info = again.request("GET", "/api/v3/exchangeInfo?symbol=ETHUSDT").body
    assert info["symbols"][0]["status"] == "HALT"


# Symbol status


@pytest.mark.parametrize(("status", "cancels"), [("HALT", False), ("BREAK", False), ("CANCEL_ONLY", True)])
def test_what_a_closed_symbol_still_takes(simulator: Simulator, status: str, cancels: bool) -> None:
    rest(simulator)
    answer = simulator.sim("POST", "market/BTCUSDT/status", {"status": status})
    assert answer == {"symbol": "BTCUSDT", "status": status}
    closed = simulator.market("BUY", quantity="0.1")
    assert (closed.status, closed.body) == (400, {"code": -1013, "msg": "Market is closed."})
    assert simulator.market("BUY", quantity="0.1", symbol="ETHUSDT").status == 200
    amended = amend(simulator, "0.5")
    assert amended.status == (200 if cancels else 400)
    if not cancels:
        assert amended.body == {"code": -2038, "msg": "Market is closed."}
    canceled = simulator.signed("DELETE", ORDER, symbol="BTCUSDT", origClientOrderId="old")
    assert canceled.status == (200 if cancels else 400)
    if not cancels:
        assert simulator.signed("DELETE", "/api/v3/openOrders", symbol="BTCUSDT").body["msg"] == "Market is closed."
    simulator.sim("POST", "market/BTCUSDT/status", {"status": "TRADING"})
    assert simulator.market("BUY", quantity="0.1").status == 200


def test_a_closed_symbol_stands_still_and_shows_its_status(simulator: Simulator) -> None:
    simulator.sim("POST", "market/BTCUSDT/status", {"status": "CANCEL_ONLY"})
    before = simulator.sim("GET", "market/BTCUSDT")
    simulator.sim("POST", "market/tick")
    assert simulator.sim("GET", "market/BTCUSDT") == before
    client = simulator.client()
    info = client._get("exchangeInfo", data={"symbol": "BTCUSDT"})
    assert info["symbols"][0]["status"] == "CANCEL_ONLY"
    trading = client._get("exchangeInfo", data={"symbolStatus": "TRADING"})
    assert "BTCUSDT" not in {row["symbol"] for row in trading["symbols"]}
    for path in ("depth", "ticker/price", "ticker/bookTicker"):
        with pytest.raises(BinanceAPIException) as mismatch:
            client._get(path, data={"symbol": "BTCUSDT", "symbolStatus": "TRADING"})
        assert mismatch.value.code == -1220
    listed = client._get("ticker/price", data={"symbols": quote('["BTCUSDT","ETHUSDT"]'), "symbolStatus": "TRADING"})
    assert [row["symbol"] for row in listed] == ["ETHUSDT"]
    client.close_connection()
    wrong = simulator.request("POST", "/sim/market/BTCUSDT/status", b'{"status":"ASLEEP"}')
    assert wrong.status == 400


# Keys with a public half


def make_key(kind: str) -> tuple[str, str]:
    key = Ed25519PrivateKey.generate() if kind == "ed25519" else rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return private.strip(), public


def local_client(simulator: Simulator, key: str, private: str) -> Client:
    class Local(Client):
        API_URL = f"{simulator.url}/api"

    return Local(key, private_key=private, ping=False)


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_python_binance_signs_with_a_private_key(simulator: Simulator, kind: str) -> None:
    private, public = make_key(kind)
    body = {"name": kind, "api_key": f"key-{kind}", "public_key": public, "balances": {"USDT": "1000"}}
    assert simulator.sim("POST", "accounts", body)["created"] is True
    assert simulator.sim("POST", "accounts", body)["created"] is False
    client = local_client(simulator, f"key-{kind}", private)
    placed = client.create_order(
        symbol="BTCUSDT", side="BUY", type="MARKET", quoteOrderQty="100", newClientOrderId="mine"
    )
    assert placed["status"] == "FILLED"
    assert client.get_order(symbol="BTCUSDT", origClientOrderId="mine")["orderId"] == placed["orderId"]
    client.close_connection()
    stranger = local_client(simulator, f"key-{kind}", make_key(kind)[0])
    with pytest.raises(BinanceAPIException) as refused:
        stranger.get_account()
    assert refused.value.code == -1022
    stranger.close_connection()


def test_public_keys_are_checked(simulator: Simulator) -> None:
    _, public = make_key("ed25519")
    for body, status in (
        ({"name": "a", "api_key": "k", "public_key": "nonsense"}, 400),
        ({"name": "a", "api_key": "k", "public_key": public, "api_secret": "s"}, 400),
        ({"name": "a", "api_key": "k", "public_key": ""}, 400),
        ({"name": "one", "api_key": "key-one", "public_key": public}, 409),
    ):
        reply = simulator.request("POST", "/sim/accounts", json.dumps(body).encode())
        assert reply.status == status, reply
