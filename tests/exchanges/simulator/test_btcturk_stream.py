"""BTCTurk's websocket: greeting, login, private events, public channels, silences and losses (sheet §6)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.exchanges.simulator.btcturk_client import Turk, signature


class Feed:
    """One connection; frames as (number, object)."""

    def __init__(self, turk: Turk, socket: ClientConnection) -> None:
        self.turk, self.socket = turk, socket
        assert self.next() == (991, {"type": 991, "current": "6.0.0", "min": "2.3.0"})

    def next(self, timeout: float = 5) -> tuple[int, dict[str, Any]]:
        number, body = json.loads(self.socket.recv(timeout), parse_float=Decimal)
        return number, body

    def take(self, count: int) -> list[tuple[int, dict[str, Any]]]:
        return [self.next() for _ in range(count)]

    def say(self, number: int, **body: Any) -> None:
        self.socket.send(json.dumps([number, {"type": number, **body}]))

    def login(self, nonce: int | str = 3000, **changes: Any) -> tuple[int, dict[str, Any]]:
        fields = {
            "publicKey": self.turk.key,
            "timestamp": int(time.time() * 1000),
            "nonce": nonce,
            "signature": signature(self.turk.secret, f"{self.turk.key}{nonce}"),
        }
        self.say(114, **{**fields, **changes})
        return self.next()

    def join(self, channel: str, event: str, joins: bool = True) -> dict[str, Any]:
        self.say(151, channel=channel, event=event, join=joins)
        number, body = self.next()
        assert number == 100
        return body

    def silent(self) -> bool:
        """Nothing has been sent: the next frame is the answer to something said now."""
        return self.join("ticker", "NOPE")["ok"] is False


Opener = Callable[..., Feed]


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Open connections; all are closed at the end."""
    with ExitStack() as stack:

        def begin(turk: Turk, path: str = "/") -> Feed:
            url = f"ws://127.0.0.1:{turk.simulator.port}{path}"
            return Feed(turk, stack.enter_context(connect(url, open_timeout=5, close_timeout=1)))

        yield begin


@pytest.fixture
def feed(turk: Turk, opened: Opener) -> Feed:
    """A connection that has logged in."""
    feed = opened(turk)
    assert feed.login() == (114, {"type": 114, "ok": True, "id": 0, "message": None})
    return feed


def kinds(frames: list[tuple[int, dict[str, Any]]]) -> list[int]:
    return [number for number, _ in frames]


def test_login_signs_the_nonce_and_checks_the_timestamp(turk: Turk, opened: Opener) -> None:
    feed, now = opened(turk, "/ws"), int(time.time() * 1000)
    cases: list[tuple[str, dict[str, Any]]] = [
        ("Invalid Request", {"timestamp": None}),
        ("Invalid Public key", {"publicKey": "nobody"}),
        ("Invalid Nonce", {"timestamp": now - 6000}),
        ("Invalid Signature", {"signature": signature(turk.secret, f"{turk.key}{now}")}),
    ]
    for reason, changes in cases:
        assert feed.login(**changes) == (
            114,
            {"type": 114, "ok": False, "id": 0, "message": f"Unauthorized - {reason}"},
        )
    turk.settings(login_nonce="timestamp")
    assert feed.login()[1]["message"] == "Unauthorized - Invalid Nonce"
    stamp = int(time.time() * 1000)
    assert feed.login(stamp, timestamp=stamp)[1]["ok"] is True
    assert feed.login(stamp, timestamp=stamp)[1]["message"] == "Unauthorized - Invalid Request"
    turk.settings(login_nonce="3000")
    other = opened(turk)
    assert [other.login(nonce)[1]["ok"] for nonce in (3001, 3000)] == [False, True]
    assert [row["account"] for row in turk.simulator.sim("GET", "btcturk/streams")] == ["turk", "turk"]


def test_the_websocket_right_is_its_own(turk: Turk, opened: Opener) -> None:
    other = Turk(turk.simulator, "other", "key-other")
    other.open(permissions=["trade", "account", "total_funds"])
    feed = opened(other)
    assert feed.login()[1]["ok"] is False
    other.limit("buy", "0.01", "2900000")
    assert feed.silent()
    feed.socket.send("no json")
    feed.socket.send('{"type":1}')
    feed.socket.send('[999,{"type":999}]')
    feed.socket.send("[[],5]")
    feed.socket.send("[" * 5000)
    assert feed.login(signature="\ud800")[1]["message"] == "Unauthorized - Invalid Signature"
    assert feed.silent()


def test_the_life_of_an_order_in_events(feed: Feed) -> None:
    turk = feed.turk
    order_id = turk.limit("buy", "0.02", "2900000", newOrderClientId="life").body["data"]["id"]
    (number, insert), (balance_number, balance) = feed.take(2)
    assert (number, balance_number) == (451, 201)
    assert insert == {
        "type": 451,
        "pairId": 1,
        "symbol": "BTCTRY",
        "id": order_id,
        "method": 0,
        "userId": insert["userId"],
        "orderType": 0,
        "price": "2900000",
        "amount": "0.02000000",
        "numLeft": "0.02000000",
        "denomLeft": "58069.6",
        "newOrderClientId": "life",
    }
    assert balance["payload"] == {"TRY": {"free": "9941930.4", "locked": "58069.6"}}
    turk.print_trade("2900000", "0.005", "SELL")
    (_, match), (_, trade), _ = feed.take(3)
    assert (match["id"], match["isBid"], match["amount"], match["clientId"]) == (order_id, True, "0.00500000", "life")
    assert "type" not in trade
    rest = turk.trades()[0]
    assert {**trade, "preciseAmount": str(trade["preciseAmount"])} == {**rest, "preciseAmount": "0.0050000000000000"}
    turk.cancel(order_id)
    (number, delete), _ = feed.take(2)
    assert (number, delete["id"], delete["numLeft"]) == (452, order_id, "0.01500000")


def test_a_full_fill_has_no_message_of_its_own_unless_switched_on(feed: Feed) -> None:
    turk = feed.turk
    turk.market("sell", "0.01")
    assert kinds(feed.take(4)) == [451, 441, 423, 201]
    assert feed.silent()
    turk.settings(delete_on_fill=True)
    turk.market("sell", "0.01")
    frames = feed.take(5)
    assert kinds(frames) == [451, 441, 423, 452, 201]
    assert frames[2][1]["preciseAmount"] == Decimal("-0.01")


def test_a_triggered_stop_in_events(feed: Feed) -> None:
    turk = feed.turk
    turk.limit("sell", "0.01", "2800000", orderMethod="stopLimit", stopPrice="2950000", newOrderClientId="s")
    (_, stop), _ = feed.take(2)
    assert (stop["method"], stop["orderType"]) == (2, 1)
    turk.print_trade("2950000", "0.1", "SELL")
    frames = feed.take(5)
    assert kinds(frames) == [452, 451, 441, 423, 201]
    assert (frames[0][1]["id"], frames[1][1]["id"], frames[1][1]["method"]) == (stop["id"], stop["id"] + 1, 0)
    assert frames[1][1]["newOrderClientId"] == "s"


def test_events_go_wrong_on_order(feed: Feed) -> None:
    turk = feed.turk

    def events(kind: str, call: str = "451", **options: Any) -> list[int]:
        turk.simulator.sim("DELETE", "faults")
        turk.simulator.fault(kind, call, match={"exchange": "btcturk", "account": "turk"}, **options)
        turk.limit("buy", "0.001", "2900000")
        feed.say(151, channel="ticker", event="NOPE", join=True)
        frames: list[int] = []
        while not frames or frames[-1] != 100:
            frames.append(feed.next()[0])
        return frames[:-1]

    assert events("stream_drop") == [201]
    assert events("stream_duplicate") == [451, 451, 201]
    assert events("stream_reorder") == [201, 451]
    assert events("stream_drop", "*", times=2) == []
    started = time.monotonic()
    assert events("stream_delay", ms=80) == [451, 201]
    assert time.monotonic() - started >= 0.08
    assert events("stream_silence", "*") == []
    turk.simulator.sim("DELETE", "faults")
    turk.simulator.fault("stream_disconnect", "451", deliver=True)
    turk.limit("buy", "0.001", "2900000")
    assert feed.next()[0] == 451
    with pytest.raises(ConnectionClosed):
        feed.take(2)
    assert len(turk.data("openOrders")["bids"]) == 7


def test_a_mute_connection_answers_no_ping(feed: Feed) -> None:
    assert feed.socket.ping().wait(5)
    feed.turk.simulator.fault("stream_silence", "*", pings=False)
    feed.turk.limit("buy", "0.001", "2900000")
    assert not feed.socket.ping().wait(0.1)
    assert feed.silent()


def test_the_control_api_ends_connections(feed: Feed, opened: Opener) -> None:
    stranger = opened(feed.turk)
    assert feed.turk.simulator.sim("POST", "streams/disconnect", {"account": "turk"}) == {"disconnected": 1}
    with pytest.raises(ConnectionClosed):
        feed.next()
    assert stranger.silent()
    assert feed.turk.simulator.sim("POST", "btcturk/streams/disconnect", {"reset": True}) == {"disconnected": 1}
    with pytest.raises(ConnectionClosed):
        stranger.next()
    feed.turk.simulator.until(lambda: feed.turk.simulator.sim("GET", "btcturk/streams") == [])


def test_attempts_to_connect_are_counted(turk: Turk, opened: Opener) -> None:
    turk.settings(limits_on=True, limits={"websocket": [[1, 60]]})
    opened(turk)
    with pytest.raises(InvalidStatus) as refused:
        opened(turk)
    assert refused.value.response.status_code == 429
    assert turk.simulator.request("GET", "/ws").status == 429
    turk.settings(limits_on=False)
    assert turk.simulator.request("GET", "/ws").status == 400


def test_public_channels(turk: Turk, opened: Opener) -> None:
    feed = opened(turk)
    assert feed.join("ticker", "BTCTRY") == {"type": 100, "ok": True, "id": 0, "message": "join|ticker:BTCTRY"}
    number, ticker = feed.next()
    assert (number, ticker["B"], ticker["AA"], ticker["PId"], ticker["NS"]) == (402, "2999000", "1", 1, "BTC")
    assert feed.join("ticker", "BTCTRY", joins=False)["message"] == "leave|ticker:BTCTRY"
    feed.join("ticker", "all")
    number, tickers = feed.next()
    assert (number, len(tickers["items"])) == (401, 6)
    feed.join("ticker", "all", joins=False)
    feed.join("trade", "BTCTRY")
    assert feed.next()[0] == 421
    turk.market("sell", "0.25")
    number, trade = feed.next()
    assert (number, trade["A"], trade["P"], trade["S"]) == (422, "0.2500000000", "2999000.0000000000", 0)
    feed.join("trade", "BTCTRY", joins=False)
    feed.join("orderbook", "BTCTRY")
    number, book = feed.next()
    assert (number, book["BO"][0]) == (431, {"A": "0.75", "P": "2999000"})
    number, again = feed.next()
    assert number == 431 and again["CS"] > book["CS"]


def test_book_differences_lead_from_book_to_book(turk: Turk, opened: Opener) -> None:
    feed = opened(turk)
    feed.join("obdiff", "BTCTRY")
    full = feed.next()[1]
    asks = {row["P"]: row["A"] for row in full["AO"]}
    turk.book([["2999000", "1"]], [["3000000", "0.5"], ["3002000", "4"]])
    number, difference = feed.next()
    assert number == 432 and difference["CS"] > full["CS"]
    assert {(row["P"], row["CP"]) for row in difference["AO"]} == {("3000000", 0), ("3002000", 1), ("3001000", 3)}
    assert [(row["P"], row["CP"]) for row in difference["BO"]] == [("2998000", 3)]
    for row in difference["AO"]:
        asks.pop(row["P"], None) if row["CP"] == 3 else asks.update({row["P"]: row["A"]})
    assert asks == {"3000000": "0.5", "3002000": "4"}
