"""Several rows by one statement: all or none, and only what is new."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from execution_project.common import clock, ids
from execution_project.common.events import event
from execution_project.common.models import Event, Strategy
from execution_project.common.writing import insert_new, insert_together
from orders.models import Command, CommandKind, ExchangeOrder, Order
from positions.models import Fill, Holding
from tests.factories import (
    BY,
    AccountFactory,
    ExchangeOrderFactory,
    FillFactory,
    HoldingFactory,
    InstrumentFactory,
    OrderFactory,
)
from tests.threads import Other, blocked, run_together
from tests.waiting import wait_until


def unsaved_order() -> tuple[Order, ExchangeOrder, Command]:
    order = OrderFactory.build(account=AccountFactory(), instrument=InstrumentFactory())
    row = ExchangeOrderFactory.build(order=order)
    now = clock.now()
    command = Command(
        order=order, exchange_order=row, kind=CommandKind.SUBMIT, rung_at=now, requested_by="key:t", created_at=now
    )
    return order, row, command


@pytest.mark.django_db(transaction=True)
def test_rows_that_refer_to_each_other_are_inserted_by_one_statement_in_any_order() -> None:
    order, row, command = unsaved_order()
    happened = event("order.accepted", "order", order.id, BY)
    with CaptureQueriesContext(connection) as queries:
        insert_together(command, happened, row, order)
    assert len(queries) == 1
    stored = Command.objects.select_related("order", "exchange_order__order").get()
    assert (stored.order, stored.exchange_order, stored.exchange_order.order) == (order, row, order)
    assert stored.order.quantity == Decimal(1)
    assert Event.objects.get().subject_id == str(order.id)


@pytest.mark.django_db(transaction=True)
def test_inserted_rows_are_saved_afterwards_as_stored_ones() -> None:
    order, row, command = unsaved_order()
    insert_together(order, row, command)
    order.reason = "CHANGED"
    order.save()
    assert Order.objects.get().reason == "CHANGED"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("broken", ["constraint", "duplicate", "reference"])
def test_one_bad_row_leaves_nothing_of_the_others(broken: str) -> None:
    order, row, command = unsaved_order()
    if broken == "constraint":
        order.quote_quantity = Decimal(1)
    elif broken == "duplicate":
        row.client_order_id = ExchangeOrderFactory().client_order_id
    else:
        command.exchange_order_id = ids.uuid7()
    with pytest.raises(IntegrityError):
        insert_together(order, row, command)
    assert not Order.objects.filter(pk=order.pk).exists()
    assert not ExchangeOrder.objects.filter(pk=row.pk).exists()
    assert not Command.objects.exists()


@pytest.mark.django_db
def test_a_generated_key_is_left_to_the_database() -> None:
    account = AccountFactory()
    rows = [HoldingFactory.build(account=account, asset=asset) for asset in ("BTC", "ETH")]
    insert_together(*rows)
    assert sorted(Holding.objects.values_list("asset", flat=True)) == ["BTC", "ETH"]


@pytest.mark.django_db
def test_only_rows_that_are_new_come_back() -> None:
    known = FillFactory(trade_id="1")
    shared = {"account": known.account, "instrument": known.instrument}
    again = FillFactory.build(**shared, trade_id="1", quantity=Decimal(9))
    fresh, twice = (FillFactory.build(**shared, trade_id="2") for _ in range(2))
    assert insert_new([again, fresh, twice]) == [fresh]
    assert Fill.objects.get(trade_id="1").quantity == 1
    assert Fill.objects.count() == 2
    assert insert_new([FillFactory.build(**shared, trade_id="2")]) == []
    assert insert_new([]) == []


@pytest.mark.django_db
def test_rows_with_generated_keys_get_them_when_new() -> None:
    Strategy.objects.create(name="known")
    rows = [Strategy(name=name, created_at=clock.now()) for name in ("new", "known", "newer")]
    assert insert_new(rows) == [rows[0], rows[2]]
    assert Strategy.objects.get(name="newer").pk == rows[2].pk
    assert rows[1].pk is None


@pytest.mark.django_db
def test_an_error_that_is_no_duplicate_is_not_swallowed() -> None:
    known = FillFactory()
    bad = FillFactory.build(account=known.account, instrument=known.instrument, side="HOLD")
    with pytest.raises(IntegrityError, match="fill_side_known"), transaction.atomic():
        insert_new([bad])


@pytest.mark.django_db(transaction=True)
def test_a_racing_insert_of_the_same_row_is_waited_for() -> None:
    known = FillFactory()
    shared = {"account": known.account, "instrument": known.instrument, "trade_id": "race"}
    with transaction.atomic():
        first = FillFactory.build(**shared)
        assert insert_new([first]) == [first]
        racing = Other(lambda: insert_new([FillFactory.build(**shared)]))
        wait_until(blocked, 30, "the second insert waits for the first")
    assert racing.join() == []
    results = run_together([lambda: insert_new([FillFactory.build(**{**shared, "trade_id": "many"})])] * 8)
    assert sorted(len(result) for result in results if isinstance(result, list)) == [0] * 7 + [1]
