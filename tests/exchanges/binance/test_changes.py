"""Replacements, amendments, stops, history and the smaller reads on scripted answers (docs/binance.md §2.1 to §2.6)."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import pytest

from exchanges.adapters import AmendInstruction, CancelInstruction, ReplaceInstruction
from exchanges.binance.adapter import MAX_TIME_RANGE_MS, BinanceAdapter
from exchanges.http.transport import Timeouts
from exchanges.reports import OrderReport, Outcome, ReadFailed, ReplaceOutcome, ReportedStatus
from exchanges.reports import OutcomeKind as Kind
from tests.exchanges.binance import samples
from tests.exchanges.binance.samples import CLIENT_ID, LIMIT, RECV_WINDOW, STAMP
from tests.exchanges.fake_server import DROP, HANG, FakeServer, answer
from tests.exchanges.times import soon

OLD_ID = "ex0123456789abcdef0123456789abcdef00"
AMEND = AmendInstruction("BTCUSDT", CLIENT_ID, None, Decimal("0.40"))
REPLACE = ReplaceInstruction(CancelInstruction("BTCUSDT", OLD_ID, "27"), LIMIT)
NOW = {"now_ms": STAMP}
Adapt = Callable[..., BinanceAdapter]


def replace_order(adapter: BinanceAdapter) -> ReplaceOutcome:
    return adapter.send_replace(adapter.prepare_replace(REPLACE, STAMP, RECV_WINDOW), soon())


def amend(adapter: BinanceAdapter, instruction: AmendInstruction = AMEND) -> Outcome:
    return adapter.send(adapter.prepare_amend(instruction, STAMP, RECV_WINDOW), soon())


# Replacements

CANCELED = samples.canceled(orderId=27, origClientOrderId=OLD_ID, executedQty="0", cummulativeQuoteQty="0")
PLACED = samples.placed()
UNKNOWN_ORDER = {"code": -2011, "msg": "Unknown order sent."}
RESTRICTED = {"code": -2011, "msg": "Order was not canceled due to cancel restrictions."}
NO_FUNDS = {"code": -2010, "msg": "Account has insufficient balance for requested action."}
TOO_MANY = {"code": -1015, "msg": "Too many new orders; current limit is 50 orders per 10 SECOND."}
PARTIAL = (-2021, "Order cancel-replace partially failed.")
FAILED = (-2022, "Order cancel-replace failed.")


def halves(cancel: str, place: str, cancel_answer: Any, place_answer: Any) -> dict[str, Any]:
    return {
        "cancelResult": cancel,
        "newOrderResult": place,
        "cancelResponse": cancel_answer,
        "newOrderResponse": place_answer,
    }


def split(error: tuple[int, str], *parts: Any) -> dict[str, Any]:
    return {"code": error[0], "msg": error[1], "data": halves(*parts)}


def test_a_replacement_is_one_call_that_stops_on_failure_and_takes_no_filled_order(
    adapt: Adapt, server: FakeServer
) -> None:
    outcome = replace_order(adapt(answer(halves("SUCCESS", "SUCCESS", CANCELED, PLACED))))
    sent = dict(parse_qsl(server.seen[0].body))
    assert (server.seen[0].method, server.seen[0].target) == ("POST", "/api/v3/order/cancelReplace")
    assert (
        sent.items()
        >= {
            "cancelReplaceMode": "STOP_ON_FAILURE",
            "cancelRestrictions": "ONLY_NEW",
            "orderRateLimitExceededMode": "DO_NOTHING",
            "cancelOrderId": "27",
            "newClientOrderId": CLIENT_ID,
            "quantity": "0.5",
            "newOrderRespType": "FULL",
        }.items()
    )
    assert "cancelOrigClientOrderId" not in sent
    assert (outcome.cancel.kind, outcome.place.kind) == (Kind.ACCEPTED, Kind.ACCEPTED)
    (canceled,), (order, *trades) = outcome.cancel.reports, outcome.place.reports
    assert isinstance(canceled, OrderReport)
    assert isinstance(order, OrderReport)
    assert (canceled.client_order_id, canceled.status) == (OLD_ID, ReportedStatus.CANCELED)
    assert (order.client_order_id, len(trades)) == (CLIENT_ID, 2)
    assert outcome.cancel.evidence is outcome.place.evidence


# Every row of docs/binance.md §2.3, what each half of it proves.
ROWS: dict[str, tuple[int, Any, tuple[Kind, str], tuple[Kind, str]]] = {
    "both": (200, halves("SUCCESS", "SUCCESS", CANCELED, PLACED), (Kind.ACCEPTED, ""), (Kind.ACCEPTED, "")),
    "not open": (
        400,
        split(FAILED, "FAILURE", "NOT_ATTEMPTED", UNKNOWN_ORDER, None),
        (Kind.REFUSED, "not_open"),
        (Kind.NOT_EXECUTED, "not_attempted"),
    ),
    "partly filled": (
        400,
        split(FAILED, "FAILURE", "NOT_ATTEMPTED", RESTRICTED, None),
        (Kind.REFUSED, "cancel_restricted"),
        (Kind.NOT_EXECUTED, "not_attempted"),
    ),
    "unhedged": (
        409,
        split(PARTIAL, "SUCCESS", "FAILURE", CANCELED, NO_FUNDS),
        (Kind.ACCEPTED, ""),
        (Kind.REFUSED, "insufficient_funds"),
    ),
    "two orders": (
        409,
        split(PARTIAL, "FAILURE", "SUCCESS", UNKNOWN_ORDER, PLACED),
        (Kind.REFUSED, "not_open"),
        (Kind.ACCEPTED, ""),
    ),
    "neither": (
        400,
        split(FAILED, "FAILURE", "FAILURE", UNKNOWN_ORDER, NO_FUNDS),
        (Kind.REFUSED, "not_open"),
        (Kind.REFUSED, "insufficient_funds"),
    ),
    "over the limit": (
        429,
        {"code": -1015, "msg": TOO_MANY["msg"]},
        (Kind.THROTTLED, "order_limit"),
        (Kind.THROTTLED, "order_limit"),
    ),
    "over the limit, canceled": (
        429,
        split(PARTIAL, "SUCCESS", "FAILURE", CANCELED, TOO_MANY),
        (Kind.ACCEPTED, ""),
        (Kind.THROTTLED, "order_limit"),
    ),
    "over the limit, not canceled": (
        429,
        split(FAILED, "FAILURE", "NOT_ATTEMPTED", UNKNOWN_ORDER, None),
        (Kind.REFUSED, "not_open"),
        (Kind.NOT_EXECUTED, "not_attempted"),
    ),
    "over the limit, going on, canceled": (
        409,
        split(PARTIAL, "SUCCESS", "FAILURE", CANCELED, TOO_MANY),
        (Kind.ACCEPTED, ""),
        (Kind.THROTTLED, "order_limit"),
    ),
    "over the limit, going on, neither": (
        400,
        split(FAILED, "FAILURE", "FAILURE", UNKNOWN_ORDER, TOO_MANY),
        (Kind.REFUSED, "not_open"),
        (Kind.THROTTLED, "order_limit"),
    ),
    "filter before the cancel": (
        400,
        {"code": -1013, "msg": "Filter failure: LOT_SIZE"},
        (Kind.NOT_EXECUTED, "not_attempted"),
        (Kind.REFUSED, "filter"),
    ),
    "engine filter before the cancel": (
        400,
        {"code": -2010, "msg": "Filter failure: MAX_NUM_ORDERS"},
        (Kind.NOT_EXECUTED, "not_attempted"),
        (Kind.REFUSED, "filter"),
    ),
    "clock": (400, {"code": -1021, "msg": ""}, (Kind.CLOCK, "clock"), (Kind.CLOCK, "clock")),
    "key": (401, {"code": -2015, "msg": ""}, (Kind.AUTH, "key_refused"), (Kind.AUTH, "key_refused")),
    "banned": (418, b"", (Kind.THROTTLED, "banned"), (Kind.THROTTLED, "banned")),
    "banned, in JSON of another shape": (418, {"oops": 1}, (Kind.THROTTLED, "banned"), (Kind.THROTTLED, "banned")),
    # what does not say what became of the halves
    "server": (503, split(PARTIAL, "SUCCESS", "FAILURE", CANCELED, NO_FUNDS), *[(Kind.UNKNOWN, "server_error")] * 2),
    "no data": (409, {"code": -2021, "msg": PARTIAL[1]}, *[(Kind.UNKNOWN, "split_result")] * 2),
    "no data, failed": (400, {"code": -2022, "msg": FAILED[1]}, *[(Kind.UNKNOWN, "split_result")] * 2),
    "one order's error": (400, NO_FUNDS, *[(Kind.UNKNOWN, "split_result")] * 2),
    "not JSON": (200, b"<html>", *[(Kind.UNKNOWN, "unparsable")] * 2),
    "not JSON, 409": (409, b"<html>", *[(Kind.UNKNOWN, "split_result")] * 2),
    "empty": (200, {}, *[(Kind.UNKNOWN, "unparsable")] * 2),
    "half a body": (200, {"cancelResult": "SUCCESS"}, *[(Kind.UNKNOWN, "unparsable")] * 2),
    "a row that is in no table": (
        200,
        halves("SUCCESS", "FAILURE", CANCELED, NO_FUNDS),
        *[(Kind.UNKNOWN, "unparsable")] * 2,
    ),
    "a new word": (400, split(FAILED, "FAILURE", "PENDING", UNKNOWN_ORDER, None), *[(Kind.UNKNOWN, "unparsable")] * 2),
    # what says it for one half
    "unreadable cancel": (
        200,
        halves("SUCCESS", "SUCCESS", {"code": 1}, PLACED),
        (Kind.UNKNOWN, "unparsable"),
        (Kind.ACCEPTED, ""),
    ),
    "unreadable order": (
        409,
        split(PARTIAL, "SUCCESS", "FAILURE", CANCELED, None),
        (Kind.ACCEPTED, ""),
        (Kind.UNKNOWN, "unparsable"),
    ),
    "another order canceled": (
        200,
        halves("SUCCESS", "SUCCESS", {**CANCELED, "orderId": 5}, PLACED),
        (Kind.UNKNOWN, "mismatch"),
        (Kind.ACCEPTED, ""),
    ),
    "duplicate": (
        409,
        split(PARTIAL, "SUCCESS", "FAILURE", CANCELED, {"code": -2010, "msg": "Duplicate order sent."}),
        (Kind.ACCEPTED, ""),
        (Kind.UNKNOWN, "duplicate"),
    ),
    "engine timeout inside": (
        409,
        split(PARTIAL, "SUCCESS", "FAILURE", CANCELED, {"code": -1007, "msg": "Timeout"}),
        (Kind.ACCEPTED, ""),
        (Kind.UNKNOWN, "backend_timeout"),
    ),
}


@pytest.mark.parametrize(("status", "body", "cancel", "place"), ROWS.values(), ids=ROWS)
def test_both_halves_of_a_replacement(
    adapt: Adapt, status: int, body: Any, cancel: tuple[Kind, str], place: tuple[Kind, str]
) -> None:
    outcome = replace_order(adapt(answer(body, status, {"Retry-After": "7"} if status == 429 else None)))
    assert (outcome.cancel.kind, outcome.cancel.reason) == cancel
    assert (outcome.place.kind, outcome.place.reason) == place
    for half in (outcome.cancel, outcome.place):
        assert bool(half.reports) is (half.kind is Kind.ACCEPTED)
        assert half.evidence.http_status == status
        if half.kind is Kind.THROTTLED and status == 429:
            assert half.throttled_for_ms == 7000


@pytest.mark.parametrize(
    ("reply", "kind", "reason"),
    [(DROP, Kind.UNKNOWN, "connection_lost"), (HANG, Kind.UNKNOWN, "read_timeout")],
)
def test_a_replacement_whose_answer_is_lost_proves_nothing(adapt: Adapt, reply: Any, kind: Kind, reason: str) -> None:
    outcome = replace_order(adapt(reply, timeouts=Timeouts(read=0.2)))
    assert {(half.kind, half.reason) for half in (outcome.cancel, outcome.place)} == {(kind, reason)}


def test_a_late_or_altered_replacement_is_not_sent(adapt: Adapt, server: FakeServer) -> None:
    adapter = adapt()
    request = adapter.prepare_replace(REPLACE, STAMP, RECV_WINDOW)
    late = adapter.send_replace(request, time.monotonic() - 1)
    altered = adapter.send_replace(dataclasses.replace(request, body_hash="0" * 64), soon())
    for outcome, reason in ((late, "too_late"), (altered, "altered")):
        assert {(half.kind, half.reason) for half in (outcome.cancel, outcome.place)} == {(Kind.NOT_SENT, reason)}
    assert server.raw == b""


def test_each_way_of_sending_takes_its_own_requests(adapt: Adapt) -> None:
    adapter = adapt()
    with pytest.raises(ValueError, match="not a single write"):
        adapter.send(adapter.prepare_replace(REPLACE, STAMP, RECV_WINDOW), soon())
    with pytest.raises(ValueError, match="not a replacement"):
        adapter.send_replace(adapter.prepare_place(LIMIT, STAMP, RECV_WINDOW), soon())


def test_a_replacement_by_our_id_and_of_one_symbol(adapt: Adapt) -> None:
    adapter = adapt()
    by_client = dataclasses.replace(REPLACE, cancel=CancelInstruction("BTCUSDT", OLD_ID))
    sent = dict(adapter.prepare_replace(by_client, STAMP, RECV_WINDOW).parameters)
    assert (sent["cancelOrigClientOrderId"], "cancelOrderId" in sent) == (OLD_ID, False)
    with pytest.raises(ValueError, match="same symbol"):
        other = dataclasses.replace(REPLACE, cancel=CancelInstruction("ETHUSDT", OLD_ID))
        adapter.prepare_replace(other, STAMP, RECV_WINDOW)


# Amendments


def amended(**changes: Any) -> dict[str, Any]:
    order = {
        "symbol": "BTCUSDT",
        "orderId": 28,
        "orderListId": -1,
        "origClientOrderId": CLIENT_ID,
        "clientOrderId": CLIENT_ID,
        "price": "60000.10000000",
        "qty": "0.40000000",
        "executedQty": "0.10000000",
        "preventedQty": "0.00000000",
        "quoteOrderQty": "0.00000000",
        "cumulativeQuoteQty": "6000.01000000",
        "status": "PARTIALLY_FILLED",
        "timeInForce": "GTC",
        "type": "LIMIT",
        "side": "BUY",
        "workingTime": STAMP,
        "selfTradePreventionMode": "EXPIRE_TAKER",
        **changes,
    }
    return {"transactTime": STAMP + 5, "executionId": 60, "amendedOrder": order}


def test_an_amendment_keeps_the_client_order_id(adapt: Adapt, server: FakeServer) -> None:
    outcome = amend(adapt(answer(amended())))
    sent = dict(parse_qsl(server.seen[0].body))
    assert (server.seen[0].method, server.seen[0].target) == ("PUT", "/api/v3/order/amend/keepPriority")
    assert (
        sent.items()
        >= {
            "newQty": "0.4",
            "newClientOrderId": CLIENT_ID,
            "origClientOrderId": CLIENT_ID,
            "symbol": "BTCUSDT",
        }.items()
    )
    (report,) = outcome.reports
    assert isinstance(report, OrderReport)
    assert (outcome.kind, report.status, report.quantity) == (
        Kind.ACCEPTED,
        ReportedStatus.PARTIALLY_FILLED,
        Decimal("0.4"),
    )
    assert (report.cumulative_quantity, report.cumulative_quote) == (Decimal("0.1"), Decimal("6000.01"))
    by_exchange = dict(
        adapt().prepare_amend(dataclasses.replace(AMEND, exchange_order_id="28"), 1, RECV_WINDOW).parameters
    )
    assert (by_exchange["orderId"], "origClientOrderId" in by_exchange) == ("28", False)


@pytest.mark.parametrize(
    "changes",
    [{"clientOrderId": "random"}, {"orderId": 29}, {"symbol": "ETHUSDT"}, {"qty": "0.5"}],
)
def test_an_amendment_of_something_else_proves_nothing(adapt: Adapt, changes: dict[str, Any]) -> None:
    outcome = amend(adapt(answer(amended(**changes))), dataclasses.replace(AMEND, exchange_order_id="28"))
    assert (outcome.kind, outcome.reason) == (Kind.UNKNOWN, "mismatch")


@pytest.mark.parametrize("body", [{}, {"transactTime": 1}, {**amended(), "transactTime": "x"}, samples.placed()])
def test_an_amendment_that_cannot_be_read_proves_nothing(adapt: Adapt, body: Any) -> None:
    assert amend(adapt(answer(body))).kind is Kind.UNKNOWN


def test_a_refused_amendment(adapt: Adapt) -> None:
    outcome = amend(adapt(answer({"code": -2038, "msg": "Unknown order sent."}, 400)))
    assert (outcome.kind, outcome.reason, outcome.code) == (Kind.REFUSED, "not_open", "-2038")


@pytest.mark.parametrize("changes", [{"new_quantity": Decimal(0)}, {"client_order_id": "a b"}])
def test_what_cannot_be_amended(adapt: Adapt, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"zero|client order id"):
        adapt().prepare_amend(dataclasses.replace(AMEND, **changes), STAMP, RECV_WINDOW)


# Stop orders and self-trade prevention


def test_stop_limit(adapt: Adapt) -> None:
    stop = dataclasses.replace(LIMIT, type="STOP_LOSS_LIMIT", stop_price=Decimal("61000.0"))
    sent = dict(adapt().prepare_place(stop, STAMP, RECV_WINDOW).parameters)
    assert (sent["type"], sent["stopPrice"], sent["price"], sent["timeInForce"]) == (
        "STOP_LOSS_LIMIT",
        "61000",
        "60000.1",
        "GTC",
    )
    for changes in ({"type": "LIMIT"}, {"time_in_force": None}, {"price": None}, {"stop_price": Decimal(0)}):
        with pytest.raises(ValueError, match=r"does not go with|zero"):
            adapt().prepare_place(dataclasses.replace(stop, **changes), STAMP, RECV_WINDOW)


@pytest.mark.parametrize("mode", ["NONE", "EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH"])
def test_self_trade_prevention_is_sent_always(adapt: Adapt, mode: str) -> None:
    adapter = adapt(self_trade_prevention=mode)
    for request in (
        adapter.prepare_place(LIMIT, STAMP, RECV_WINDOW),
        adapter.prepare_replace(REPLACE, STAMP, RECV_WINDOW),
    ):
        assert dict(request.parameters)["selfTradePreventionMode"] == mode


@pytest.mark.parametrize("mode", ["DECREMENT", "TRANSFER", "", "expire_taker"])
def test_modes_that_change_orders_without_a_trade_are_refused(adapt: Adapt, mode: str) -> None:
    with pytest.raises(ValueError, match="self-trade prevention"):
        adapt(self_trade_prevention=mode)


# Lists by time and by id


def asked(server: FakeServer) -> list[dict[str, str]]:
    return [dict(parse_qsl(seen.target.partition("?")[2])) for seen in server.seen]


def test_a_full_page_of_a_time_range_is_asked_in_halves(adapt: Adapt, server: FakeServer) -> None:
    full = [samples.trade(number) for number in range(1, 1001)]
    adapter = adapt(answer(full), answer(full[:600]), answer(full[500:]))
    trades = adapter.trades_between("BTCUSDT", 1000, 1999, **NOW)
    assert [int(trade.trade_id) for trade in trades] == list(range(1, 1001))
    ranges = [(query["startTime"], query["endTime"]) for query in asked(server)]
    assert ranges == [("1000", "1999"), ("1000", "1499"), ("1500", "1999")]


def test_more_in_one_millisecond_than_a_page_holds_fails(adapt: Adapt) -> None:
    full = answer([samples.trade(number) for number in range(1, 1001)])
    with pytest.raises(ReadFailed, match="mismatch"):
        adapt(full).trades_between("BTCUSDT", 1000, 1000, **NOW)


@pytest.mark.parametrize(("start", "end"), [(1, 0), (0, MAX_TIME_RANGE_MS + 1)])
def test_time_ranges_are_bounded(adapt: Adapt, server: FakeServer, start: int, end: int) -> None:
    adapter = adapt()
    with pytest.raises(ValueError, match="24 hours"):
        adapter.trades_between("BTCUSDT", start, end, **NOW)
    with pytest.raises(ValueError, match="24 hours"):
        adapter.order_history("BTCUSDT", start_ms=start, end_ms=end, **NOW)
    assert server.connections == 0


def test_order_history_by_id_walks_to_the_end(adapt: Adapt, server: FakeServer) -> None:
    orders = [samples.order(orderId=number, status="CANCELED") for number in range(5, 1005)]
    adapter = adapt(answer(orders), answer([samples.order(orderId=1005)]))
    history = adapter.order_history("BTCUSDT", from_order_id="5", **NOW)
    assert [int(order.exchange_order_id) for order in history] == list(range(5, 1006))
    assert [query["orderId"] for query in asked(server)] == ["5", "1005"]
    assert history[-1].source == "rest.order_history"


def test_order_history_by_time(adapt: Adapt, server: FakeServer) -> None:
    history = adapt(answer([samples.order(orderId=9), samples.order(orderId=8)])).order_history(
        "BTCUSDT", start_ms=1, end_ms=2, **NOW
    )
    assert [order.exchange_order_id for order in history] == ["8", "9"]
    (query,) = asked(server)
    assert (query["startTime"], query["endTime"], query["limit"]) == ("1", "2", "1000")


@pytest.mark.parametrize(
    "wanted",
    [{}, {"start_ms": 1}, {"end_ms": 1}, {"start_ms": 1, "end_ms": 2, "from_order_id": "1"}],
)
def test_order_history_is_asked_in_one_way(adapt: Adapt, wanted: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="order history"):
        adapt().order_history("BTCUSDT", **wanted, **NOW)


def test_lists_about_something_else_fail(adapt: Adapt) -> None:
    reads: list[tuple[Any, Callable[[BinanceAdapter], object]]] = [
        (samples.order(orderId=4), lambda adapter: adapter.order_history("BTCUSDT", from_order_id="5", **NOW)),
        (samples.order(), lambda adapter: adapter.order_history("ETHUSDT", from_order_id="5", **NOW)),
        (samples.trade(1), lambda adapter: adapter.trades_between("ETHUSDT", 1, 2, **NOW)),
    ]
    for body, read in reads:
        with pytest.raises(ReadFailed, match="mismatch"):
            read(adapt(answer([body])))


# The smaller reads


def test_depth(adapt: Adapt, server: FakeServer) -> None:
    body = {"lastUpdateId": 1, "bids": [["59999.00", "1.5"]], "asks": [["60000.00", "2"], ["60001.00", "3"]]}
    report = adapt(answer(body)).depth("BTCUSDT", 5)
    assert report.bids == ((Decimal("59999.00"), Decimal("1.5")),)
    assert [price for price, _ in report.asks] == [Decimal(60000), Decimal(60001)]
    assert asked(server) == [{"limit": "5", "symbol": "BTCUSDT"}]
    for limit in (0, 5001):
        with pytest.raises(ValueError, match="5000"):
            adapt().depth("BTCUSDT", limit)


@pytest.mark.parametrize("levels", [None, [["1"]], [["1", 2]], ["1"], [["0", "1"]]])
def test_odd_depth_fails(adapt: Adapt, levels: Any) -> None:
    with pytest.raises(ReadFailed, match="unparsable"):
        adapt(answer({"bids": levels, "asks": []})).depth("BTCUSDT")


def commission(**discount: Any) -> dict[str, Any]:
    rates = {"maker": "0.001", "taker": "0.002", "buyer": "0", "seller": "0.0001"}
    return {
        "symbol": "BTCUSDT",
        "standardCommission": rates,
        "specialCommission": rates,
        "taxCommission": rates,
        "discount": {
            "enabledForAccount": True,
            "enabledForSymbol": True,
            "discountAsset": "BNB",
            "discount": "0.75",
            **discount,
        },
    }


def test_commission(adapt: Adapt) -> None:
    report = adapt(answer(commission())).commission("BTCUSDT", **NOW)
    assert (report.standard.taker, report.tax.seller) == (Decimal("0.002"), Decimal("0.0001"))
    assert (report.discount_asset, report.discount) == ("BNB", Decimal("0.75"))
    without = adapt(answer(commission(enabledForAccount=False))).commission("BTCUSDT", **NOW)
    assert (without.discount_asset, without.discount) == (None, None)
    with pytest.raises(ReadFailed, match="mismatch"):
        adapt(answer(commission())).commission("ETHUSDT", **NOW)


def test_order_counts(adapt: Adapt) -> None:
    rows = [
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100, "count": 3},
        {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200000, "count": 9},
    ]
    seconds, day = adapt(answer(rows)).order_counts(**NOW)
    assert (seconds.window_ms, seconds.limit, seconds.count) == (10_000, 100, 3)
    assert (day.window_ms, day.count) == (86_400_000, 9)
    with pytest.raises(ReadFailed, match="interval"):
        adapt(answer([{**rows[0], "interval": "FORTNIGHT"}])).order_counts(**NOW)
