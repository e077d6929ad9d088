"""The adapter on scripted answers: requests as prepared, an outcome for every answer, reads believed or failed."""

from __future__ import annotations

import dataclasses
import time
import traceback
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.adapters import CancelInstruction, ExchangeAdapter, PlaceInstruction, PreparedRequest
from exchanges.binance.adapter import BinanceAdapter
from exchanges.binance.limits import COSTS, Usage, usage_headers
from exchanges.http.calls import WrongThread
from exchanges.http.transport import Timeouts
from exchanges.reports import Evidence, OrderReport, Outcome, ReadFailed, ReportedStatus, TradeReport
from exchanges.reports import OutcomeKind as Kind
from tests.exchanges.binance import samples
from tests.exchanges.binance.samples import (
    CANCEL,
    CLIENT_ID,
    CREDENTIALS,
    KEY,
    LIMIT,
    RECV_WINDOW,
    SECRET,
    STAMP,
)
from tests.exchanges.fake_server import DROP, HANG, FakeServer, answer
from tests.exchanges.times import soon

NOW = {"now_ms": STAMP}
Adapt = Callable[..., BinanceAdapter]


def place(adapter: BinanceAdapter) -> Outcome:
    return adapter.send(adapter.prepare_place(LIMIT, STAMP, RECV_WINDOW), soon())


def cancel(adapter: BinanceAdapter) -> Outcome:
    return adapter.send(adapter.prepare_cancel(CANCEL, STAMP, RECV_WINDOW), soon())


def test_it_is_an_exchange_adapter(adapt: Adapt) -> None:
    adapter: ExchangeAdapter = adapt()
    assert "127.0.0.1" in repr(adapter)


# Preparing


def prepared(instruction: PlaceInstruction, server_free: BinanceAdapter) -> dict[str, str]:
    return dict(server_free.prepare_place(instruction, STAMP, RECV_WINDOW).parameters)


COMMON = {
    "newClientOrderId": CLIENT_ID,
    "newOrderRespType": "FULL",
    "selfTradePreventionMode": "EXPIRE_TAKER",
    "symbol": "BTCUSDT",
    "side": "BUY",
    "timestamp": str(STAMP),
    "recvWindow": str(RECV_WINDOW),
}


def test_limit(adapt: Adapt) -> None:
    sizes = {"type": "LIMIT", "quantity": "0.5", "price": "60000.1", "timeInForce": "GTC"}
    assert prepared(LIMIT, adapt()) == {**COMMON, **sizes}


def test_market_by_quantity(adapt: Adapt) -> None:
    market = PlaceInstruction("BTCUSDT", "BUY", "MARKET", CLIENT_ID, quantity=Decimal("1E-5"))
    assert prepared(market, adapt()) == {**COMMON, "type": "MARKET", "quantity": "0.00001"}


def test_market_by_quote(adapt: Adapt) -> None:
    market = PlaceInstruction("BTCUSDT", "BUY", "MARKET", CLIENT_ID, quote_quantity=Decimal("1E+2"))
    assert prepared(market, adapt()) == {**COMMON, "type": "MARKET", "quoteOrderQty": "100"}


def test_limit_maker(adapt: Adapt) -> None:
    maker = dataclasses.replace(LIMIT, type="LIMIT_MAKER", time_in_force=None)
    assert prepared(maker, adapt()) == {**COMMON, "type": "LIMIT_MAKER", "quantity": "0.5", "price": "60000.1"}


@pytest.mark.parametrize(
    "changes",
    [
        {"client_order_id": ""},
        {"client_order_id": "a" * 37},
        {"client_order_id": "a b"},
        {"type": "STOP_LOSS_LIMIT"},
        {"type": "LIMIT_MAKER"},
        {"type": "MARKET"},
        {"price": None},
        {"quantity": None},
        {"time_in_force": None},
        {"quote_quantity": Decimal(1)},
        {"quantity": Decimal(0)},
        {"price": Decimal("0.00")},
        {"price": Decimal(-1)},
        {"quantity": Decimal("NaN")},
        {"quantity": Decimal("1E-21")},
    ],
)
def test_what_cannot_be_prepared(adapt: Adapt, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        adapt().prepare_place(dataclasses.replace(LIMIT, **changes), STAMP, RECV_WINDOW)


@pytest.mark.parametrize("window", [0, -1, 60_001])
def test_receive_window_is_bounded(adapt: Adapt, window: int) -> None:
    with pytest.raises(ValueError, match="recvWindow"):
        adapt().prepare_cancel(CANCEL, STAMP, window)


def test_cancel_goes_by_the_exchange_id_when_it_is_known(adapt: Adapt) -> None:
    adapter = adapt()
    stamps = {"symbol": "BTCUSDT", "timestamp": str(STAMP), "recvWindow": str(RECV_WINDOW)}
    by_exchange = CancelInstruction("BTCUSDT", CLIENT_ID, "28")
    assert dict(adapter.prepare_cancel(by_exchange, STAMP, RECV_WINDOW).parameters) == {**stamps, "orderId": "28"}
    by_client = dict(adapter.prepare_cancel(CANCEL, STAMP, RECV_WINDOW).parameters)
    assert by_client == {**stamps, "origClientOrderId": CLIENT_ID}


@given(
    st.decimals(min_value=Decimal("1E-18"), max_value=Decimal(10**18), places=18),
    st.decimals(min_value=Decimal("1E-18"), max_value=Decimal(10**18), places=18),
)
def test_sizes_reach_the_wire_exactly(quantity: Decimal, price: Decimal) -> None:
    with FakeServer([answer({})]) as server:
        adapter = BinanceAdapter(CREDENTIALS, server.url)
        instruction = dataclasses.replace(LIMIT, quantity=quantity, price=price)
        adapter.send(adapter.prepare_place(instruction, STAMP, RECV_WINDOW), soon())
        adapter.close()
    sent = dict(parse_qsl(server.seen[0].body))
    assert (Decimal(sent["quantity"]), Decimal(sent["price"])) == (quantity, price)
    assert not {"e", "E", "+", "-"} & set(sent["quantity"] + sent["price"])


# Sending


def test_the_wire_carries_exactly_what_was_prepared(adapt: Adapt, server: FakeServer) -> None:
    adapter = adapt(answer(samples.placed()))
    request = adapter.prepare_place(LIMIT, STAMP, RECV_WINDOW)
    adapter.send(request, soon())
    sent = parse_qsl(server.seen[0].body)
    assert tuple(sent[:-1]) == request.parameters
    assert sent[-1][0] == "signature"
    assert (server.seen[0].method, server.seen[0].target) == ("POST", request.path)


def test_a_placement_is_accepted_with_its_reports(adapt: Adapt) -> None:
    outcome = place(adapt(answer(samples.placed(), headers={"X-MBX-ORDER-COUNT-10S": "3", "Set-Cookie": "x=y"})))
    assert outcome.kind is Kind.ACCEPTED
    assert [type(report) for report in outcome.reports] == [OrderReport, TradeReport, TradeReport]
    assert outcome.evidence.http_status == 200
    assert outcome.evidence.headers == {"x-mbx-order-count-10s": "3"}
    assert outcome.evidence.parameters["newClientOrderId"] == CLIENT_ID


def test_a_cancel_is_accepted_with_the_order(adapt: Adapt, server: FakeServer) -> None:
    outcome = cancel(adapt(answer(samples.canceled())))
    (report,) = outcome.reports
    assert outcome.kind is Kind.ACCEPTED
    assert isinstance(report, OrderReport)
    assert (report.client_order_id, report.status) == (CLIENT_ID, ReportedStatus.CANCELED)
    assert server.seen[0].method == "DELETE"


@pytest.mark.parametrize("changes", [{"clientOrderId": "other"}, {"symbol": "ETHUSDT"}])
def test_an_answer_about_another_order_proves_nothing(adapt: Adapt, changes: dict[str, Any]) -> None:
    outcome = place(adapt(answer(samples.placed(**changes))))
    assert (outcome.kind, outcome.reason, outcome.reports) == (Kind.UNKNOWN, "mismatch", ())


def test_a_cancel_answer_about_another_order_proves_nothing(adapt: Adapt) -> None:
    adapter = adapt(answer(samples.canceled(orderId=29)))
    request = adapter.prepare_cancel(CancelInstruction("BTCUSDT", CLIENT_ID, "28"), STAMP, RECV_WINDOW)
    outcome = adapter.send(request, soon())
    assert (outcome.kind, outcome.reason) == (Kind.UNKNOWN, "mismatch")


BODIES = [b"", b"[]", b"null", b'"str"', b"7", b"{}", b"<html>no</html>", b"{", b"\xff", b'{"a":1,"a":2}', b"[[[["]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("write", [place, cancel])
def test_a_success_that_cannot_be_read_proves_nothing(
    adapt: Adapt, body: bytes, write: Callable[[BinanceAdapter], Outcome]
) -> None:
    outcome = write(adapt(answer(body)))
    assert (outcome.kind, outcome.reason, outcome.reports) == (Kind.UNKNOWN, "unparsable", ())


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("status", [400, 404, 500, 503, 302])
def test_a_failure_that_cannot_be_read_proves_nothing(adapt: Adapt, body: bytes, status: int) -> None:
    outcome = place(adapt(answer(body, status)))
    assert outcome.kind is Kind.UNKNOWN
    assert (outcome.code, outcome.message) == ("", "")
    assert outcome.evidence.http_status == status


def test_an_error_body_under_a_success_status_proves_nothing(adapt: Adapt) -> None:
    outcome = place(adapt(answer({"code": -2010, "msg": "Account has insufficient balance for requested action."})))
    assert outcome.kind is Kind.UNKNOWN


def test_a_refusal_keeps_the_words_of_the_exchange(adapt: Adapt) -> None:
    outcome = place(adapt(answer({"code": -1013, "msg": "Filter failure: NOTIONAL"}, 400)))
    assert (outcome.kind, outcome.code, outcome.message) == (Kind.REFUSED, "-1013", "Filter failure: NOTIONAL")
    assert outcome.reason == "filter"
    assert "NOTIONAL" in outcome.evidence.body


@pytest.mark.parametrize(
    ("status", "headers", "wait", "banned"),
    [
        (429, {"Retry-After": "7"}, 7000, False),
        (429, {}, 60_000, False),
        (429, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, 60_000, False),
        (418, {"Retry-After": "259200"}, 259_200_000, True),
        (418, {}, 120_000, True),
    ],
)
def test_throttling(adapt: Adapt, status: int, headers: dict[str, str], wait: int, banned: bool) -> None:
    outcome = place(adapt(answer({"code": -1003, "msg": "Too much request weight used"}, status, headers)))
    assert (outcome.kind, outcome.throttled_for_ms, outcome.banned) == (Kind.THROTTLED, wait, banned)


@pytest.mark.parametrize(
    ("reply", "kind", "reason"),
    [(DROP, Kind.UNKNOWN, "connection_lost"), (HANG, Kind.UNKNOWN, "read_timeout")],
)
def test_a_lost_answer_proves_nothing(adapt: Adapt, server: FakeServer, reply: object, kind: Kind, reason: str) -> None:
    outcome = place(adapt(reply, timeouts=Timeouts(read=0.2)))
    assert (outcome.kind, outcome.reason, outcome.reports) == (kind, reason, ())
    assert len(server.seen) == 1


def test_too_late_is_not_sent(adapt: Adapt, server: FakeServer) -> None:
    adapter = adapt()
    outcome = adapter.send(adapter.prepare_place(LIMIT, STAMP, RECV_WINDOW), time.monotonic() - 1)
    assert (outcome.kind, outcome.reason) == (Kind.NOT_SENT, "too_late")
    assert "no byte was written" in outcome.evidence.error
    assert server.raw == b""


def tampered(request: PreparedRequest) -> Iterator[PreparedRequest]:
    parameters = dict(request.parameters)
    for changes in ({"quantity": "5"}, {"timestamp": "1"}, {"recvWindow": "1"}):
        yield dataclasses.replace(request, parameters=tuple(sorted({**parameters, **changes}.items())))
    yield dataclasses.replace(request, parameters=(*request.parameters, ("type", "MARKET")))
    yield dataclasses.replace(request, parameters=tuple(reversed(request.parameters)))
    yield dataclasses.replace(request, stamp_ms=STAMP + 1)
    yield dataclasses.replace(request, body_hash="0" * 64)


def test_an_altered_request_is_not_sent(adapt: Adapt, server: FakeServer) -> None:
    adapter = adapt()
    for request in tampered(adapter.prepare_place(LIMIT, STAMP, RECV_WINDOW)):
        outcome = adapter.send(request, soon())
        assert (outcome.kind, outcome.reason) == (Kind.NOT_SENT, "altered")
    assert server.connections == 0


def test_only_its_own_writes_are_sent(adapt: Adapt) -> None:
    adapter = adapt()
    request = dataclasses.replace(adapter.prepare_place(LIMIT, STAMP, RECV_WINDOW), path="/api/v3/openOrders")
    with pytest.raises(ValueError, match="openOrders"):
        adapter.send(request, soon())


def test_evidence_is_bounded_and_storable(adapt: Adapt) -> None:
    outcome = place(adapt(answer(b"\x00" + b"x" * 200_000, 500)))
    assert len(outcome.evidence.body.encode()) <= 65_536
    assert "\x00" not in outcome.evidence.body


# Secrets


def echo(server: FakeServer) -> bytes:
    """A page that repeats what a careless proxy might: key, secret and a signature, also around the size limit."""
    return (f"<html>{KEY} signature=00ff00ff {SECRET} " + "y" * 65_400 + KEY + SECRET + "</html>").encode()


@pytest.mark.parametrize("status", [200, 400, 403, 500])
def test_secrets_stay_out_of_evidence_and_errors(adapt: Adapt, server: FakeServer, status: int) -> None:
    adapter = adapt(answer(echo(server), status))
    outcome = place(adapter)
    shown = repr(outcome) + repr(adapter)
    try:
        adapter.query_order("BTCUSDT", client_order_id=CLIENT_ID, exchange_order_id=None, **NOW)
    except ReadFailed as failed:
        shown += repr(failed.outcome) + "".join(traceback.format_exception(failed))
    signatures = [seen.payload.rpartition("signature=")[2] for seen in server.seen]
    assert len(signatures) == 2
    for secret in (KEY, SECRET, KEY[:20], SECRET[:20], "00ff00ff", *signatures):
        assert secret not in shown


def test_secrets_stay_out_of_connection_errors() -> None:
    adapter = BinanceAdapter(CREDENTIALS, "http://127.0.0.1:1")
    with pytest.raises(ReadFailed) as caught:
        adapter.open_orders("BTCUSDT", **NOW)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.outcome)
    assert caught.value.outcome.kind is Kind.NOT_SENT
    assert "signature=" not in shown.replace("signature=…", "")
    assert KEY not in shown
    assert caught.value.__context__ is None


# Reads


def query(adapter: BinanceAdapter, exchange_order_id: str | None = None) -> OrderReport | None:
    return adapter.query_order("BTCUSDT", client_order_id=CLIENT_ID, exchange_order_id=exchange_order_id, now_ms=STAMP)


def test_query_by_client_id_and_by_exchange_id(adapt: Adapt, server: FakeServer) -> None:
    adapter = adapt(answer(samples.order()))
    assert query(adapter) == query(adapter, "28")
    by_client, by_exchange = (dict(parse_qsl(seen.payload)) for seen in server.seen)
    assert by_client["origClientOrderId"] == CLIENT_ID
    assert "orderId" not in by_client
    assert by_exchange["orderId"] == "28"
    assert "origClientOrderId" not in by_exchange
    assert (by_client["timestamp"], by_client["recvWindow"]) == (str(STAMP), "5000")


def test_only_order_does_not_exist_is_none(adapt: Adapt) -> None:
    assert query(adapt(answer({"code": -2013, "msg": "Order does not exist."}, 400))) is None


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (answer({"code": -2026, "msg": "archived"}, 400), Kind.REFUSED),
        (answer({"code": -2013, "msg": "Order does not exist."}, 500), Kind.UNKNOWN),
        (answer({"code": -1021, "msg": "Timestamp"}, 400), Kind.CLOCK),
        (answer({"code": -1003, "msg": "Too many"}, 429), Kind.THROTTLED),
        (answer({"code": -2015, "msg": "Invalid API-key"}, 401), Kind.AUTH),
        (answer(b"", 404), Kind.UNKNOWN),
        (answer(b""), Kind.UNKNOWN),
        (answer({}), Kind.UNKNOWN),
        (answer(b"null"), Kind.UNKNOWN),
        (answer([]), Kind.UNKNOWN),
        (DROP, Kind.UNKNOWN),
    ],
)
def test_every_other_answer_fails_the_query(adapt: Adapt, reply: Any, kind: Kind) -> None:
    with pytest.raises(ReadFailed) as caught:
        query(adapt(reply))
    assert caught.value.outcome.kind is kind


def test_query_answers_about_another_order_fail(adapt: Adapt) -> None:
    for shown, wanted in (
        (samples.order(symbol="ETHUSDT"), None),
        (samples.order(orderId=29), "28"),
        (samples.order(clientOrderId="other"), None),
    ):
        with pytest.raises(ReadFailed) as caught:
            query(adapt(answer(shown)), wanted)
        assert caught.value.outcome.reason == "mismatch"


def test_canceled_order_shown_under_the_id_of_its_cancel_is_ours(adapt: Adapt) -> None:
    report = query(adapt(answer(samples.order(status="CANCELED", clientOrderId="cancelOwnId"))))
    assert report is not None
    assert report.client_order_id == CLIENT_ID


def test_open_orders_show_foreign_ones_too(adapt: Adapt, server: FakeServer) -> None:
    foreign = samples.order(orderId=29, clientOrderId="", symbol="币安USDT", status="NEVER_SEEN")
    adapter = adapt(answer([samples.order(), foreign]))
    ours, theirs = adapter.open_orders(None, **NOW)
    assert (ours.client_order_id, theirs.client_order_id) == (CLIENT_ID, "")
    assert theirs.status is ReportedStatus.UNRECOGNISED
    assert "symbol" not in dict(parse_qsl(server.seen[0].payload))
    adapter.open_orders("BTCUSDT", **NOW)
    assert dict(parse_qsl(server.seen[1].payload))["symbol"] == "BTCUSDT"


@pytest.mark.parametrize("read", ["open_orders", "order_trades", "trades_from"])
def test_a_failed_list_is_never_an_empty_list(adapt: Adapt, read: str) -> None:
    adapter = adapt(answer({}), answer(b""), answer(b"null"), answer({"code": -1000}, 500), DROP)
    arguments = {"open_orders": ("BTCUSDT",), "order_trades": ("BTCUSDT", "28"), "trades_from": ("BTCUSDT", "1")}
    for _ in range(5):
        with pytest.raises(ReadFailed):
            getattr(adapter, read)(*arguments[read], **NOW)


def pages(server: FakeServer) -> list[dict[str, str]]:
    return [dict(parse_qsl(seen.payload)) for seen in server.seen]


def test_order_trades_are_read_to_the_end(adapt: Adapt, server: FakeServer) -> None:
    first = [samples.trade(n) for n in range(1, 1001)]
    adapter = adapt(answer(first), answer([samples.trade(1000), samples.trade(1001)]))
    trades = adapter.order_trades("BTCUSDT", "28", **NOW)
    assert [trade.trade_id for trade in trades] == [str(n) for n in range(1, 1002)]
    assert [page["fromId"] for page in pages(server)] == ["0", "1000"]
    assert {page["orderId"] for page in pages(server)} == {"28"}
    assert {page["limit"] for page in pages(server)} == {"1000"}
    assert all(int(page["timestamp"]) >= STAMP for page in pages(server))


def test_self_trade_cut_by_a_page_end_is_not_lost(adapt: Adapt) -> None:
    first = [samples.trade(n) for n in range(1, 1000)] + [samples.trade(1000, order_id=28)]
    second = [samples.trade(1000, order_id=28), samples.trade(1000, order_id=29, isBuyer=False)]
    trades = adapt(answer(first), answer(second)).trades_from("BTCUSDT", "1", **NOW)
    assert len(trades) == 1001
    assert [(trade.trade_id, trade.side) for trade in trades[-2:]] == [("1000", "BUY"), ("1000", "SELL")]


def test_trades_without_a_start_are_the_newest_page_oldest_first(adapt: Adapt, server: FakeServer) -> None:
    newest = [samples.trade(n) for n in range(2000, 1000, -1)]
    trades = adapt(answer(newest)).trades_from("BTCUSDT", None, **NOW)
    assert [trade.trade_id for trade in trades] == [str(n) for n in range(1001, 2001)]
    assert "fromId" not in pages(server)[0]
    assert len(server.seen) == 1


def test_a_walk_that_does_not_advance_fails(adapt: Adapt) -> None:
    page = answer([samples.trade(n) for n in range(1, 1001)])
    with pytest.raises(ReadFailed) as caught:
        adapt(page).trades_from("BTCUSDT", "1", **NOW)
    assert caught.value.outcome.reason == "mismatch"


@pytest.mark.parametrize("changes", [{"symbol": "ETHUSDT"}, {"orderId": 29}])
def test_trades_of_something_else_fail(adapt: Adapt, changes: dict[str, Any]) -> None:
    with pytest.raises(ReadFailed):
        adapt(answer([samples.trade(1, **changes)])).order_trades("BTCUSDT", "28", **NOW)


def test_balances(adapt: Adapt, server: FakeServer) -> None:
    body = {"balances": [{"asset": "BTC", "free": "1", "locked": "0.5"}], "uid": 7}
    (balance,) = adapt(answer(body)).balances(**NOW)
    assert (balance.asset, balance.free, balance.locked) == ("BTC", 1, Decimal("0.5"))
    assert balance.as_of.timestamp() * 1000 == pytest.approx(STAMP)
    assert pages(server)[0]["omitZeroBalances"] == "true"


def test_instruments_ask_for_the_wanted_symbols_only(adapt: Adapt, server: FakeServer) -> None:
    adapter = adapt(answer({"symbols": []}))
    adapter.instruments(("BTCUSDT", "币安USDT"))
    adapter.instruments()
    assert adapter.instruments(()) == ()
    assert [page.get("symbols") for page in pages(server)] == ['["BTCUSDT","币安USDT"]', None]


def test_quotes(adapt: Adapt, server: FakeServer) -> None:
    book = [{"symbol": "BTCUSDT", "bidPrice": "1.5", "bidQty": "1", "askPrice": "2", "askQty": "1"}]
    adapter = adapt(answer(book))
    (quote,) = adapter.quotes(("BTCUSDT",))
    assert (quote.bid, quote.ask) == (Decimal("1.5"), Decimal(2))
    assert adapter.quotes(()) == ()
    assert [page["symbols"] for page in pages(server)] == ['["BTCUSDT"]']


def test_server_time_is_taken_at_the_middle(adapt: Adapt, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = adapt(answer({"serverTime": 1_000_150}))
    wall, ticks = [1000.0], iter([0.0, 0.2])
    monkeypatch.setattr("exchanges.http.reading.time", FakeTime(wall, ticks))
    sample = adapter.server_time()
    assert (sample.server_ms, sample.offset_ms, sample.round_trip_ms) == (1_000_150, 50, 200)


def test_warming_an_unreachable_host_is_quiet_and_the_call_tells() -> None:
    adapter = BinanceAdapter(CREDENTIALS, "http://127.0.0.1:1")
    adapter.warm()
    with pytest.raises(ReadFailed) as caught:
        adapter.server_time()
    assert (caught.value.outcome.kind, caught.value.outcome.reason) == (Kind.NOT_SENT, "connect_failed")


class FakeTime:
    def __init__(self, wall: list[float], ticks: Iterator[float]) -> None:
        self.time = lambda: wall[0]
        self.monotonic = lambda: next(ticks)


# Budget


def test_hooks_run_around_every_page(adapt: Adapt) -> None:
    before: list[str] = []
    after: list[tuple[str, Usage]] = []
    adapter = adapt(
        answer([samples.trade(n) for n in range(1, 1001)], headers={"X-MBX-USED-WEIGHT-1M": "20"}),
        answer([], headers={"X-MBX-USED-WEIGHT-1M": "40"}),
        before_call=before.append,
        after_call=lambda name, evidence: after.append((name, usage_headers(evidence))),
    )
    adapter.trades_from("BTCUSDT", "1", **NOW)
    assert before == ["trades_from", "trades_from"]
    assert after == [("trades_from", Usage(20, None, None)), ("trades_from", Usage(40, None, None))]


def test_a_read_without_budget_is_not_made(adapt: Adapt, server: FakeServer) -> None:
    def refuse(_: str) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        adapt(before_call=refuse).balances(**NOW)
    assert server.connections == 0


def test_every_call_has_a_cost(adapt: Adapt) -> None:
    names: set[str] = {"place", "cancel", "amend", "replace"}
    adapter = adapt(answer(b""), before_call=names.add)
    reads: list[Callable[[], object]] = [
        lambda: query(adapter),
        lambda: adapter.open_orders(None, **NOW),
        lambda: adapter.open_orders("BTCUSDT", **NOW),
        lambda: adapter.order_trades("BTCUSDT", "28", **NOW),
        lambda: adapter.trades_from("BTCUSDT", None, **NOW),
        lambda: adapter.trades_between("BTCUSDT", 0, 1, **NOW),
        lambda: adapter.order_history("BTCUSDT", from_order_id="1", **NOW),
        *(lambda levels=levels: adapter.depth("BTCUSDT", levels) for levels in (100, 500, 1000, 5000)),
        lambda: adapter.commission("BTCUSDT", **NOW),
        lambda: adapter.order_counts(**NOW),
        lambda: adapter.balances(**NOW),
        adapter.instruments,
        lambda: adapter.quotes(("BTCUSDT",)),
        adapter.server_time,
    ]
    for read in reads:
        with pytest.raises(ReadFailed):
            read()
    assert names == set(COSTS)
    assert COSTS["place"].orders == 1


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, Usage(None, None, None)),
        ({"x-mbx-used-weight-1m": "5", "x-mbx-order-count-10s": "2", "x-mbx-order-count-1d": "9"}, Usage(5, 2, 9)),
        ({"x-mbx-used-weight-1m": "many"}, Usage(None, None, None)),
    ],
)
def test_usage(headers: dict[str, str], expected: Usage) -> None:
    assert usage_headers(Evidence("GET", "/", {}, headers=headers)) == expected


def test_adapter_belongs_to_its_thread(adapt: Adapt, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = adapt()
    monkeypatch.setattr("exchanges.http.calls.os.getpid", lambda: -1)
    with pytest.raises(WrongThread):
        place(adapter)
