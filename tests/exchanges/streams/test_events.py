"""Stream events as reports: which id is ours, what is a trade, and what is never guessed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from exchanges.adapters import Credentials
from exchanges.binance import parsing
from exchanges.http.decoding import Unparsable
from exchanges.reports import DepthReport, Fee, OrderReport, PublicTrade, ReportedStatus, TradeReport
from exchanges.streams import binance_events, btcturk_events
from exchanges.streams.binance import BinanceMarket, BinancePrivate, market_url
from exchanges.streams.btcturk import BtcturkMarket, BtcturkPrivate, signature
from exchanges.streams.talk import BalancesMoved, Hint, Look, Reports, Terminated, UnknownOnce
from execution_project.common import clock

D = Decimal
REPORT = {
    "e": "executionReport", "E": 1700000000001, "s": "BTCUSDT", "c": "ours-1", "S": "BUY", "o": "LIMIT", "f": "GTC",
    "q": "0.50000000", "p": "60000.00", "P": "0.00", "F": "0.00", "g": -1, "C": "", "x": "NEW", "X": "NEW",
    "r": "NONE", "i": 42, "l": "0.00000000", "z": "0.00000000", "L": "0.00", "n": "0", "N": None,
    "T": 1700000000000, "t": -1, "I": 7, "w": True, "m": False, "M": False, "O": 1699999999999,
    "Z": "0.00", "Y": "0.00", "Q": "0.00", "V": "EXPIRE_TAKER",
}  # fmt: skip
TRADE = {
    **REPORT, "x": "TRADE", "X": "PARTIALLY_FILLED", "l": "0.20000000", "z": "0.30000000", "L": "59999.50",
    "n": "0.00020000", "N": "BTC", "t": 900, "m": True, "Z": "17999.85", "Y": "11999.90",
}  # fmt: skip


def test_new_order() -> None:
    (order,) = binance_events.execution_report(REPORT)
    assert isinstance(order, OrderReport)
    assert (order.client_order_id, order.exchange_order_id) == ("ours-1", "42")
    assert (order.status, order.quantity, order.price) == (ReportedStatus.OPEN, D("0.5"), D(60000))
    assert (order.as_of, order.source) == (clock.from_ms(1700000000000), "stream")


def test_trade_carries_its_order_and_its_fee() -> None:
    order, trade = binance_events.execution_report(TRADE)
    assert isinstance(order, OrderReport) and isinstance(trade, TradeReport)
    assert (order.status, order.cumulative_quantity) == (ReportedStatus.PARTIALLY_FILLED, D("0.3"))
    assert (trade.trade_id, trade.quantity, trade.price, trade.quote_quantity) == (
        "900", D("0.2"), D("59999.5"), D("11999.9"),
    )  # fmt: skip
    assert trade.fees == (Fee("BTC", D("0.0002")),)
    assert (trade.side, trade.is_maker, trade.client_order_id) == ("BUY", True, "ours-1")


def test_a_cancel_is_about_the_order_and_not_about_the_cancels_own_id() -> None:
    (order,) = binance_events.execution_report(
        {**REPORT, "c": "cancel-9", "C": "ours-1", "x": "CANCELED", "X": "CANCELED"}
    )
    assert isinstance(order, OrderReport)
    assert (order.client_order_id, order.status) == ("ours-1", ReportedStatus.CANCELED)


def test_prevented_and_unknown_executions_are_no_trades() -> None:
    prevented = {**REPORT, "x": "TRADE_PREVENTION", "X": "EXPIRED_IN_MATCH", "v": 3, "pl": "0.1"}
    (order,) = binance_events.execution_report(prevented)
    assert isinstance(order, OrderReport) and order.status is ReportedStatus.EXPIRED
    (order,) = binance_events.execution_report({**REPORT, "x": "SOMETHING", "X": "ODD"})
    assert isinstance(order, OrderReport) and order.status is ReportedStatus.UNRECOGNISED


@pytest.mark.parametrize(
    "change", [{"i": None}, {"q": 0.5}, {"z": "x"}, {"T": "yesterday"}, {"c": "", "C": None, "s": ""}]
)
def test_what_cannot_be_read_is_never_guessed(change: dict[str, Any]) -> None:
    with pytest.raises(Unparsable):
        binance_events.execution_report({**REPORT, **change})


@pytest.mark.parametrize("change", [{"l": "0"}, {"L": "-1"}, {"n": None}, {"t": "900"}, {"S": "HOLD"}])
def test_a_trade_that_cannot_be_read_is_no_order_without_one(change: dict[str, Any]) -> None:
    with pytest.raises(Unparsable):
        binance_events.execution_report({**TRADE, **change})


USER_TRADE = {
    "id": 636640009111122233, "orderId": 61912740, "timestamp": 1700000000500, "numeratorSymbol": "BTC",
    "denominatorSymbol": "TRY", "amount": "-0.02", "fee": "-30.0", "tax": "-6.0", "price": "3000000",
    "orderType": "sell", "orderClientId": "ours-2", "preciseAmount": D("-0.0200000001"),
}  # fmt: skip
INSERTED = {
    "type": 451, "pairId": 1, "symbol": "BTCTRY", "id": 61912740, "method": 0, "userId": 5, "orderType": 1,
    "price": "3000000", "amount": "0.02", "numLeft": "0.01", "denomLeft": "59928", "newOrderClientId": "ours-2",
}  # fmt: skip


def test_user_trade() -> None:
    trade = btcturk_events.user_trade(USER_TRADE)
    assert (trade.symbol, trade.trade_id, trade.exchange_order_id) == ("BTCTRY", "636640009111122233", "61912740")
    assert (trade.side, trade.quantity, trade.source) == ("SELL", D("0.0200000001"), "stream")
    assert trade.fees == (Fee("TRY", D(30), "fee"), Fee("TRY", D(6), "tax"))


def test_inserted_order_says_nothing_of_fills() -> None:
    now = clock.now()
    order = btcturk_events.order_inserted(INSERTED, now)
    assert (order.client_order_id, order.exchange_order_id, order.side) == ("ours-2", "61912740", "SELL")
    assert (order.status, order.quantity, order.cumulative_quantity) == (ReportedStatus.OPEN, D("0.02"), 0)
    assert abs((order.as_of - now).total_seconds()) < 0.001
    with pytest.raises(Unparsable):
        btcturk_events.order_inserted({**INSERTED, "method": 9}, now)


def test_full_book_is_sorted_and_cut() -> None:
    rows = [{"A": "1", "P": str(100 + n)} for n in range(30)]
    book = btcturk_events.full_book(
        {"PS": "BTCTRY", "AO": rows[::-1], "BO": [{"A": "0", "P": "99"}, {"A": "2", "P": "98"}]}
    )
    assert (book.asks[0], len(book.asks), book.bids) == ((D(100), D(1)), 20, ((D(98), D(2)),))


def in_a_loop(test: Callable[[], None]) -> None:
    async def run() -> None:
        test()

    asyncio.run(run())


def heard(make: Callable[[Callable[[Hint], None], UnknownOnce], Any], *frames: str) -> tuple[list[Hint], Any]:
    hints: list[Hint] = []
    talks: list[Any] = []

    def run() -> None:
        talk = make(hints.append, UnknownOnce())
        talks.append(talk)
        for frame in frames:
            try:
                talk.hear(frame)
            except Unparsable as error:
                talk.missed(error)

    in_a_loop(run)
    return hints, talks[0]


def private(emit: Callable[[Hint], None], unknown: UnknownOnce) -> BinancePrivate:
    return BinancePrivate("ws://127.0.0.1:9/x", Credentials("key", "secret"), 1, emit=emit, unknown=unknown)


def turk(emit: Callable[[Hint], None], unknown: UnknownOnce) -> BtcturkPrivate:
    return BtcturkPrivate("ws://127.0.0.1:9/x", Credentials("key", "AAEC"), 1, emit=emit, unknown=unknown)


def wrapped(event: dict[str, Any]) -> str:
    return json.dumps({"subscriptionId": 0, "event": event})


def test_what_each_binance_event_leads_to() -> None:
    hints, talk = heard(
        private,
        wrapped(TRADE),
        wrapped({"e": "outboundAccountPosition", "B": []}),
        wrapped({"e": "listStatus"}),
        '{"event":{"e":"serverShutdown","E":1}}',
        wrapped({**TRADE, "l": 1}),
        "<html>",
    )
    assert [type(hint) for hint in hints] == [Reports, BalancesMoved, Look, Look]
    assert talk.over.is_set()
    with pytest.raises(Terminated):
        talk.hear(wrapped({"e": "eventStreamTerminated"}))


def test_what_each_btcturk_event_leads_to() -> None:
    frames = [[991, {}], [423, {**USER_TRADE, "preciseAmount": 0.02, "amount": "-0.02"}], [451, INSERTED]]
    frames += [[441, {}], [452, INSERTED], [201, {}], [402, {}], [423, {"id": 1}]]
    hints, talk = heard(turk, *(json.dumps(frame) for frame in frames))
    assert [type(hint) for hint in hints] == [Reports, Reports, Look, Look, BalancesMoved, Look]
    assert not talk.over.is_set()


def test_a_logout_of_btcturk_is_the_end_and_no_planned_change_of_connections() -> None:
    _, talk = heard(turk)
    with pytest.raises(Terminated):
        talk.hear('[802,{"type":802}]')
    assert not talk.over.is_set()


@pytest.mark.parametrize(
    ("make", "frame"), [(private, wrapped({"e": "tomorrow"})), (turk, '[777,{"type":777}]')], ids=["binance", "btcturk"]
)
def test_unknown_events_are_ignored_and_spoken_of_once(make: Any, frame: str, caplog: pytest.LogCaptureFixture) -> None:
    hints, _ = heard(make, frame, frame, frame)
    assert hints == []
    assert len([record for record in caplog.records if "unknown kind" in record.message]) == 1


def test_login_signature_is_that_of_the_documents() -> None:
    secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    credentials = Credentials("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0", secret)
    assert signature(credentials, 3000) == "QMPOxS539jlzNkAkuKMLziOoAdx1gVrkyy46bAB9ktg="
    with pytest.raises(ValueError, match="must be base64") as refusal:
        signature(Credentials("key", "no base64!"), 3000)
    assert "no base64!" not in str(refusal.value)


@pytest.mark.parametrize(
    ("ws_url", "expected"),
    [
        ("wss://ws-api.binance.com:443/ws-api/v3", "wss://stream.binance.com:443/stream"),
        ("wss://ws-api.testnet.binance.vision/ws-api/v3", "wss://stream.testnet.binance.vision/stream"),
        ("wss://demo-ws-api.binance.com/ws-api/v3", "wss://demo-stream.binance.com/stream"),
        ("ws://127.0.0.1:8900/ws-api/v3", "ws://127.0.0.1:8900/stream"),
    ],
)
def test_market_streams_are_beside_the_private_one(ws_url: str, expected: str) -> None:
    assert market_url(ws_url) == expected


PUBLIC = {"e": "trade", "s": "BTCUSDT", "t": 5, "p": "60000.00", "q": "0.5", "T": 1700000000000, "m": True}


@pytest.mark.parametrize(("waited", "aggressor"), [(True, "SELL"), (False, "BUY")])
def test_the_aggressor_of_a_public_trade_is_who_had_not_waited(waited: bool, aggressor: str) -> None:
    trade = parsing.public_trade({**PUBLIC, "m": waited})
    assert (trade.symbol, trade.trade_id, trade.price, trade.quantity) == ("BTCUSDT", "5", D(60000), D("0.5"))
    assert (trade.aggressor, trade.traded_at) == (aggressor, clock.from_ms(1700000000000))


@pytest.mark.parametrize("change", [{"m": 1}, {"p": "0"}, {"q": "-1"}, {"t": None}, {"s": ""}, {"T": "x"}])
def test_a_public_trade_that_cannot_be_read_is_none(change: dict[str, Any]) -> None:
    with pytest.raises(Unparsable):
        parsing.public_trade({**PUBLIC, **change})


TURK = {"PS": "BTCTRY", "I": "9", "D": "1700000000000", "P": "100.0000000000", "A": "0.5000000000", "S": 0}


@pytest.mark.parametrize(
    ("price", "side"), [("101", "BUY"), ("105", "BUY"), ("99", "SELL"), ("90", "SELL"), ("100", None)]
)
@pytest.mark.parametrize("said", [0, 1])
def test_btcturks_word_on_the_side_of_a_trade_is_not_taken(price: str, side: str | None, said: int) -> None:
    book = DepthReport("BTCTRY", ((D(99), D(1)),), ((D(101), D(1)),))
    trade = btcturk_events.public_trade({**TURK, "P": price, "S": said}, book)
    assert (None if trade is None else trade.aggressor) == side
    assert btcturk_events.public_trade({**TURK, "P": price, "S": said}, None) is None


@pytest.mark.parametrize("change", [{"P": "0"}, {"A": "x"}, {"D": "9" * 30}, {"D": None}, {"I": None}, {"PS": 1}])
def test_a_public_trade_of_btcturk_that_cannot_be_read_is_none(change: dict[str, Any]) -> None:
    with pytest.raises(Unparsable):
        btcturk_events.public_trade({**TURK, **change}, DepthReport("BTCTRY", (), ((D("0.1"), D(1)),)))


def test_a_trade_is_no_later_than_it_was_heard_and_unwanted_ones_are_nobodys() -> None:
    heard: list[PublicTrade] = []
    talk = BinanceMarket(
        "ws://127.0.0.1:9/x", {"BTCUSDT", "ETHUSDT"}, {"BTCUSDT"}, unknown=UnknownOnce(), emit=heard.append
    )
    ahead = clock.now_ms() + 5000
    for stream in ("btcusdt@trade", "ethusdt@trade"):
        talk.hear(json.dumps({"stream": stream, "data": {**PUBLIC, "T": ahead}}))
    assert [trade.symbol for trade in heard] == ["BTCUSDT"]
    assert heard[0].traded_at <= clock.now()


def test_a_crossed_book_is_no_price() -> None:
    def run() -> None:
        talk = BtcturkMarket("ws://127.0.0.1:9/x", {"BTCTRY"}, unknown=UnknownOnce())
        good = {"PS": "BTCTRY", "AO": [{"A": "1", "P": "101"}], "BO": [{"A": "1", "P": "100"}]}
        talk.hear(json.dumps([431, good]))
        assert [book.depth.bids for book in talk.confirmed()] == [((D(100), D(1)),)]
        talk.hear(json.dumps([431, {**good, "BO": [{"A": "1", "P": "102"}]}]))
        assert talk.confirmed() == []

    in_a_loop(run)


def test_books_nobody_asked_for_are_not_kept() -> None:
    def run() -> None:
        talk = BinanceMarket("ws://127.0.0.1:9/x", set(), unknown=UnknownOnce())
        talk.hear('{"stream":"ethusdt@depth20@1000ms","data":{"bids":[["1","1"]],"asks":[]}}')
        assert talk.confirmed() == []

    in_a_loop(run)
