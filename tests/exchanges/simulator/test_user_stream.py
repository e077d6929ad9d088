"""The WebSocket API: sessions, subscriptions, every event letter, the order of events, pings, and each stream fault."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK

from exchanges.adapters import Credentials
from tests.exchanges.simulator.conftest import ORDER, Simulator
from tests.exchanges.simulator.streams import Stream


@pytest.fixture
def stream(simulator: Simulator) -> Iterator[Stream]:
    """A connection that is subscribed to account "one"."""
    with Stream(simulator) as opened:
        opened.subscribe()
        yield opened


@pytest.fixture
def ed25519(simulator: Simulator) -> Credentials:
    """The credentials of account "two", whose key may log on."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    body = {"name": "two", "api_key": "key-two", "public_key": public, "balances": {"USDT": "1000000"}}
    simulator.sim("POST", "accounts", body)
    return Credentials("key-two", private)


def kinds(events: list[Any]) -> list[tuple[str, ...]]:
    return [(each["e"], each["x"], each["X"]) if each["e"] == "executionReport" else (each["e"],) for each in events]


# Requests


def test_requests_and_their_replies(simulator: Simulator) -> None:
    with Stream(simulator) as stream:
        pong = stream.ask("ping")
        assert (pong["status"], pong["result"]) == (200, {})
        (weight,) = pong["rateLimits"]
        assert weight.items() >= {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1}.items()
        assert "rateLimits" not in stream.ask("ping", returnRateLimits=False)
        assert stream.ask("time")["result"]["serverTime"] > 1_600_000_000_000
        assert stream.ask("depth", symbol="BTCUSDT", limit=1)["result"]["bids"] == [["59999.00000000", "1.00000000"]]
        prices = stream.ask("ticker.price", symbols=["BTCUSDT", "ETHUSDT"])["result"]
        assert [row["symbol"] for row in prices] == ["BTCUSDT", "ETHUSDT"]
        refused = stream.ask("depth", symbol="NOSUCH")
        assert (refused["status"], refused["error"]) == (400, {"code": -1121, "msg": "Invalid symbol."})
        assert stream.ask("order.conquer")["error"]["code"] == -1020
    with Stream(simulator, "?timeUnit=MICROSECOND&returnRateLimits=false") as stream:
        reply = stream.ask("time")
        assert reply["result"]["serverTime"] > 1_600_000_000_000_000
        assert "rateLimits" not in reply


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[]",
        '{"id":1}',
        '{"id":1,"method":4}',
        '{"id":[1],"method":"ping"}',
        '{"id":1,"method":"ping","params":[1]}',
        '{"id":1,"method":"ping","params":{"a":{}}}',
        '{"id":"' + "x" * 37 + '","method":"ping"}',
    ],
)
def test_what_is_no_request(simulator: Simulator, text: str) -> None:
    with Stream(simulator) as stream:
        stream.socket.send(text)
        assert stream.next()["error"]["code"] == -1135
        assert stream.ask("ping")["status"] == 200


@pytest.mark.parametrize("identity", [7, "seven", None])
def test_the_reply_has_the_id_of_its_request(simulator: Simulator, identity: Any) -> None:
    with Stream(simulator) as stream:
        stream.socket.send(json.dumps({"id": identity, "method": "ping"}))
        assert stream.next()["id"] == identity


def test_orders_over_the_socket(simulator: Simulator) -> None:
    with Stream(simulator) as stream:
        placed = stream.signed(
            "order.place",
            symbol="BTCUSDT",
            side="BUY",
            type="LIMIT",
            timeInForce="GTC",
            quantity="0.5",
            price="59000.00",
            newClientOrderId="ws",
        )
        assert (placed["status"], placed["result"]["status"]) == (200, "NEW")
        assert [row["rateLimitType"] for row in placed["rateLimits"]] == ["REQUEST_WEIGHT", "ORDERS", "ORDERS"]
        assert simulator.counter("ws") == (1, 1)
        named = {"symbol": "BTCUSDT", "origClientOrderId": "ws"}
        assert stream.signed("order.status", **named)["result"]["orderId"] == placed["result"]["orderId"]
        amended = stream.signed("order.amend.keepPriority", **named, newQty="0.4", newClientOrderId="ws")
        assert amended["result"]["amendedOrder"]["qty"] == "0.40000000"
        assert stream.signed("order.cancel", **named)["result"]["status"] == "CANCELED"
        again = stream.signed("order.cancel", **named)
        assert (again["status"], again["error"]) == (400, {"code": -2011, "msg": "Unknown order sent."})
    assert simulator.sim("GET", "counters")["calls"]["WS order.place"] == 1


def test_signatures_over_the_socket(simulator: Simulator) -> None:
    with Stream(simulator) as stream:
        stamp = int(time.time() * 1000)
        wrong = stream.ask("account.status", apiKey="key-one", timestamp=stamp, signature="0" * 64)
        assert (wrong["status"], wrong["error"]["code"]) == (400, -1022)
        unknown = stream.ask("account.status", apiKey="nobody", timestamp=stamp, signature="0" * 64)
        assert (unknown["status"], unknown["error"]["code"]) == (401, -2015)
        unsigned = stream.ask("account.status", apiKey="key-one", timestamp=stamp)
        assert unsigned["error"]["code"] == -1102
        assert stream.signed("account.status", omitZeroBalances="true")["result"]["uid"] == 1000
        stale = stream.signed("account.status", timestamp=str(stamp - 60_000))
        assert stale["error"]["code"] == -1021


def test_limits_reach_the_socket(simulator: Simulator) -> None:
    with Stream(simulator) as stream:
        simulator.sim("POST", "limits", {"request_weight": 10})
        over = stream.ask("exchangeInfo")
        assert (over["status"], over["error"]["code"]) == (429, -1003)
        data = over["error"]["data"]
        assert 0 < data["retryAfter"] - data["serverTime"] <= 60_000


# Sessions and subscriptions


def test_logon_needs_ed25519_and_then_nothing_is_signed(simulator: Simulator, ed25519: Credentials) -> None:
    with Stream(simulator) as stream:
        refused = stream.signed("session.logon")
        assert refused["error"] == {"code": -4056, "msg": "HMAC_SHA256 API key is not supported."}
        assert stream.ask("userDataStream.subscribe")["status"] == 401
    with Stream(simulator, credentials=ed25519) as stream:
        assert stream.ask("session.status")["result"]["apiKey"] is None
        logon = stream.signed("session.logon")["result"]
        assert (logon["apiKey"], logon["userDataStream"]) == ("key-two", False)
        assert logon["connectedSince"] <= logon["authorizedSince"] <= logon["serverTime"]
        stamp = int(time.time() * 1000)
        unsigned = stream.ask(
            "order.place",
            symbol="BTCUSDT",
            side="BUY",
            type="MARKET",
            quantity="0.1",
            newClientOrderId="unsigned",
            timestamp=stamp,
        )
        assert unsigned["result"]["status"] == "FILLED"
        assert stream.ask("account.status")["error"]["code"] == -1102  # the stamp is still needed
        number = stream.ask("userDataStream.subscribe")["result"]["subscriptionId"]
        assert stream.ask("session.subscriptions")["result"] == [{"subscriptionId": number}]
        assert stream.ask("session.status")["result"]["userDataStream"] is True
        assert stream.ask("session.logout")["result"]["apiKey"] is None
        assert stream.next() == {
            "subscriptionId": number,
            "event": {"e": "eventStreamTerminated", "E": pytest.approx(stamp, abs=60_000)},
        }
        assert stream.ask("account.status", timestamp=stamp)["status"] == 401


def test_a_subscription_by_signature_outlives_the_session(simulator: Simulator, ed25519: Credentials) -> None:
    with Stream(simulator, credentials=ed25519) as stream:
        stream.signed("session.logon")
        stream.subscribe()
        stream.ask("session.logout")
        simulator.sim("POST", "accounts/two/deposit", {"balances": {"USDT": "5"}})
        assert stream.event()["e"] == "balanceUpdate"


def test_one_subscription_per_account_and_how_it_ends(simulator: Simulator) -> None:
    with Stream(simulator) as stream:
        number = stream.subscribe()
        assert stream.signed("userDataStream.subscribe.signature")["error"]["code"] == -2035
        assert stream.ask("userDataStream.unsubscribe", subscriptionId=number + 1)["error"]["code"] == -2036
        (view,) = simulator.sim("GET", "streams")
        assert (view["subscriptions"], view["session"]) == ({str(number): "one"}, None)
        assert stream.ask("userDataStream.unsubscribe", subscriptionId=number)["result"] == {}
        assert stream.event()["e"] == "eventStreamTerminated"
        assert stream.ask("userDataStream.unsubscribe")["error"]["code"] == -2036
        assert stream.subscribe() == number + 1
        assert simulator.sim("POST", "streams/terminate", {"account": "one"}) == {"terminated": 1}
        assert stream.event()["e"] == "eventStreamTerminated"
        simulator.market("BUY", quantity="0.1")
        assert stream.ask("ping")["status"] == 200
        assert not stream._waiting
    simulator.until(lambda: simulator.sim("GET", "streams") == [])


# Events


def test_every_letter_of_a_new_order_and_its_trade(simulator: Simulator, stream: Stream) -> None:
    before = int(time.time() * 1000)
    placed = simulator.limit(
        "BUY", "1.5", "60000.00", newClientOrderId="mine", strategyId=7, strategyType=1_000_001
    ).body
    new, trade, position = stream.events(3)
    at = placed["transactTime"]
    assert before <= at
    common = {
        "e": "executionReport",
        "E": at,
        "s": "BTCUSDT",
        "c": "mine",
        "S": "BUY",
        "o": "LIMIT",
        "f": "GTC",
        "q": "1.50000000",
        "p": "60000.00000000",
        "P": "0.00000000",
        "F": "0.00000000",
        "g": -1,
        "C": "",
        "r": "NONE",
        "i": placed["orderId"],
        "T": at,
        "w": True,
        "M": False,
        "O": at,
        "Q": "0.00000000",
        "V": "EXPIRE_MAKER",
        "W": at,
        "j": 7,
        "J": 1_000_001,
        "m": False,
    }
    nothing = {"l": "0.00000000", "z": "0.00000000", "L": "0.00000000", "n": "0", "N": None, "t": -1}
    first = new["I"]
    assert new == {
        **common,
        **nothing,
        "x": "NEW",
        "X": "NEW",
        "Z": "0.00000000",
        "Y": "0.00000000",
        "I": first,
    }
    (fill,) = placed["fills"]
    assert trade == {
        **common,
        "x": "TRADE",
        "X": "PARTIALLY_FILLED",
        "l": "1.00000000",
        "z": "1.00000000",
        "L": "60000.00000000",
        "n": fill["commission"],
        "N": "BTC",
        "t": fill["tradeId"],
        "Z": "60000.00000000",
        "Y": "60000.00000000",
        "I": first + 1,
    }
    free, locked = simulator.balance("USDT")
    assert (position["e"], position["u"]) == ("outboundAccountPosition", at)
    balances = {row["a"]: (Decimal(row["f"]), Decimal(row["l"])) for row in position["B"]}
    assert balances == {"BTC": simulator.balance("BTC"), "USDT": (free, locked)}


def test_a_market_order_in_the_documented_order(simulator: Simulator, stream: Stream) -> None:
    simulator.market("BUY", quantity="4", newClientOrderId="m")
    events = stream.events(5)
    assert kinds(events) == [
        ("executionReport", "NEW", "NEW"),
        ("executionReport", "TRADE", "PARTIALLY_FILLED"),
        ("executionReport", "TRADE", "PARTIALLY_FILLED"),
        ("executionReport", "EXPIRED", "EXPIRED"),
        ("outboundAccountPosition",),
    ]
    assert len({each["E"] for each in events}) == 1
    assert events[3]["eR"] == "INSUFFICIENT_LIQUIDITY"
    assert events[3]["w"] is False
    assert [each["I"] for each in events[:4]] == sorted(each["I"] for each in events[:4])
    assert [Decimal(each["z"]) for each in events[:4]] == [0, 1, 3, 3]


def test_a_cancel_shows_its_own_id_and_the_order_s(simulator: Simulator, stream: Stream) -> None:
    order_id = simulator.limit("BUY", "1", "59000.00", newClientOrderId="mine").body["orderId"]
    stream.events(2)
    simulator.signed("DELETE", ORDER, symbol="BTCUSDT", orderId=order_id, newClientOrderId="the-cancel")
    canceled, position = stream.events(2)
    assert (canceled["x"], canceled["X"], canceled["c"], canceled["C"]) == (
        "CANCELED",
        "CANCELED",
        "the-cancel",
        "mine",
    )
    assert position["e"] == "outboundAccountPosition"
    simulator.limit("BUY", "1", "59000.00", newClientOrderId="other")
    stream.events(2)
    simulator.sim("DELETE", "orders", {"account": "one", "symbol": "BTCUSDT", "order_id": order_id + 1})
    assert stream.events(2)[0]["C"] == "other"


def test_an_amendment_and_a_replacement(simulator: Simulator, stream: Stream) -> None:
    simulator.limit("BUY", "1", "59000.00", newClientOrderId="a")
    stream.events(2)
    named = {"symbol": "BTCUSDT", "origClientOrderId": "a"}
    simulator.signed("PUT", f"{ORDER}/amend/keepPriority", newQty="0.5", newClientOrderId="b", **named)
    replaced, _ = stream.events(2)
    assert (replaced["x"], replaced["X"], replaced["c"], replaced["C"]) == ("REPLACED", "NEW", "b", "a")
    assert replaced["q"] == "0.50000000"
    simulator.signed(
        "POST",
        f"{ORDER}/cancelReplace",
        symbol="BTCUSDT",
        side="BUY",
        type="LIMIT_MAKER",
        quantity="0.4",
        price="58000.00",
        newClientOrderId="c",
        cancelReplaceMode="STOP_ON_FAILURE",
        cancelOrigClientOrderId="b",
    )
    events = stream.events(4)
    assert kinds(events) == [
        ("executionReport", "CANCELED", "CANCELED"),
        ("outboundAccountPosition",),
        ("executionReport", "NEW", "NEW"),
        ("outboundAccountPosition",),
    ]


def test_a_stop_order_is_announced_twice(simulator: Simulator, stream: Stream) -> None:
    simulator.signed(
        "POST",
        ORDER,
        symbol="BTCUSDT",
        side="SELL",
        type="STOP_LOSS_LIMIT",
        timeInForce="GTC",
        quantity="0.5",
        price="58000.00",
        stopPrice="59000.00",
    )
    waiting, _ = stream.events(2)
    assert (waiting["x"], waiting["w"], waiting["P"], "W" in waiting) == ("NEW", False, "59000.00000000", False)
    simulator.sim("POST", "market/BTCUSDT/trade", {"price": "59000.00", "quantity": "1", "aggressor": "SELL"})
    working, trade, _ = stream.events(3)
    assert (working["x"], working["w"], "W" in working) == ("NEW", True, True)
    assert (trade["x"], trade["X"], trade["m"]) == ("TRADE", "FILLED", False)


@pytest.mark.parametrize("mode", ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"])
def test_self_trade_prevention(simulator: Simulator, stream: Stream, mode: str) -> None:
    simulator.book([], [])
    resting = simulator.limit("BUY", "1", "59000.00").body["orderId"]
    stream.events(2)
    taker = simulator.limit("SELL", "0.4", "59000.00", selfTradePreventionMode=mode).body["orderId"]
    ended = [each for each in stream.events({"EXPIRE_BOTH": 4}.get(mode, 3)) if each.get("x") == "TRADE_PREVENTION"]
    expected = {"EXPIRE_TAKER": [taker], "EXPIRE_MAKER": [resting], "EXPIRE_BOTH": [resting, taker]}[mode]
    assert [each["i"] for each in ended] == expected
    for each in ended:
        assert (each["X"], each["U"], each["Cs"]) == (
            "EXPIRED_IN_MATCH",
            taker if each["i"] == resting else resting,
            "BTCUSDT",
        )
        assert (each["A"], each["B"], each["pl"], each["pL"]) == (*["0.40000000"] * 3, "59000.00000000")
        assert (each["pY"], each["u"], each["l"]) == ("23600.00000000", -1, "0.00000000")


def test_deposits_and_withdrawals(simulator: Simulator, stream: Stream) -> None:
    simulator.sim("POST", "accounts/one/deposit", {"balances": {"USDT": "500", "BTC": "-0.1"}})
    first, second, position = stream.events(3)
    assert {(each["a"], each["d"]) for each in (first, second)} == {("USDT", "500.00000000"), ("BTC", "-0.10000000")}
    assert {each["e"] for each in (first, second)} == {"balanceUpdate"}
    assert {row["a"] for row in position["B"]} == {"BTC", "USDT"}


def test_events_are_the_account_s_own(simulator: Simulator, stream: Stream, ed25519: Credentials) -> None:
    with Stream(simulator, credentials=ed25519) as second:
        second.subscribe()
        simulator.market("BUY", quantity="0.1")
        assert second.ask("ping")["status"] == 200
        assert not second._waiting
        second.signed("order.place", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.1")
        assert [each["e"] for each in second.events(3)][-1] == "outboundAccountPosition"
    assert len(stream.events(3)) == 3


def test_times_in_microseconds(simulator: Simulator) -> None:
    with Stream(simulator, "?timeUnit=MICROSECOND") as stream:
        stream.subscribe()
        simulator.market("BUY", quantity="0.1")
        assert {len(str(each["E"])) for each in stream.events(3)} == {16}


# Pings


def test_the_server_pings_and_a_pong_keeps_the_connection(simulator: Simulator) -> None:
    simulator.sim("POST", "streams/settings", {"ping_ms": 20, "pong_timeout_ms": 200})
    with Stream(simulator) as stream:
        for _ in range(20):  # the library answers pings while it receives
            assert stream.ask("ping")["status"] == 200
        pong = stream.socket.ping(b"ours")
        assert pong.wait(5)


def test_a_client_that_does_not_pong_is_dropped(simulator: Simulator) -> None:
    simulator.sim("POST", "streams/settings", {"ping_ms": 20, "pong_timeout_ms": 60})
    with socket.create_connection(("127.0.0.1", simulator.port), 5) as raw:
        raw.sendall(
            b"GET /ws-api/v3 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        received = b""
        while data := raw.recv(4096):  # until the server ends it
            received += data
    head, _, frames = received.partition(b"\r\n\r\n")
    assert b"101" in head
    assert frames[0] == 0x89  # a ping
    assert b"\x88\x02\x03\xe8" in frames  # a close frame with code 1000


def test_a_connection_has_an_end(simulator: Simulator) -> None:
    simulator.sim("POST", "streams/settings", {"max_age_ms": 30})
    with Stream(simulator) as stream:
        assert isinstance(stream.closed(), ConnectionClosedOK)


def test_settings_are_checked(simulator: Simulator) -> None:
    for body in (b'{"ping_ms":0}', b'{"ping_ms":"1"}', b'{"pings":1}'):
        assert simulator.request("POST", "/sim/streams/settings", body).status == 400
    assert simulator.sim("GET", "streams/settings")["ping_ms"] == 20_000


def test_a_ban_keeps_new_connections_out(simulator: Simulator) -> None:
    simulator.fault("ban")
    simulator.request("GET", "/api/v3/ping")
    assert simulator.request("GET", "/ws-api/v3").status == 418
    simulator.sim("DELETE", "faults")
    assert simulator.request("GET", "/ws-api/v3").status == 400  # no upgrade was asked for


def test_too_many_attempts_to_connect(simulator: Simulator) -> None:
    statuses: list[int] = []

    def refused() -> bool:
        statuses.append(simulator.request("GET", "/ws-api/v3").status)
        return statuses[-1] == 429

    simulator.until(refused, seconds=20)
    assert len(statuses) >= 300
    simulator.sim("POST", "reset")
    assert simulator.request("GET", "/ws-api/v3").status == 400


# Faults


def rest_and_cancel(simulator: Simulator) -> None:
    """Makes four events: NEW, position, CANCELED, position."""
    simulator.limit("BUY", "1", "59000.00", newClientOrderId="f")
    simulator.signed("DELETE", ORDER, symbol="BTCUSDT", origClientOrderId="f")


ALL = ["NEW", "position", "CANCELED", "position"]


def short(events: list[Any]) -> list[str]:
    return [each.get("x", "position") for each in events]


def test_stream_drop_loses_one_event(simulator: Simulator, stream: Stream) -> None:
    simulator.fault("stream_drop", "executionReport", skip=1)
    rest_and_cancel(simulator)
    assert short(stream.events(3)) == ["NEW", "position", "position"]
    rest_and_cancel(simulator)
    assert short(stream.events(4)) == ALL


def test_stream_duplicate(simulator: Simulator, stream: Stream) -> None:
    simulator.fault("stream_duplicate", "executionReport")
    rest_and_cancel(simulator)
    events = stream.events(5)
    assert short(events) == ["NEW", *ALL]
    assert events[0] == events[1]


def test_stream_reorder_lets_the_next_event_overtake(simulator: Simulator, stream: Stream) -> None:
    simulator.fault("stream_reorder", "executionReport", match={"client_order_id": "f"})
    rest_and_cancel(simulator)
    assert short(stream.events(4)) == ["position", "NEW", "CANCELED", "position"]


def test_stream_delay_keeps_the_order(simulator: Simulator, stream: Stream) -> None:
    simulator.fault("stream_delay", "executionReport", ms=200)
    started = time.monotonic()
    rest_and_cancel(simulator)
    assert short(stream.events(4)) == ALL
    assert time.monotonic() - started >= 0.2


def test_stream_silence_until_it_is_lifted(simulator: Simulator, stream: Stream) -> None:
    simulator.fault("stream_silence")
    rest_and_cancel(simulator)
    assert stream.ask("ping")["status"] == 200
    assert not stream._waiting
    assert stream.socket.ping().wait(5)
    assert simulator.sim("GET", "faults")[0]["hits"] == 4
    simulator.sim("DELETE", "faults")
    rest_and_cancel(simulator)
    assert short(stream.events(4)) == ALL


def test_stream_silence_without_pings(simulator: Simulator) -> None:
    simulator.sim("POST", "streams/settings", {"ping_ms": 20})
    simulator.fault("stream_silence", pings=False)
    with Stream(simulator) as stream:
        stream.subscribe()
        rest_and_cancel(simulator)
        assert not stream.socket.ping().wait(0.1)


@pytest.mark.parametrize(
    ("options", "seen", "end"),
    [
        ({}, [], ConnectionClosedOK),
        ({"deliver": True}, ["NEW"], ConnectionClosedOK),
        ({"reset": True}, [], ConnectionClosedError),
    ],
)
def test_stream_disconnect(
    simulator: Simulator, stream: Stream, options: dict[str, Any], seen: list[str], end: type[Exception]
) -> None:
    simulator.fault("stream_disconnect", "executionReport", **options)
    rest_and_cancel(simulator)
    assert short(stream.events(len(seen))) == seen
    assert isinstance(stream.closed(), end)
    simulator.until(lambda: simulator.sim("GET", "streams") == [])
    with Stream(simulator) as again:  # there is no replay
        again.subscribe()
        simulator.market("BUY", quantity="0.1")
        assert short(again.events(3)) == ["NEW", "TRADE", "position"]


def test_server_shutdown(simulator: Simulator, stream: Stream) -> None:
    assert simulator.sim("POST", "streams/shutdown", {"ms": 50}) == {"disconnected": 1}
    message = stream.next()
    assert (set(message), message["event"]["e"]) == ({"event"}, "serverShutdown")
    assert isinstance(stream.closed(), ConnectionClosedOK)


def test_disconnect_by_account(simulator: Simulator, stream: Stream, ed25519: Credentials) -> None:
    with Stream(simulator, credentials=ed25519) as second:
        second.subscribe()
        assert simulator.sim("POST", "streams/disconnect", {"account": "two"}) == {"disconnected": 1}
        second.closed()
    assert stream.ask("ping")["status"] == 200


def test_stream_faults_and_call_faults_do_not_take_each_other(simulator: Simulator, stream: Stream) -> None:
    simulator.fault("reject")
    simulator.fault("stream_drop")
    rejected = simulator.market("BUY", quantity="0.1")
    assert rejected.status == 400
    assert simulator.market("BUY", quantity="0.1").status == 200
    assert short(stream.events(2)) == ["TRADE", "position"]


def test_terminating_ends_open_connections(start: Any) -> None:
    simulator = start("--frozen")
    simulator.account()
    with Stream(simulator) as stream:
        stream.subscribe()
        assert simulator.stop() == 0
        assert stream.event()["e"] == "serverShutdown"
        stream.closed()
