"""Output equals input over the stored orders: one that nobody decided, or that is more than was decided, latches."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from execution_project.common import clock, ids
from execution_project.common.models import Event
from execution_project.common.problems import Problem
from orders.models import Command, ExchangeOrder, Order
from orders.monitors.output_equals_input import watch
from risk.models import Decision, TradingState
from risk.trading_state import propose_start
from tests.factories import BY, ExchangeOrderFactory, FillFactory, whole_order
from tests.kills import WHY

pytestmark = pytest.mark.django_db
D = Decimal


def decided(order: Order, *, accepted: bool = True, of: object = None) -> Decision:
    """A decision on an order."""
    return Decision.objects.create(
        order_id=of or order.id,
        accepted=accepted,
        results=[],
        inputs={},
        gate_seq=1,
        decided_at=clock.now(),
        actor=BY.name,
    )


def explained(**values: Any) -> Order:
    """An order with its decision."""
    order = whole_order(status=values.pop("status", "open"), **values)
    Order.objects.filter(id=order.id).update(decision_id=decided(order).id)
    return order


def tripped() -> list[str]:
    return list(TradingState.objects.filter(tripped_by="output_equals_input").values_list("scope_key", flat=True))


def test_what_was_decided_is_explained() -> None:
    explained()
    rest = explained(quantity=D("2"))
    ExchangeOrder.objects.filter(order=rest).update(booked_quantity=D("1.5"), end_proof="canceled")
    ExchangeOrderFactory(order=rest, generation=1, quantity=D("0.5"))
    in_quote = explained(type="MARKET", price=None, time_in_force=None, quantity=None, quote_quantity=D("100"))
    ExchangeOrder.objects.filter(order=in_quote).update(booked_quantity=D("3"), booked_quote=D("100"))
    with CaptureQueriesContext(connection) as captured:
        assert watch() == 0
    assert len(captured) == 1


@pytest.mark.parametrize(("value", "latched"), [("500.1566906", 0), ("500.6", 0), ("500.61", 1)])
def test_an_order_sized_in_quote_may_come_to_one_step_of_the_lot_more(value: str, latched: int) -> None:
    order = explained(type="MARKET", price=None, time_in_force=None, quantity=None, quote_quantity=D("500"))
    order.instrument.filters["LOT_SIZE"]["stepSize"] = "0.00001"
    order.instrument.save()
    filled = {"booked_quantity": D("0.00833"), "booked_quote": D(value), "end_proof": "reported"}
    ExchangeOrder.objects.filter(order=order).update(**filled)
    assert watch() == latched


def test_the_step_counts_also_where_an_earlier_exchange_order_was_never_executed() -> None:
    order = explained(type="MARKET", price=None, time_in_force=None, quantity=None, quote_quantity=D("500"))
    order.instrument.filters["LOT_SIZE"]["stepSize"] = "0.00001"
    order.instrument.save()
    ExchangeOrder.objects.filter(order=order).update(end_proof="not_executed")
    again = ExchangeOrderFactory(order=order, generation=1, quantity=None, quote_quantity=D("500"))
    filled = {"booked_quantity": D("0.00833"), "booked_quote": D("500.15"), "end_proof": "reported"}
    ExchangeOrder.objects.filter(id=again.id).update(**filled)
    assert watch() == 0


def test_one_exchange_order_too_much_latches_the_account_once() -> None:
    fine, order = explained(), explained(quantity=D("2"))
    ExchangeOrder.objects.filter(order=order).update(booked_quantity=D("1.5"), end_proof="canceled")
    ExchangeOrderFactory(order=order, generation=1, quantity=D("0.50001"))
    assert watch() == 1
    assert watch() == 0
    assert tripped() == [order.account.name]
    assert TradingState.objects.get().state == "REDUCE_ONLY"
    assert fine.account.name != order.account.name
    told = Event.objects.get(kind="trading.tripped").evidence
    assert (told["count"], told["orders"][0]["order"]) == (1, str(order.id))
    with pytest.raises(Problem) as held:
        propose_start("account", order.account.name, reason=WHY, by=BY)
    assert held.value.code == "LATCH_HELD"
    assert str(order.id) in held.value.members["held_by"][0]


@pytest.mark.parametrize("which", ["none", "denied", "another order's"])
def test_an_order_without_an_accepted_decision_of_its_own_is_not_explained(which: str) -> None:
    order = whole_order(status="open")
    if which == "denied":
        Order.objects.filter(id=order.id).update(decision_id=decided(order, accepted=False).id)
    if which == "another order's":
        Order.objects.filter(id=order.id).update(decision_id=decided(order, of=ids.uuid7()).id)
    assert watch() == 1
    assert tripped() == [order.account.name]


def test_what_a_replace_planned_needs_the_decision_of_the_replace() -> None:
    order = explained()
    old = order.exchange_orders.get()
    planned = ExchangeOrderFactory(order=order, generation=1, planned=True)
    command = Command.objects.create(
        order=order,
        exchange_order=old,
        kind="replace",
        rung_at=clock.now(),
        requested_by=BY.name,
        new_quantity=D("1"),
        new_price=D("60000"),
        method="cancel_then_place",
        decision_id=decided(order).id,
        gate_seq=2,
        planned=planned,
        created_at=clock.now(),
    )
    assert watch() == 0
    Command.objects.filter(id=command.id).update(decision_id=decided(order, accepted=False).id)
    assert watch() == 1


@pytest.mark.parametrize("origin", ["adopted", "external"])
def test_orders_that_were_found_at_the_exchange_are_not_its_affair(origin: str) -> None:
    whole_order(status="open", origin=origin, decision_id=None)
    assert watch() == 0


def test_what_ended_is_looked_at_while_it_is_recent_or_filled_again() -> None:
    with clock.using(clock.ManualClock(clock.now() - timedelta(minutes=11))):
        order = whole_order(status="settled", ended_as="filled")
    assert watch() == 0, "it is over and old"
    FillFactory(account=order.account, instrument=order.instrument, order_id=order.id)
    assert watch() == 1
