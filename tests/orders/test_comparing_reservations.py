"""The scheduled comparison of reservations with the facts."""

from __future__ import annotations

from decimal import Decimal

import pytest

from execution_project.common.models import Event
from orders.comparing_reservations import compare_reservations
from orders.models import ExchangeOrder
from risk.models import Reservation
from tests.factories import funded_account, whole_order
from tests.orders.test_placing import ask

pytestmark = pytest.mark.django_db


def test_what_agrees_with_the_facts_is_left_alone() -> None:
    whole_order(status="open")
    whole_order(status="submit_unknown", side="SELL")
    ask(funded_account(USDT="1000"))
    before = list(Reservation.objects.values_list("updated_at", flat=True))
    assert compare_reservations() == 0
    assert list(Reservation.objects.values_list("updated_at", flat=True)) == before
    assert not Event.objects.filter(kind="reservation.corrected").exists()


@pytest.mark.parametrize(
    ("column", "wrong"),
    [("amount", Decimal(1)), ("exposure", Decimal(0)), ("live", False), ("gained_asset", ""), ("strategy", "other")],
)
def test_what_differs_is_set_right_and_told(column: str, wrong: object) -> None:
    order = whole_order(status="open")
    right = getattr(Reservation.objects.get(), column)
    Reservation.objects.update(**{column: wrong})
    assert compare_reservations() == 1
    assert getattr(Reservation.objects.get(), column) == right
    event = Event.objects.get(kind="reservation.corrected")
    assert (event.subject_id, list(event.evidence["differences"])) == (str(order.id), [column])
    assert compare_reservations() == 0


def test_what_is_missing_is_made_and_what_ended_is_released() -> None:
    order = whole_order(status="open")
    Reservation.objects.all().delete()
    assert compare_reservations() == 1
    ExchangeOrder.objects.filter(order=order).update(end_proof="reported:canceled")
    assert compare_reservations() == 1
    row = Reservation.objects.get()
    assert (row.amount, row.exposure, row.live) == (0, 0, False)
