"""Invariant 2: every exchange trade is in the books exactly once, in any arrival order, with duplicates and replays."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db.models import Sum
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from exchanges.reports import Fee, Report, ReportedStatus
from execution_project.common.actors import Actor
from execution_project.common.rights import EVERYTHING
from orders.ingest import ingest
from orders.models import Order
from orders.reconciliation import reconcile
from positions.models import Fill, Holding, LedgerEntry, Position
from risk.models import Reservation
from tests.engines import Engine, holdings
from tests.factories import order_report, trade_report, whole_order
from tests.threads import together

BY = Actor("test", "any arrival order", rights=EVERYTHING)
QUANTITIES = ("0.1", "0.2", "0.3", "0.4")


def reports_of(order: Order) -> list[Report]:
    """Everything that an exchange says about an order of 1 base unit that fills in four trades."""
    row = order.exchange_orders.get()
    fee = (Fee("BNB", Decimal("0.001")),)
    done = Decimal(0)
    said: list[Report] = [order_report(row, ReportedStatus.OPEN)]
    for number, quantity in enumerate(QUANTITIES, 1):
        done += Decimal(quantity)
        status = ReportedStatus.FILLED if done == 1 else ReportedStatus.PARTIALLY_FILLED
        said.append(order_report(row, status, str(done)))
        said.append(trade_report(str(number), quantity, fees=fee))
    return said


def assert_booked_once(order: Order) -> None:
    fresh = Order.objects.get(id=order.id)
    assert (fresh.status, fresh.filled_quantity) == ("filled", Decimal(1))
    assert Fill.objects.filter(order_id=order.id).count() == len(QUANTITIES)
    rows = Holding.objects.filter(account=order.account)
    holdings = dict(rows.order_by().values_list("asset").annotate(Sum("quantity")))  # with what is in suspense
    assert holdings == {"BTC": Decimal(1), "USDT": Decimal(-60000), "BNB": Decimal("-0.004")}
    position = Position.objects.get(account=order.account)
    assert (position.net_quantity, position.average_price, position.fill_count) == (1, 60000, len(QUANTITIES))
    assert set(Reservation.objects.filter(order_id=order.id).values_list("amount", flat=True)) == {0}
    per_asset: dict[str, Decimal] = {}
    for entry in LedgerEntry.objects.filter(account=order.account):
        per_asset[entry.asset] = per_asset.get(entry.asset, Decimal(0)) + entry.amount
    assert set(per_asset.values()) == {0}


class TestInvariant02(TestCase):
    @settings(max_examples=40, deadline=None)
    @given(data=st.data())
    def test_invariant_02_any_order_duplicates_and_batches(self, data: st.DataObject) -> None:
        order = whole_order(status="submitting", side="BUY", quantity=Decimal(1))
        said = reports_of(order)
        repeats = data.draw(st.lists(st.sampled_from(range(len(said))), max_size=6))
        sequence = data.draw(st.permutations([*range(len(said)), *repeats]))
        while sequence:
            size = data.draw(st.integers(1, len(sequence)))
            ingest(order.account, [said[index] for index in sequence[:size]], by=BY)
            sequence = sequence[size:]
        assert_booked_once(order)


@pytest.mark.django_db(transaction=True)
def test_invariant_02_racing_deliveries_book_once() -> None:
    order = whole_order(status="submitting", side="BUY", quantity=Decimal(1))
    said = reports_of(order)
    together(6, lambda number: ingest(order.account, said[:: 1 if number % 2 else -1], by=BY))
    assert_booked_once(order)


@pytest.mark.e2e
def test_invariant_02_trades_of_other_programs_are_booked_once(engine: Engine) -> None:
    """Found as a working order, by its trades, by many at once, and again: every trade once, and the books agree."""
    for number, body in enumerate(
        (
            {"type": "LIMIT", "price": "60010.00", "time_in_force": "GTC", "quantity": "0.02"},
            {"type": "LIMIT", "price": "59000.00", "time_in_force": "GTC", "quantity": "0.04"},
            {"type": "MARKET", "quantity": "0.03"},
        )
    ):
        whole = {"account": engine.account.name, "symbol": "BTCUSDT", "side": "BUY", "client_order_id": f"web-{number}"}
        engine.simulator.call("POST", "/sim/orders", {**whole, **body})
    engine.simulator.trade("BTCUSDT", "58990", "0.01", "SELL")
    together(4, lambda number: reconcile(engine.account, by=BY))
    for _ in range(2):
        assert reconcile(engine.account, by=BY).new_fills == 0
    told = engine.simulator.call("GET", f"/sim/trades?account={engine.account.name}&symbol=BTCUSDT")
    booked = Fill.objects.filter(account=engine.account).values_list("trade_id", "exchange_order_id")
    assert sorted(booked) == sorted((str(trade["id"]), str(trade["order_id"])) for trade in told)
    assert holdings(engine) == engine.simulator.balances(engine.account.name)
    assert Order.objects.filter(origin="external").count() == 3
