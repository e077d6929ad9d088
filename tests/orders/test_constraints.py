"""What the database itself refuses of orders, exchange orders, commands and attempts."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError

from exchanges.reports import OutcomeKind
from execution_project.common import clock
from orders.models import Attempt, Command, ExchangeOrder, Order
from tests.factories import CommandFactory, ExchangeOrderFactory, OrderFactory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("status = 'lost'", "order_status_known"),
        ("side = 'HOLD'", "order_side_known"),
        ("type = 'STOP'", "order_type_known"),
        ("quote_quantity = 1", "order_one_quantity"),
        ("quantity = NULL", "order_one_quantity"),
        ("quantity = 0", "order_amounts_positive"),
        ("quantity = -1", "order_amounts_positive"),
        ("quantity = NULL, quote_quantity = 0", "order_amounts_positive"),
        ("price = 0", "order_amounts_positive"),
        ("price = NULL", "order_limit_has_price"),
        ("time_in_force = NULL", "order_limit_has_price"),
        ("type = 'MARKET'", "order_market_has_no_price"),
        ("type = 'MARKET', price = NULL", "order_market_has_no_price"),
        ("type = 'MARKET', time_in_force = NULL", "order_market_has_no_price"),
        ("ended_as = 'rejected'", "order_ended_as_known"),
        ("status = 'settled'", "order_settled_says_how"),
        ("status = 'filled'", "order_end_is_kept"),
        ("status = 'canceled', ended_as = 'filled'", "order_end_is_kept"),
        ("status = 'expired', ended_as = NULL", "order_end_is_kept"),
    ],
)
def test_an_impossible_order_cannot_be_stored(change: str, constraint: str) -> None:
    OrderFactory()
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE orders_order SET {change}")


@pytest.mark.parametrize(
    "change",
    [
        "filled_quantity = quantity + 1",  # a late fill may exceed the order: booked, never refused
        "status = 'filled', ended_as = 'filled'",
        "status = 'settled', ended_as = 'expired'",
        "status = 'denied'",
        "type = 'MARKET', price = NULL, time_in_force = NULL",
    ],
)
def test_what_may_happen_can_be_stored(change: str) -> None:
    OrderFactory()
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE orders_order SET {change}")
        assert cursor.rowcount == 1


def test_an_order_has_one_live_exchange_order_at_most() -> None:
    first = ExchangeOrderFactory()
    with pytest.raises(IntegrityError, match="exchange_order_one_not_ended"), transaction.atomic():
        ExchangeOrderFactory(order=first.order, generation=1)
    ExchangeOrder.objects.filter(pk=first.pk).update(end_proof="reported:test")
    ExchangeOrderFactory(order=first.order, generation=1)
    assert ExchangeOrder.objects.count() == 2


def test_a_generation_and_a_client_order_id_are_used_once() -> None:
    first = ExchangeOrderFactory(end_proof="reported:test")
    with pytest.raises(IntegrityError, match="exchange_order_generation_once"), transaction.atomic():
        ExchangeOrderFactory(order=first.order, generation=0, client_order_id="another")
    with pytest.raises(IntegrityError, match="client_order_id"), transaction.atomic():
        ExchangeOrderFactory(client_order_id=first.client_order_id)


@pytest.mark.parametrize("status", ["queued", "claimed", "unknown"])
def test_there_is_one_live_command_of_a_kind(status: str) -> None:
    first = CommandFactory(status=status)
    with pytest.raises(IntegrityError, match="command_one_live_per_kind"), transaction.atomic():
        CommandFactory(exchange_order=first.exchange_order)
    CommandFactory(exchange_order=first.exchange_order, kind="cancel")
    CommandFactory(exchange_order=first.exchange_order, status="done")
    CommandFactory(exchange_order=first.exchange_order, status="dropped")


@pytest.mark.parametrize(
    ("change", "constraint"), [("status = 'sent'", "command_status_known"), ("kind = 'amend'", "command_kind_known")]
)
def test_an_unknown_command_cannot_be_stored(change: str, constraint: str) -> None:
    CommandFactory()
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE orders_command SET {change}")


def attempt(command: Command, fence: int, **values: Any) -> Attempt:
    now = clock.now()
    return Attempt.objects.create(
        **{
            "command": command,
            "exchange_order": command.exchange_order,
            "kind": command.kind,
            "fence": fence,
            "stamp_ms": clock.to_ms(now),
            "recv_window_ms": 5000,
            "send_by": now + timedelta(milliseconds=250),
            "body_hash": "0" * 64,
            "worker": "test:1",
            "claimed_at": now,
            **values,
        }
    )


@pytest.mark.parametrize("outcome", ["", *(kind.value for kind in OutcomeKind if kind is not OutcomeKind.NOT_SENT)])
def test_a_client_order_id_is_never_posted_twice(outcome: str) -> None:
    """Invariant 1: only an attempt that is proven to have sent no byte makes room for another."""
    command = CommandFactory()
    attempt(command, 1, outcome=outcome)
    with pytest.raises(IntegrityError, match="attempt_one_post_per_client_order_id"), transaction.atomic():
        attempt(command, 2)
    with pytest.raises(IntegrityError, match="attempt_one_post_per_client_order_id"), transaction.atomic():
        attempt(CommandFactory(exchange_order=command.exchange_order, status="done"), 1)


def test_an_attempt_that_sent_nothing_makes_room_for_the_next_and_cancels_are_repeated() -> None:
    command = CommandFactory()
    attempt(command, 1, outcome="not_sent")
    attempt(command, 2, outcome="not_sent")
    attempt(command, 3)
    cancel = CommandFactory(exchange_order=command.exchange_order, kind="cancel")
    attempt(cancel, 1, outcome="unknown")
    attempt(cancel, 2)
    assert Attempt.objects.count() == 5
    with pytest.raises(IntegrityError, match="attempt_fence_once"), transaction.atomic():
        attempt(cancel, 2)


def test_an_order_with_history_cannot_be_deleted() -> None:
    row = ExchangeOrderFactory()
    with pytest.raises(ProtectedError):
        row.order.delete()
    assert Order.objects.count() == 1


def test_amounts_keep_18_decimals() -> None:
    OrderFactory(quantity=Decimal("0.000000000000000001"), price=Decimal("99999999999999999999.999999999999999999"))
    order = Order.objects.get()
    assert str(order.quantity) == "1E-18"
    assert str(order.price) == "99999999999999999999.999999999999999999"
