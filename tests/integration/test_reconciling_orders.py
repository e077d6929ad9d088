"""Orders are compared one by one: what cannot be read of one, and what was once said too much of one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from exchanges.connections import adapter_for
from exchanges.freshness import freshness_of
from exchanges.host_clock import exchange_now_ms
from exchanges.reports import OrderReport, ReportedStatus
from execution_project.common import clock
from execution_project.common.models import Event
from orders import reconciling_schedule
from orders.breaks import Finding, open_or_touch
from orders.following import settle_account
from orders.ingest import ingest
from orders.models import Break, BreakKind, ExchangeOrder, Order, Severity
from orders.overstated import take_back
from orders.reconciliation.unbooked import subject_of
from tests.engines import BY, Engine, drain, reserved
from tests.integration.test_reconciliation import foreign, run
from tests.integration.test_reconciling_fills import CALLS, booked_as, resting, traded, venue

__all__ = ["venue"]

pytestmark = pytest.mark.e2e
D = Decimal
UNREADABLE: list[dict[str, Any]] = [{"kind": "status", "status": 400, "code": -1100}, {"kind": "garbage"}]


def end_at_exchange(engine: Engine, row: ExchangeOrder) -> None:
    """Somebody cancels the order there, and nobody tells us."""
    path = "/sim/orders" if engine.account.exchange == "binance" else "/sim/orders?exchange=btcturk"
    order = {"account": engine.account.name, "symbol": row.order.instrument.symbol}
    engine.simulator.call("DELETE", path, {**order, "order_id": int(row.exchange_order_id)})


def row_of(symbol: str) -> ExchangeOrder:
    return ExchangeOrder.objects.select_related("order__instrument").get(order__instrument__symbol=symbol)


# ----------------------------------------------------------------------------------------------------- unreadable ones


@pytest.mark.parametrize("fault", UNREADABLE)
def test_an_order_that_cannot_be_read_keeps_no_other_from_being_compared(engine: Engine, fault: dict[str, Any]) -> None:
    engine.limit("BUY", "0.5", "2000.00", symbol="ETHUSDT")
    engine.limit("BUY", "0.01", "50000.00")
    drain()
    unread, other = row_of("ETHUSDT"), row_of("BTCUSDT")
    for row in (unread, other):
        end_at_exchange(engine, row)
    for kind in (BreakKind.MISSING_AT_VENUE, BreakKind.STATUS_MISMATCH):
        open_or_touch(engine.account, Finding(kind, Severity.WARNING, subject_of(unread)), by=BY)
    foreign(engine)
    before = freshness_of(engine.account).orders_at
    engine.simulator.fault(call="GET /api/v3/order", times=None, match={"symbol": "ETHUSDT"}, **fault)
    outcome = run(engine)
    assert (set(outcome.failed), outcome.succeeded) == ({"orders"}, False)
    assert subject_of(unread) in outcome.failed["orders"]
    assert freshness_of(engine.account).orders_at == before, "what was not compared is not fresh"
    assert row_of("ETHUSDT").end_proof == ""
    assert ExchangeOrder.objects.get(pk=other.pk).end_proof
    assert Order.objects.filter(origin="external").count() == 1
    noted = Break.objects.filter(subject=subject_of(unread))
    assert set(noted.values_list("status", flat=True)) == {"open"}, "nothing is concluded from it"
    engine.simulator.call("DELETE", "/sim/faults")
    assert run(engine).succeeded
    assert row_of("ETHUSDT").end_proof
    assert set(noted.values_list("status", flat=True)) == {"resolved"}


@pytest.mark.parametrize("fault", UNREADABLE)
def test_an_order_that_moved_and_cannot_be_read_keeps_no_other_from_being_compared(
    engine: Engine, fault: dict[str, Any]
) -> None:
    row = resting(engine)
    engine.simulator.trade("BTCUSDT", "58990", "0.04", "SELL")
    foreign(engine, symbol="ETHUSDT", quantity="0.5", price="2000.00")
    engine.simulator.fault(call="GET /api/v3/order", times=None, match={"symbol": "BTCUSDT"}, **fault)
    assert set(run(engine, "orders").failed) == {"orders"}
    assert Order.objects.get(origin="external").instrument.symbol == "ETHUSDT"
    row.refresh_from_db()
    assert row.booked_quantity == 0


# -------------------------------------------------------------------------------------------------- too much is booked


def test_an_order_that_ended_unseen_with_less_than_is_booked_is_a_break(venue: Engine) -> None:
    booked_as(venue, quantity=D("0.05"))
    row = ExchangeOrder.objects.get()
    end_at_exchange(venue, row)
    first = run(venue, "orders")
    assert ("qty_mismatch", "suspected") in [(d.what, d.became) for d in first.differences]
    row.refresh_from_db()
    assert row.end_proof
    run(venue, "orders")
    broken = Break.objects.get()
    assert (broken.kind, broken.status, broken.difference) == ("qty_mismatch", "open", D("-0.01"))
    assert broken.order_id == row.order_id


# --------------------------------------------------------------------------------------------------- too much was said


def word_of(engine: Engine, row: ExchangeOrder) -> OrderReport:
    """What the exchange says of the order."""
    told = adapter_for(engine.account).query_order(
        "BTCUSDT",
        client_order_id=row.client_order_id,
        exchange_order_id=row.exchange_order_id,
        now_ms=exchange_now_ms(engine.account),
    )
    assert told is not None
    return told


def said_too_much(engine: Engine, row: ExchangeOrder, quantity: str = "0.06") -> None:
    """One report tells of more than was ever traded."""
    ingest(engine.account, [replace(word_of(engine, row), cumulative_quantity=D(quantity))], by=BY)


def partly_traded(engine: Engine) -> ExchangeOrder:
    """0.04 of 0.1 is traded and booked."""
    row = resting(engine)
    ingest(engine.account, [traded(engine)], by=BY)
    return row


def cancel_and_settle(engine: Engine, row: ExchangeOrder) -> int:
    engine.request("DELETE", f"order/{row.order_id}")
    drain()
    Order.objects.update(updated_at=clock.now() - timedelta(seconds=3))
    ExchangeOrder.objects.update(last_looked_at=None, looked=0)
    return settle_account(engine.account)


def assert_taken_back(engine: Engine, row: ExchangeOrder) -> None:
    row.refresh_from_db()
    assert (row.cumulative_quantity, row.booked_quantity) == (D("0.04"), D("0.04"))
    assert reserved(engine) == {}
    event = Event.objects.get(kind="exchange_order.overstated")
    assert (event.evidence["cumulative_before"], event.evidence["cumulative"]) == ("0.06", "0.04")


def test_what_was_said_too_much_is_taken_back_when_the_order_settles(venue: Engine) -> None:
    row = partly_traded(venue)
    said_too_much(venue, row)
    reconciling_schedule.watch_books()
    assert Break.objects.get().kind == "missing_fill"
    assert cancel_and_settle(venue, row) == 1
    assert_taken_back(venue, row)
    order = Order.objects.get()
    assert (order.status, order.ended_as, order.filled_quantity) == ("settled", "canceled", D("0.04"))
    reconciling_schedule.watch_books()
    assert Break.objects.count() == 0


def test_what_was_said_too_much_of_a_settled_order_is_taken_back_by_a_comparison(venue: Engine) -> None:
    row = partly_traded(venue)
    assert cancel_and_settle(venue, row) == 1
    said_too_much(venue, row)
    assert reserved(venue)
    reconciling_schedule.watch_books()
    Break.objects.update(opened_at=clock.now() - timedelta(seconds=10))
    reconciling_schedule.watch_books()
    assert venue.limit("BUY", "0.01", "50000.00")[1]["code"] == "BREAK_OPEN"
    outcome = run(venue, "orders", dry_run=True)
    row.refresh_from_db()
    assert (row.cumulative_quantity, outcome.differences) == (D("0.06"), [])
    outcome = run(venue, "orders")
    assert [(d.what, d.became) for d in outcome.differences] == [("overstated order", "ingested")]
    assert_taken_back(venue, row)
    assert (Break.objects.get().status, venue.order(str(row.order_id))["status"]) == ("resolved", "settled")
    assert venue.limit("BUY", "0.01", "50000.00")[0] == 202


def test_nothing_is_taken_back_while_the_order_works_or_its_trades_do_not_show(venue: Engine) -> None:
    row = partly_traded(venue)
    said_too_much(venue, row)
    for status in ("suspected", "open"):
        reconciling_schedule.watch_books()
        run(venue, "orders")
        assert Break.objects.get().status == status
        Break.objects.update(opened_at=clock.now() - timedelta(seconds=10))
    row.refresh_from_db()
    assert row.cumulative_quantity == D("0.06"), "an order that works may have traded it"
    venue.simulator.fault("lagging_trades", call=CALLS[venue.account.exchange]["trades"], ms=600_000)
    assert cancel_and_settle(venue, row) == 0
    run(venue, "orders")
    row.refresh_from_db()
    assert (bool(row.end_proof), row.cumulative_quantity) == (True, D("0.06"))
    assert reserved(venue)
    assert not take_back(row.order_id, row.id, word_of(venue, row), (), by=BY)
    venue.simulator.call("DELETE", "/sim/faults")
    shown = adapter_for(venue.account).order_trades(
        "BTCUSDT", row.exchange_order_id, now_ms=exchange_now_ms(venue.account)
    )
    told = word_of(venue, row)
    for otherwise in (
        {"cumulative_quantity": D("0.06")},
        {"cumulative_quote": D(1)},
        {"status": ReportedStatus.PARTIALLY_FILLED},
    ):
        assert not take_back(row.order_id, row.id, replace(told, **otherwise), shown, by=BY)
    assert not Event.objects.filter(kind="exchange_order.overstated").exists()
