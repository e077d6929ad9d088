"""The adapter on scripted answers: requests as prepared, an outcome for every answer, reads believed or failed."""

from __future__ import annotations

import dataclasses
import json
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import format_datetime
from itertools import count, islice
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.adapters import CancelInstruction, ExchangeAdapter, PlaceInstruction, PreparedRequest
from exchanges.btcturk.adapter import BtcturkAdapter, NeedsExchangeOrderId
from exchanges.btcturk.limits import COSTS
from exchanges.http.calls import WrongThread
from exchanges.http.transport import Timeouts
from exchanges.reports import OrderReport, Outcome, ReadFailed, ReportedStatus
from exchanges.reports import OutcomeKind as Kind
from exchanges.searching import trade_slices
from tests.exchanges.btcturk import samples
from tests.exchanges.btcturk.samples import (
    CANCEL,
    CLIENT_ID,
    CREDENTIALS,
    KEY,
    LIMIT,
    ORDER_ID,
    SECRET,
    STAMP,
    envelope,
    refusal,
)
from tests.exchanges.fake_server import DROP, HANG, FakeServer, answer
from tests.exchanges.times import soon

NOW = {"now_ms": STAMP}
DAY_MS = 86_400_000
Adapt = Callable[..., BtcturkAdapter]


def said(data: Any) -> bytes:
    return answer(envelope(data))


ORDER = said(samples.order())
NO_ORDER = answer(refusal("Order not found", 1152), 400)
NOTHING_OPEN = said(samples.working())
NOTHING = said([])


def place(adapter: BtcturkAdapter, instruction: PlaceInstruction = LIMIT) -> Outcome:
    return adapter.send(adapter.prepare_place(instruction, STAMP, 5000), soon())


def cancel(adapter: BtcturkAdapter) -> Outcome:
    return adapter.send(adapter.prepare_cancel(CANCEL, STAMP, 5000), soon())


def query(adapter: BtcturkAdapter, exchange_order_id: str | None = None, **more: Any) -> OrderReport | None:
    return adapter.query_order(
        "BTCTRY", client_order_id=CLIENT_ID, exchange_order_id=exchange_order_id, now_ms=STAMP, **more
    )


def failed(read: Callable[[], object]) -> Outcome:
    with pytest.raises(ReadFailed) as caught:
        read()
    return caught.value.outcome


def test_it_is_an_exchange_adapter(adapt: Adapt) -> None:
    adapter: ExchangeAdapter = adapt()
    assert "127.0.0.1" in repr(adapter)


# Preparing


def prepared(instruction: PlaceInstruction, adapter: BtcturkAdapter) -> dict[str, str]:
    return dict(adapter.prepare_place(instruction, STAMP, 5000).parameters)


COMMON = {"newOrderClientId": CLIENT_ID, "orderType": "buy", "pairSymbol": "BTCTRY"}


@pytest.mark.parametrize("time_in_force", ["GTC", None])
def test_limit(adapt: Adapt, time_in_force: str | None) -> None:
    instruction = dataclasses.replace(LIMIT, time_in_force=time_in_force)
    assert prepared(instruction, adapt()) == {
        **COMMON,
        "orderMethod": "limit",
        "quantity": "0.0005",
        "price": "3037000",
    }


def test_a_market_buy_spends_quote(adapt: Adapt) -> None:
    market = PlaceInstruction("BTCTRY", "BUY", "MARKET", CLIENT_ID, quote_quantity=Decimal("1E+3"))
    assert prepared(market, adapt()) == {**COMMON, "orderMethod": "market", "quantity": "1000"}


def test_a_market_sell_sells_base(adapt: Adapt) -> None:
    market = PlaceInstruction("BTCTRY", "SELL", "MARKET", CLIENT_ID, quantity=Decimal("1E-5"))
    assert prepared(market, adapt()) == {
        **COMMON,
        "orderType": "sell",
        "orderMethod": "market",
        "quantity": "0.00001",
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"client_order_id": ""},
        {"client_order_id": "a" * 37},
        {"client_order_id": "a b"},
        {"symbol": "BTC_TRY"},
        {"symbol": "btctry"},
        {"symbol": "A" * 21},
        {"side": "buy"},
        {"type": "STOP_LOSS_LIMIT", "stop_price": Decimal(1)},
        {"type": "STOP_LOSS", "price": None, "stop_price": Decimal(1)},
        {"stop_price": Decimal(1)},
        {"type": "LIMIT_MAKER", "time_in_force": None},
        {"time_in_force": "IOC"},
        {"time_in_force": "FOK"},
        {"price": None},
        {"quantity": None},
        {"quote_quantity": Decimal(1)},
        {"type": "MARKET", "price": None, "time_in_force": None},  # a market buy by base quantity
        {"type": "MARKET", "side": "SELL", "price": None, "time_in_force": None, "quantity": None},
        {
            "type": "MARKET",
            "side": "SELL",
            "price": None,
            "time_in_force": None,
            "quantity": None,
            "quote_quantity": Decimal(1),
        },
        {"type": "MARKET", "side": "SELL", "price": None},  # with a time in force
        {"quantity": Decimal(0)},
        {"price": Decimal("0.00")},
        {"price": Decimal(-1)},
        {"quantity": Decimal("NaN")},
        {"quantity": Decimal("1E-17")},
    ],
)
def test_what_cannot_be_prepared(adapt: Adapt, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        adapt().prepare_place(dataclasses.replace(LIMIT, **changes), STAMP, 5000)


def test_a_cancel_needs_the_id_of_the_exchange(adapt: Adapt) -> None:
    adapter = adapt()
    assert adapter.prepare_cancel(CANCEL, STAMP, 5000).parameters == (("id", str(ORDER_ID)),)
    with pytest.raises(NeedsExchangeOrderId):
        adapter.prepare_cancel(CancelInstruction("BTCTRY", CLIENT_ID), STAMP, 5000)
    with pytest.raises(ValueError, match="not a number"):
        adapter.prepare_cancel(CancelInstruction("BTCTRY", CLIENT_ID, "7&id=8"), STAMP, 5000)


def test_there_is_no_receive_window(adapt: Adapt) -> None:
    adapter = adapt()
    assert {adapter.prepare_place(LIMIT, STAMP, window).recv_window_ms for window in (0, 5000)} == {0}
    assert adapter.prepare_cancel(CANCEL, STAMP, 5000).recv_window_ms == 0


@given(
    st.decimals(min_value=Decimal("1E-16"), max_value=Decimal(10**11), places=16),
    st.decimals(min_value=Decimal("1E-16"), max_value=Decimal(10**11), places=16),
)
def test_sizes_reach_the_wire_exactly(quantity: Decimal, price: Decimal) -> None:
    adapter = BtcturkAdapter(CREDENTIALS, "http://127.0.0.1:1")
    sent = prepared(dataclasses.replace(LIMIT, quantity=quantity, price=price), adapter)
    assert (Decimal(sent["quantity"]), Decimal(sent["price"])) == (quantity, price)
    assert not {"e", "E", "+", "-"} & set(sent["quantity"] + sent["price"])


# Sending


def test_the_wire_carries_exactly_what_was_prepared(adapt: Adapt, server: FakeServer) -> None:
    adapter = adapt(said(samples.placed()))
    request = adapter.prepare_place(LIMIT, STAMP, 5000)
    adapter.send(request, soon())
    (seen,) = server.seen
    assert (seen.method, seen.target) == ("POST", request.path)
    assert seen.body == json.dumps(dict(request.parameters), separators=(",", ":"))
    assert seen.headers["x-stamp"] == str(request.stamp_ms) == str(STAMP)


def test_a_placement_is_accepted_as_open(adapt: Adapt) -> None:
    outcome = place(adapt(answer(envelope(samples.placed()), headers={"CF-Ray": "8f-IST", "Set-Cookie": "x=y"})))
    (report,) = outcome.reports
    assert outcome.kind is Kind.ACCEPTED
    assert isinstance(report, OrderReport)
    assert (report.exchange_order_id, report.status) == (str(ORDER_ID), ReportedStatus.OPEN)
    assert outcome.evidence.http_status == 200
    assert outcome.evidence.headers == {"cf-ray": "8f-IST"}
    assert outcome.evidence.parameters["X-Stamp"] == str(STAMP)


@pytest.mark.parametrize("body", [{"success": True, "message": "SUCCESS", "code": 0}, envelope(None), envelope({})])
def test_an_accepted_cancel_ends_nothing(adapt: Adapt, server: FakeServer, body: Any) -> None:
    outcome = cancel(adapt(answer(body)))
    assert (outcome.kind, outcome.reports) == (Kind.ACCEPTED, ())
    assert (server.seen[0].method, server.seen[0].target) == ("DELETE", f"/api/v1/order?id={ORDER_ID}")
    assert server.seen[0].body == ""


@pytest.mark.parametrize(
    "changes", [{"newOrderClientId": "other"}, {"pairSymbol": "ETHTRY"}, {"type": "sell"}, {"method": "market"}]
)
def test_an_answer_about_another_order_proves_nothing(adapt: Adapt, changes: dict[str, Any]) -> None:
    outcome = place(adapt(said(samples.placed(**changes))))
    assert (outcome.kind, outcome.reason, outcome.reports) == (Kind.UNKNOWN, "mismatch", ())


BODIES = [b"", b"[]", b"null", b'"str"', b"7", b"{}", b"<html>no</html>", b"{", b"\xff", b'{"success":1}', b"[[[["]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("write", [place, cancel])
def test_a_success_that_cannot_be_read_proves_nothing(
    adapt: Adapt, body: bytes, write: Callable[[BtcturkAdapter], Outcome]
) -> None:
    outcome = write(adapt(answer(body)))
    assert (outcome.kind, outcome.reason, outcome.reports) == (Kind.UNKNOWN, "unparsable", ())


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("status", [201, 400, 401, 404, 500, 503, 504, 302])
def test_a_failure_that_cannot_be_read_proves_nothing(adapt: Adapt, body: bytes, status: int) -> None:
    outcome = place(adapt(answer(body, status)))
    assert outcome.kind is Kind.UNKNOWN
    assert (outcome.code, outcome.message) == ("", "")
    assert outcome.evidence.http_status == status


def test_a_refusal_keeps_the_words_of_the_exchange(adapt: Adapt) -> None:
    outcome = place(adapt(answer(refusal("FAILED_MIN_TOTAL_AMOUNT", 1123), 400)))
    assert (outcome.kind, outcome.code, outcome.message) == (Kind.REFUSED, "1123", "FAILED_MIN_TOTAL_AMOUNT")
    assert outcome.reason == "filter"
    assert "FAILED_MIN_TOTAL_AMOUNT" in outcome.evidence.body


@pytest.mark.parametrize(
    ("message", "kind"), [("BALANCE_NOT_ENOUGH", Kind.REFUSED), ("INTERNAL_ERROR", Kind.UNKNOWN), ("NEW", Kind.UNKNOWN)]
)
def test_a_refusal_may_come_with_status_200(adapt: Adapt, message: str, kind: Kind) -> None:
    outcome = place(adapt(answer(refusal(message))))
    assert (outcome.kind, outcome.message) == (kind, message)


def at(seconds: float) -> dict[str, str]:
    """A Date header this far from the stamp."""
    return {"Date": format_datetime(datetime.fromtimestamp(STAMP // 1000 + seconds, UTC), usegmt=True)}


OLD_401 = {"success": True, "message": "Unauthorized - Invalid Nonce", "code": 1037}


@pytest.mark.parametrize(
    ("body", "headers", "kind"),
    [
        (OLD_401, {}, Kind.CLOCK),
        ({**OLD_401, "message": "Unauthorized - Invalid Signature"}, {}, Kind.AUTH),
        (b"", {"WWW-Authenticate": "Bearer"}, Kind.AUTH),
        (b"", at(0), Kind.AUTH),
        (b"", at(-3), Kind.AUTH),
        (b"", at(5), Kind.CLOCK),
        (b"", at(-6), Kind.CLOCK),
        (b"", {"Date": "soon"}, Kind.AUTH),
    ],
)
def test_both_shapes_of_401(adapt: Adapt, body: Any, headers: dict[str, str], kind: Kind) -> None:
    adapter = adapt(answer(body, 401, headers))
    assert cancel(adapter).kind is kind
    assert failed(lambda: adapter.balances(**NOW)).kind is kind
    assert failed(lambda: query(adapter, str(ORDER_ID))).kind is kind
    outcome = place(adapter)
    assert (outcome.kind, outcome.reason) == (Kind.UNKNOWN, "unauthorised")


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "53"}, 53_000),
        ({"X-Retry-After": "7"}, 7000),
        ({}, 60_000),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, 60_000),
    ],
)
def test_throttling(adapt: Adapt, headers: dict[str, str], wait: int) -> None:
    body = {"message": "TOO_MANY_REQUESTS", "success": False, "code": 429, "policy": "account", "limit": "300"}
    outcome = place(adapt(answer(body, 429, headers)))
    assert (outcome.kind, outcome.throttled_for_ms, outcome.banned) == (Kind.THROTTLED, wait, False)


@pytest.mark.parametrize(("reply", "reason"), [(DROP, "connection_lost"), (HANG, "read_timeout")])
def test_a_lost_answer_proves_nothing(adapt: Adapt, server: FakeServer, reply: object, reason: str) -> None:
    outcome = place(adapt(reply, timeouts=Timeouts(read=0.2)))
    assert (outcome.kind, outcome.reason, outcome.reports) == (Kind.UNKNOWN, reason, ())
    assert len(server.seen) == 1


def test_too_late_is_not_sent(adapt: Adapt, server: FakeServer) -> None:
    adapter = adapt()
    outcome = adapter.send(adapter.prepare_place(LIMIT, STAMP, 5000), time.monotonic() - 1)
    assert (outcome.kind, outcome.reason) == (Kind.NOT_SENT, "too_late")
    assert "no byte was written" in outcome.evidence.error
    assert server.raw == b""


def tampered(request: PreparedRequest) -> Iterator[PreparedRequest]:
    parameters = dict(request.parameters)
    yield dataclasses.replace(request, parameters=tuple(sorted({**parameters, "quantity": "5"}.items())))
    yield dataclasses.replace(request, parameters=tuple(reversed(request.parameters)))
    yield dataclasses.replace(request, parameters=(*request.parameters, ("quantity", "5")))
    yield dataclasses.replace(request, stamp_ms=STAMP + 1)
    yield dataclasses.replace(request, recv_window_ms=5000)
    yield dataclasses.replace(request, method="DELETE")
    yield dataclasses.replace(request, body_hash="0" * 64)


def test_an_altered_request_is_not_sent(adapt: Adapt, server: FakeServer) -> None:
    adapter = adapt()
    for request in tampered(adapter.prepare_place(LIMIT, STAMP, 5000)):
        outcome = adapter.send(request, soon())
        assert (outcome.kind, outcome.reason) == (Kind.NOT_SENT, "altered")
    assert server.connections == 0


def test_only_its_own_writes_are_sent(adapt: Adapt) -> None:
    adapter = adapt()
    request = dataclasses.replace(adapter.prepare_place(LIMIT, STAMP, 5000), path="/api/v1/openOrders")
    with pytest.raises(ValueError, match="openOrders"):
        adapter.send(request, soon())


def test_evidence_is_bounded_and_storable(adapt: Adapt) -> None:
    outcome = place(adapt(answer(b"\x00" + b"x" * 200_000, 500)))
    assert len(outcome.evidence.body.encode()) <= 65_536
    assert "\x00" not in outcome.evidence.body


# Secrets


@pytest.mark.parametrize("status", [200, 400, 401, 403, 500])
def test_secrets_stay_out_of_evidence_and_errors(adapt: Adapt, server: FakeServer, status: int) -> None:
    adapter = adapt()
    signature = adapter._client.sign(str(STAMP))
    echo = f"<html>{KEY} {signature} {SECRET} " + "y" * 65_400 + KEY + SECRET + signature + "</html>"
    server.script = [answer(echo.encode(), status)]
    outcome = place(adapter)
    shown = repr(outcome) + repr(adapter) + repr(CREDENTIALS)
    read = failed(lambda: adapter.open_orders("BTCTRY", **NOW))
    shown += repr(read)
    assert {seen.headers["x-signature"] for seen in server.seen[:1]} == {signature}
    for secret in (KEY, SECRET, KEY[:20], SECRET[:20], signature, signature[:20]):
        assert secret not in shown


def test_secrets_stay_out_of_connection_errors() -> None:
    adapter = BtcturkAdapter(CREDENTIALS, "http://127.0.0.1:1")
    with pytest.raises(ReadFailed) as caught:
        adapter.open_orders("BTCTRY", **NOW)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.outcome)
    assert caught.value.outcome.kind is Kind.NOT_SENT
    assert KEY not in shown
    assert caught.value.__context__ is None


# Stamps of reads


def test_every_signed_read_takes_a_stamp_of_its_own(adapt: Adapt, server: FakeServer) -> None:
    numbers = count(STAMP)
    adapter = adapt(NO_ORDER, NOTHING_OPEN, NOTHING, NOTHING, stamp=lambda now_ms: next(numbers))
    assert query(adapter, str(ORDER_ID)) is None
    assert [seen.headers["x-stamp"] for seen in server.seen] == [str(STAMP + n) for n in range(4)]


def test_stamps_are_the_given_time_unless_told_otherwise(adapt: Adapt, server: FakeServer) -> None:
    adapt(NOTHING).balances(**NOW)
    assert 0 <= int(server.seen[0].headers["x-stamp"]) - STAMP < 1000


def test_public_reads_take_none(adapt: Adapt, server: FakeServer) -> None:
    def refuse(_: int) -> int:
        raise AssertionError

    adapter = adapt(said([{"pair": "BTCTRY", "bid": 1, "ask": 2}]), stamp=refuse)
    adapter.quotes(("BTCTRY",))
    assert "x-stamp" not in server.seen[0].headers


# Looking for an order


def targets(server: FakeServer) -> list[str]:
    return [seen.target.partition("?")[0].rpartition("/api/v1/")[2] for seen in server.seen]


def pages(server: FakeServer) -> list[dict[str, str]]:
    return [dict(parse_qsl(seen.payload)) for seen in server.seen]


def test_a_known_id_is_asked_for_directly(adapt: Adapt, server: FakeServer) -> None:
    report = query(adapt(ORDER), str(ORDER_ID))
    assert report is not None
    assert (report.client_order_id, report.source) == (CLIENT_ID, "rest.query")
    assert targets(server) == [f"order/{ORDER_ID}"]


def test_without_an_id_the_open_orders_are_searched_first(adapt: Adapt, server: FakeServer) -> None:
    other = samples.order(id=1, orderClientId="other")
    report = query(adapt(said(samples.working(other, samples.order()))))
    assert report is not None
    assert report.exchange_order_id == str(ORDER_ID)
    assert pages(server) == [{"pairSymbol": "BTCTRY"}]


def test_then_the_history(adapt: Adapt, server: FakeServer) -> None:
    history = [samples.order(id=1, orderClientId=None), samples.order(status="Canceled")]
    report = query(adapt(NOTHING_OPEN, said(history)), since_ms=STAMP)
    assert report is not None
    assert (report.exchange_order_id, report.status) == (str(ORDER_ID), ReportedStatus.CANCELED)
    assert targets(server) == ["openOrders", "allOrders"]
    assert pages(server)[1] == {"pairSymbol": "BTCTRY", "startTime": str(STAMP // 1000 - 10), "limit": "1000"}


def test_then_the_trades_and_the_order_behind_them(adapt: Adapt, server: FakeServer) -> None:
    trades = [samples.trade(orderClientId="other", orderId=1), samples.trade(2)]
    adapter = adapt(NOTHING_OPEN, NOTHING, said(trades), said(samples.order(status="Closed", leftAmount="0")))
    report = query(adapter, since_ms=STAMP)
    assert report is not None
    assert (report.status, report.cumulative_quantity) == (ReportedStatus.FILLED, Decimal("0.0005"))
    assert targets(server) == ["openOrders", "allOrders", "users/transactions/trade", f"order/{ORDER_ID}"]
    window = pages(server)[2]
    assert (window["pairSymbol"], window["startDate"]) == ("BTCTRY", str(STAMP - 10_000))
    assert int(window["endDate"]) >= STAMP + 10_000


def test_an_order_that_only_its_trades_show_is_found_but_not_ended(adapt: Adapt) -> None:
    adapter = adapt(NOTHING_OPEN, NOTHING, said([samples.trade(1), samples.trade(2)]), NO_ORDER)
    report = query(adapter, since_ms=STAMP)
    assert report is not None
    assert (report.exchange_order_id, report.status) == (str(ORDER_ID), ReportedStatus.UNRECOGNISED)
    assert (report.cumulative_quantity, report.cumulative_quote) == (Decimal("0.0002"), Decimal("607.4"))
    assert report.client_order_id == CLIENT_ID


@pytest.mark.parametrize("known_id", [None, str(ORDER_ID)])
def test_none_needs_the_word_of_all_three(adapt: Adapt, server: FakeServer, known_id: str | None) -> None:
    script = ([NO_ORDER] if known_id else []) + [NOTHING_OPEN, NOTHING, NOTHING]
    assert query(adapt(*script), known_id, since_ms=STAMP) is None
    assert targets(server)[-3:] == ["openOrders", "allOrders", "users/transactions/trade"]


def test_a_known_id_that_is_not_found_is_searched_by_that_id(adapt: Adapt) -> None:
    namesake = samples.order(id=7)
    adapter = adapt(NO_ORDER, said(samples.working(namesake)), said([samples.order(orderClientId="")]))
    report = query(adapter, str(ORDER_ID), since_ms=STAMP)
    assert report is not None
    assert report.exchange_order_id == str(ORDER_ID)


@pytest.mark.parametrize("position", [0, 1, 2, 3])
@pytest.mark.parametrize(
    "bad", [answer(b"", 504), answer(b""), answer({}), answer(b"null"), answer(refusal("INTERNAL_ERROR")), DROP]
)
def test_no_failed_list_is_an_empty_one(adapt: Adapt, position: int, bad: Any) -> None:
    script = [NO_ORDER, NOTHING_OPEN, NOTHING, NOTHING]
    script[position] = bad
    assert failed(lambda: query(adapt(*script), str(ORDER_ID), since_ms=STAMP)).kind is Kind.UNKNOWN


OTHER = samples.order(pairSymbol="ETHTRY")


@pytest.mark.parametrize(
    "script",
    [
        [said(samples.working(OTHER))],
        [NOTHING_OPEN, said([OTHER])],
        [NOTHING_OPEN, NOTHING, said([samples.trade(numeratorSymbol="ETH")])],
    ],
)
def test_lists_about_other_pairs_fail(adapt: Adapt, script: list[bytes]) -> None:
    assert failed(lambda: query(adapt(*script), since_ms=STAMP)).reason == "mismatch"


@pytest.mark.parametrize("changes", [{"pairSymbol": "ETHTRY"}, {"id": 7}])
def test_an_answer_about_another_order_fails(adapt: Adapt, changes: dict[str, Any]) -> None:
    assert failed(lambda: query(adapt(said(samples.order(**changes))), str(ORDER_ID))).reason == "mismatch"


TWICE = [samples.order(), samples.order(id=7)]


@pytest.mark.parametrize(
    "script",
    [
        [said(samples.working(*TWICE))],
        [NOTHING_OPEN, said(TWICE)],
        [NOTHING_OPEN, NOTHING, said([samples.trade(), samples.trade(2, orderId=7)])],
    ],
)
def test_several_orders_under_one_id_are_not_chosen_from(adapt: Adapt, script: list[bytes]) -> None:
    assert failed(lambda: query(adapt(*script), since_ms=STAMP)).reason == "ambiguous"


def test_a_triggered_stop_gives_way_to_its_successor(adapt: Adapt) -> None:
    stop = samples.order(id=7, method="stoplimit", status="Canceled")
    report = query(adapt(NOTHING_OPEN, said([samples.order(status="Closed", leftAmount="0"), stop])), since_ms=STAMP)
    assert report is not None
    assert (report.exchange_order_id, report.type) == (str(ORDER_ID), "LIMIT")


MARKET = {"method": "market", "status": "Closed", "quantity": "0.0000000000000001"}


@pytest.mark.parametrize(
    ("amount", "left", "rows", "executed"),
    [
        ("0.0002", "0", 2, "0.0002"),
        ("0.0002", "0.0000000000000001", 2, "0.0002"),
        ("0.0002000000000000009", "0", 2, "0.0002"),
        ("0.0003000000000000009", "0", 2, "0.0003"),  # trades are late: the order's own figure, cut down
        ("0.0003", "0", 0, "0.0003"),
    ],
)
def test_an_ended_market_order_counts_its_trades(
    adapt: Adapt, server: FakeServer, amount: str, left: str, rows: int, executed: str
) -> None:
    shown = samples.order(**MARKET, amount=amount, leftAmount=left)
    trades = said([samples.trade(n) for n in range(rows)])
    report = query(adapt(said(shown), trades), str(ORDER_ID))
    assert report is not None
    assert (report.status, report.cumulative_quantity) == (ReportedStatus.FILLED, Decimal(executed))
    assert pages(server)[1] == {"orderId": str(ORDER_ID)}


def test_a_market_order_whose_trades_cannot_be_read_fails(adapt: Adapt) -> None:
    adapter = adapt(said(samples.order(**MARKET, leftAmount="0")), answer(b"", 503))
    assert failed(lambda: query(adapter, str(ORDER_ID))).kind is Kind.UNKNOWN


# Lists


def test_open_orders_of_all_pairs(adapt: Adapt, server: FakeServer) -> None:
    adapter = adapt(said(samples.working(samples.order(), samples.order(id=7, pairSymbol="ETHTRY"))))
    assert [report.symbol for report in adapter.open_orders(None, **NOW)] == ["BTCTRY", "ETHTRY"]
    assert server.seen[0].target == "/api/v1/openOrders"
    refused = adapt(answer(refusal("INVALID_PARAMETER"), 400))
    assert failed(lambda: refused.open_orders(None, **NOW)).kind is Kind.REFUSED


def history(first: int, last: int, per_second: int = 10) -> list[dict[str, Any]]:
    """Orders ``first`` … ``last``, newest first; order n was placed at n/per_second seconds after the stamp."""
    return [
        samples.order(id=n, orderClientId=f"c{n}", time=STAMP + n * 1000 // per_second)
        for n in range(last, first - 1, -1)
    ]


def test_history_is_walked_back_by_time(adapt: Adapt, server: FakeServer) -> None:
    adapter = adapt(said(history(1001, 2000)), said(history(40, 1010)), said(history(35, 49)))
    reports = adapter.order_history("BTCTRY", since_ms=STAMP, **NOW)
    assert [report.exchange_order_id for report in reports] == [str(n) for n in range(35, 2001)]
    ends = [page.get("endTime") for page in pages(server)]
    assert ends == [None, str((STAMP + 100_100) // 1000 + 1), str((STAMP + 4000) // 1000 + 1)]
    assert {page["startTime"] for page in pages(server)} == {str(STAMP // 1000)}


def test_a_page_that_repeats_ends_a_short_history(adapt: Adapt) -> None:
    adapter = adapt(said(history(1, 100)), said(history(1, 50)))
    assert len(adapter.order_history("BTCTRY", since_ms=STAMP, **NOW)) == 100


def test_history_before_the_start_is_left_out(adapt: Adapt) -> None:
    adapter = adapt(said([samples.order(id=1, time=STAMP - 2000), samples.order(id=2, time=STAMP - 100)]))
    assert [each.exchange_order_id for each in adapter.order_history("BTCTRY", since_ms=STAMP, **NOW)] == ["2"]


def test_a_history_that_does_not_advance_fails(adapt: Adapt) -> None:
    adapter = adapt(said(history(1, 1000, per_second=10_000)))
    assert failed(lambda: adapter.order_history("BTCTRY", since_ms=STAMP, **NOW)).reason == "mismatch"


def test_a_history_without_end_is_given_up(adapt: Adapt, server: FakeServer) -> None:
    adapter = adapt(*(said(history(n - 60, n)) for n in range(100_000, 0, -60)))
    assert failed(lambda: adapter.order_history("BTCTRY", since_ms=STAMP, **NOW)).reason == "too_long"
    assert len(server.seen) == 50


def test_trades_of_an_order(adapt: Adapt, server: FakeServer) -> None:
    trades = adapt(said([samples.trade(3), samples.trade(1), samples.trade(3)])).order_trades(
        "BTCTRY", str(ORDER_ID), **NOW
    )
    assert [trade.trade_id[-1] for trade in trades] == ["1", "3"]
    assert pages(server) == [{"orderId": str(ORDER_ID)}]


def test_an_order_with_more_trades_than_an_answer_holds(adapt: Adapt, server: FakeServer) -> None:
    cut = [samples.trade(n) for n in range(200, 0, -1)]
    left = [samples.trade(n) for n in range(250, 99, -1)]
    adapter = adapt(
        said(cut),
        ORDER,
        said(left),  # the whole life of the order: cut off too
        said([samples.trade(n) for n in range(250, 120, -1)]),
        said([*(samples.trade(n) for n in range(120, 0, -1)), samples.trade(500, orderId=7)]),
    )
    trades = adapter.order_trades("BTCTRY", str(ORDER_ID), **NOW)
    assert len(trades) == 250
    life, newer, older = pages(server)[2:]
    assert life["startDate"] == str(STAMP + 10 - 1000)
    assert older["endDate"] == newer["startDate"]
    assert (older["startDate"], newer["endDate"]) == (life["startDate"], life["endDate"])


def test_many_trades_that_add_up_to_their_order_are_all(adapt: Adapt, server: FakeServer) -> None:
    shown = samples.order(status="Closed", amount="0.0180", leftAmount="0")
    trades = adapt(said([samples.trade(n) for n in range(180)]), said(shown)).order_trades(
        "BTCTRY", str(ORDER_ID), **NOW
    )
    assert len(trades) == 180
    assert len(server.seen) == 2


def test_a_cut_off_order_that_is_not_shown_fails(adapt: Adapt) -> None:
    adapter = adapt(said([samples.trade(n) for n in range(200)]), NO_ORDER)
    assert failed(lambda: adapter.order_trades("BTCTRY", str(ORDER_ID), **NOW)).reason == "cut_off"


@pytest.mark.parametrize("changes", [{"numeratorSymbol": "ETH"}, {"orderId": 29}])
def test_trades_of_something_else_fail(adapt: Adapt, changes: dict[str, Any]) -> None:
    adapter = adapt(said([samples.trade(1, **changes)]))
    assert failed(lambda: adapter.order_trades("BTCTRY", str(ORDER_ID), **NOW)).reason == "mismatch"


def test_an_id_that_is_no_number_is_not_asked_for(adapt: Adapt, server: FakeServer) -> None:
    with pytest.raises(ValueError, match="number"):
        query(adapt(), "../users/balances")
    assert server.connections == 0


def test_long_times_are_read_in_slices(adapt: Adapt, server: FakeServer) -> None:
    adapt(NOTHING).trades_between("BTCTRY", STAMP - 70 * DAY_MS, STAMP, **NOW)
    windows = [
        ((int(page["startDate"]) - STAMP) // DAY_MS, (int(page["endDate"]) - STAMP) // DAY_MS) for page in pages(server)
    ]
    assert windows == [(-30, 0), (-60, -30), (-70, -60)]


def test_rows_outside_the_time_are_left_out(adapt: Adapt) -> None:
    adapter = adapt(said([samples.trade(n) for n in (9, 10, 20, 21)]))
    found = adapter.trades_between("BTCTRY", STAMP + 10, STAMP + 20, **NOW)
    assert [trade.trade_id[-2:] for trade in found] == ["10", "20"]


def at_once(rows: int) -> bytes:
    """This many trades of one millisecond."""
    return said([samples.trade(n, timestamp=STAMP) for n in range(rows)])


def test_a_window_that_cannot_be_narrowed_fails(adapt: Adapt) -> None:
    assert failed(lambda: adapt(at_once(200)).trades_between("BTCTRY", STAMP, STAMP + 1, **NOW)).reason == "cut_off"


def test_a_window_that_cannot_be_narrowed_is_believed_below_the_cap(adapt: Adapt) -> None:
    assert len(adapt(at_once(199)).trades_between("BTCTRY", STAMP, STAMP + 1, **NOW)) == 199


def test_many_trades_are_read_slice_by_slice_and_those_read_are_kept(adapt: Adapt, server: FakeServer) -> None:
    minute = 60_000
    few = said([samples.trade(n, timestamp=STAMP + n * 1000) for n in range(3)])
    adapter = adapt(at_once(150), at_once(150), few, NOTHING, DROP)
    slices = trade_slices(adapter, "BTCTRY", STAMP, STAMP + 16 * minute, **NOW)
    assert [(until - STAMP, len(told)) for until, told in islice(slices, 2)] == [(4 * minute, 3), (12 * minute, 0)]
    with pytest.raises(ReadFailed):
        next(slices)
    windows = [(int(page["startDate"]) - STAMP, int(page["endDate"]) - STAMP) for page in pages(server)]
    assert [(low // minute, high // minute) for low, high in windows[:5]] == [
        *((0, 16), (0, 8), (0, 4)),
        *((4, 12), (12, 16)),
    ]


def test_the_shortest_slice_is_read_by_halves_and_given_up_in_the_end(adapt: Adapt, server: FakeServer) -> None:
    few = said([samples.trade(n, timestamp=STAMP + n) for n in range(3)])
    told = list(trade_slices(adapt(at_once(150), few, few), "BTCTRY", STAMP, STAMP + 60_000, **NOW))
    assert [(until - STAMP, len(trades)) for until, trades in told] == [(60_000, 3)]
    assert len(server.seen) == 3


def test_trades_without_end_are_given_up(adapt: Adapt, server: FakeServer) -> None:
    adapter = adapt(*([at_once(150), NOTHING] * 200))
    assert failed(lambda: adapter.trades_between("BTCTRY", 0, 50 * 30 * DAY_MS, **NOW)).reason == "too_long"
    assert len(server.seen) == 50


def test_trades_from_a_time(adapt: Adapt, server: FakeServer) -> None:
    found = adapt(said([samples.trade(2), samples.trade(1)])).trades_from("BTCTRY", "x", now_ms=STAMP, since_ms=STAMP)
    assert [trade.trade_id[-1] for trade in found] == ["1", "2"]
    assert pages(server)[0]["startDate"] == str(STAMP)


def test_the_newest_trades(adapt: Adapt, server: FakeServer) -> None:
    found = adapt(said([samples.trade(2), samples.trade(1)])).trades_from("BTCTRY", None, **NOW)
    assert [trade.trade_id[-1] for trade in found] == ["1", "2"]
    assert pages(server) == [{"pairSymbol": "BTCTRY"}]


def test_a_trade_is_looked_for_backwards(adapt: Adapt, server: FakeServer) -> None:
    hour = 3_600_000
    newest, cursor, older = (
        samples.trade(3),
        samples.trade(2, timestamp=STAMP - 2 * hour),
        samples.trade(1, timestamp=STAMP - 3 * hour + 20_000),
    )
    adapter = adapt(said([newest]), said([cursor, older]))
    found = adapter.trades_from("BTCTRY", str(cursor["id"]), **NOW)
    assert [trade.trade_id[-1] for trade in found] == ["2", "3"]
    assert len(server.seen) == 2


def test_a_trade_that_is_not_shown_any_more_fails(adapt: Adapt, server: FakeServer) -> None:
    assert failed(lambda: adapt(NOTHING).trades_from("BTCTRY", "1", **NOW)).reason == "cursor_not_found"
    assert int(pages(server)[-1]["startDate"]) - STAMP == pytest.approx(-29 * DAY_MS, abs=20_000)


# Other reads


def test_balances(adapt: Adapt) -> None:
    (balance,) = adapt(said([{"asset": "TRY", "free": "1,5", "locked": "0"}])).balances(**NOW)
    assert (balance.asset, balance.free, balance.locked) == ("TRY", Decimal("1.5"), 0)
    assert balance.as_of.timestamp() * 1000 == pytest.approx(STAMP)


def test_instruments(adapt: Adapt, server: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    pairs = {"symbols": [samples.pair(), samples.pair(name="ETHTRY"), samples.pair(name="ODDTRY", hasFraction="?")]}
    adapter = adapt(said(pairs))
    assert [each.symbol for each in adapter.instruments()] == ["BTCTRY", "ETHTRY"]
    assert "ODDTRY" in caplog.text
    assert [each.symbol for each in adapter.instruments(("ETHTRY",))] == ["ETHTRY"]
    assert adapter.instruments(()) == ()
    assert failed(lambda: adapter.instruments(("ODDTRY",))).reason == "unparsable"
    assert failed(lambda: adapter.instruments(("NOSUCH",))).reason == "symbol"
    assert {seen.target for seen in server.seen} == {"/api/v2/server/exchangeinfo"}


def test_no_pair_at_all_is_no_answer(adapt: Adapt) -> None:
    assert failed(adapt(said({"symbols": []})).instruments).reason == "unparsable"


def test_quotes(adapt: Adapt, server: FakeServer) -> None:
    tickers = [{"pair": "BTCTRY", "bid": 1.5, "ask": 2}, {"pair": "ETHTRY", "bid": 3, "ask": 4}]
    adapter = adapt(said(tickers[:1]), said(tickers), said(tickers), NOTHING)
    assert [(each.bid, each.ask) for each in adapter.quotes(("BTCTRY",))] == [(Decimal("1.5"), Decimal(2))]
    assert [each.symbol for each in adapter.quotes(("ETHTRY", "BTCTRY"))] == ["ETHTRY", "BTCTRY"]
    assert failed(lambda: adapter.quotes(("BTCTRY", "NOSUCH"))).reason == "symbol"
    assert failed(lambda: adapter.quotes(("NOSUCH",))).kind is Kind.REFUSED
    assert adapter.quotes(()) == ()
    assert [dict(parse_qsl(seen.payload)) for seen in server.seen] == [
        {"pairSymbol": "BTCTRY"},
        {},
        {},
        {"pairSymbol": "NOSUCH"},
    ]


class FakeTime:
    def __init__(self, wall: float, ticks: Iterator[float]) -> None:
        self.time = lambda: wall
        self.monotonic = lambda: next(ticks)


def test_server_time_is_taken_at_the_middle(adapt: Adapt, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = adapt(answer({"serverTime": 1_000_150, "serverTime2": "x"}))
    monkeypatch.setattr("exchanges.http.reading.time", FakeTime(1000.0, iter([0.0, 0.2])))
    sample = adapter.server_time()
    assert (sample.server_ms, sample.offset_ms, sample.round_trip_ms) == (1_000_150, 50, 200)


def test_warming_an_unreachable_host_is_quiet_and_the_call_tells() -> None:
    adapter = BtcturkAdapter(CREDENTIALS, "http://127.0.0.1:1")
    adapter.warm()
    outcome = failed(adapter.server_time)
    assert (outcome.kind, outcome.reason) == (Kind.NOT_SENT, "connect_failed")


# Budget


def test_hooks_run_around_every_call(adapt: Adapt) -> None:
    before: list[str] = []
    after: list[tuple[str, int | None]] = []
    adapter = adapt(
        NO_ORDER,
        NOTHING_OPEN,
        NOTHING,
        NOTHING,
        before_call=before.append,
        after_call=lambda name, evidence: after.append((name, evidence.http_status)),
    )
    query(adapter, str(ORDER_ID), since_ms=STAMP)
    assert before == ["query_order", "open_orders", "order_history", "trades_between"]
    assert after == list(zip(before, (400, 200, 200, 200), strict=True))


def test_a_read_without_budget_is_not_made(adapt: Adapt, server: FakeServer) -> None:
    def refuse(_: str) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        adapt(before_call=refuse).balances(**NOW)
    assert server.connections == 0


def test_writes_have_no_hooks(adapt: Adapt) -> None:
    names: list[str] = []
    adapter = adapt(said(samples.placed()), before_call=names.append)
    assert place(adapter).kind is Kind.ACCEPTED
    assert names == []


def test_every_call_has_its_windows(adapt: Adapt) -> None:
    names: set[str] = {"place", "cancel"}
    adapter = adapt(answer(b""), before_call=names.add)
    reads: list[Callable[[], object]] = [
        lambda: query(adapter, str(ORDER_ID)),
        lambda: adapter.open_orders(None, **NOW),
        lambda: adapter.open_orders("BTCTRY", **NOW),
        lambda: adapter.order_history("BTCTRY", since_ms=STAMP, **NOW),
        lambda: adapter.order_trades("BTCTRY", "28", **NOW),
        lambda: adapter.trades_between("BTCTRY", STAMP, STAMP, **NOW),
        lambda: adapter.trades_from("BTCTRY", None, **NOW),
        lambda: adapter.balances(**NOW),
        adapter.instruments,
        lambda: adapter.quotes(("BTCTRY",)),
        adapter.server_time,
    ]
    for read in reads:
        failed(read)
    assert names == set(COSTS)
    by_kind = {window.kind: window for windows in COSTS.values() for window in windows}
    assert all(by_kind[window.kind] == window for windows in COSTS.values() for window in windows)
    assert [(window.seconds, window.limit, window.per_account) for window in COSTS["place"]] == [
        (60, 300, True),
        (1, 10, True),
    ]


def test_adapter_belongs_to_its_thread(adapt: Adapt, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = adapt()
    monkeypatch.setattr("exchanges.http.calls.os.getpid", lambda: -1)
    with pytest.raises(WrongThread):
        place(adapter)
