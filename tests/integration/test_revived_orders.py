"""What was concluded to be over and is shown at work again is an order at work: followed, canceled, killed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from exchanges.connections import adapter_for
from exchanges.host_clock import exchange_now_ms
from exchanges.reports import OrderReport, ReportedStatus
from execution_project.common import clock
from execution_project.common.models import Event
from orders.following import follow_account
from orders.ingest import ingest
from orders.models import ExchangeOrder, Order
from orders.reconciliation import reconcile
from tests.engines import BY, Engine, drain, reserved
from tests.integration.test_resolving_by_hand import approved
from tests.integration.test_unknown_orders import followed, vanished

pytestmark = pytest.mark.e2e
D = Decimal


def ended_by_hand(engine: Engine) -> str:
    """An order that two persons ended while the exchange showed nothing of it; it works there all the while."""
    order_id = vanished(engine)
    followed(engine, order_id, "closed_unverified")
    assert approved(UUID(order_id), "canceled").status == "canceled"
    engine.simulator.call("DELETE", "/sim/faults")
    return order_id


def working(engine: Engine) -> int:
    return len(adapter_for(engine.account).open_orders("BTCUSDT", now_ms=exchange_now_ms(engine.account)))


def test_an_order_that_works_though_it_was_ended_by_hand_can_be_canceled(engine: Engine) -> None:
    order_id = ended_by_hand(engine)
    reconcile(engine.account, parts=("orders",), by=BY)
    document = engine.order(order_id)
    assert (document["status"], document["reason"], document["ended_as"]) == ("open", "", None)
    assert Event.objects.get(kind="order.repaired", to_status="open").from_status == "canceled"
    assert working(engine) == 1
    status, _ = engine.request("DELETE", f"order/{order_id}")
    assert status == 202
    drain()
    assert engine.order(order_id)["status"] == "canceled"
    assert (working(engine), reserved(engine)) == (0, {})


def test_one_that_traded_is_followed_to_its_end(engine: Engine) -> None:
    order_id = ended_by_hand(engine)
    quantity = ExchangeOrder.objects.get().quantity
    engine.simulator.trade("BTCUSDT", "58000.00", "0.01", "SELL")
    reconcile(engine.account, parts=("orders",), by=BY)
    document = engine.order(order_id)
    assert (document["status"], document["filled_quantity"]) == ("partially_filled", "0.01")
    engine.simulator.trade("BTCUSDT", "58000.00", str(quantity - D("0.01")), "SELL")
    follow_account(engine.account)
    assert engine.order(order_id)["status"] == "filled"
    assert reserved(engine) == {}


def said(row: ExchangeOrder, status: ReportedStatus) -> OrderReport:
    return OrderReport(
        symbol="BTCUSDT",
        exchange_order_id="77",
        client_order_id=row.client_order_id,
        side="BUY",
        type="LIMIT",
        status=status,
        price=row.price,
        quantity=row.quantity,
        cumulative_quantity=D(0),
        cumulative_quote=D(0),
        as_of=clock.now(),
        source="a test",
    )


@pytest.mark.parametrize("refused", [False, True])
def test_a_stale_open_takes_back_no_end_that_the_exchange_reported(engine: Engine, refused: bool) -> None:
    fault: dict[str, Any] = {"msg": "Account has insufficient balance for requested action."}
    if refused:
        engine.simulator.fault("reject", **fault)
    _, order = engine.limit("BUY", "0.01", "59000.00")
    drain()
    row = ExchangeOrder.objects.get()
    ingest(engine.account, [said(row, ReportedStatus.CANCELED)], by=BY)
    assert engine.order(order["id"])["status"] == "canceled"
    ingest(engine.account, [said(row, ReportedStatus.OPEN)], by=BY)
    assert engine.order(order["id"])["status"] == "canceled"
    assert ExchangeOrder.objects.get().end_proof
    assert reserved(engine) == {}
    assert Order.objects.get().ended_as == "canceled"
