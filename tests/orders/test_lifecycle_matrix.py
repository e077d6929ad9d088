"""Every pair of statuses, through the real transitions: what the lifecycle has is possible, nothing else is."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from django_fsm import TransitionNotAllowed

from execution_project.common.models import Event
from orders.lifecycle import CommandStatus, OrderStatus
from orders.models import Command, Order
from tests.factories import BY, CommandFactory, OrderFactory

pytestmark = pytest.mark.django_db

# Written by hand from the lifecycle's table; "repair" steps are logged as such.
STEPS: dict[str, str] = {
    "pending": "submitting canceled denied",
    "denied": "",
    "submitting": "open partially_filled filled rejected canceled expired submit_unknown pending",
    "submit_unknown": "open partially_filled filled rejected canceled expired",
    "open": "partially_filled filled canceled expired rejected closed_unverified",
    "partially_filled": "filled canceled expired closed_unverified",
    "filled": "settled",
    "canceled": "settled",
    "expired": "settled",
    "rejected": "",
    "closed_unverified": "",
    "settled": "",
}
REPAIR_STEPS: dict[str, str] = {
    "canceled": "filled open partially_filled",
    "expired": "filled open partially_filled",
    "rejected": "submit_unknown",
    "closed_unverified": "open partially_filled filled canceled expired",
    "settled": "filled canceled expired",
}
COMMAND_STEPS: dict[str, str] = {
    "queued": "claimed done dropped",
    "claimed": "done queued unknown",
    "unknown": "done",
    "done": "",
    "dropped": "",
}


def test_the_tables_here_name_every_status() -> None:
    assert set(STEPS) == set(OrderStatus.values)
    assert set(COMMAND_STEPS) == set(CommandStatus.values)


@pytest.mark.parametrize(("source", "target"), list(itertools.product(STEPS, STEPS)))
def test_an_order_moves_exactly_as_the_lifecycle_says(source: str, target: str) -> None:
    plain = target in STEPS[source].split()
    repair = target in REPAIR_STEPS.get(source, "").split()
    order: Order = OrderFactory(status=source, ended_as="canceled" if source == "settled" else end_of(source))
    if not plain and not repair:
        with pytest.raises(TransitionNotAllowed):
            order.move(OrderStatus(target), BY)
        assert order.status == source
        assert not Event.objects.exists()
        return
    order.move(OrderStatus(target), BY, evidence={"seen": "it"})
    order.save()
    stored = Order.objects.get()
    assert stored.status == target
    assert stored.ended_as == (source if target == "settled" else end_of(target))
    event = Event.objects.get()
    assert (event.from_status, event.to_status) == (source, target)
    assert (event.subject_type, event.subject_id) == ("order", str(order.id))
    assert event.kind == ("order.repaired" if repair else f"order.{target}")
    assert (event.actor, event.cause, event.evidence) == (BY.name, BY.cause, {"seen": "it"})


def end_of(status: str) -> str | None:
    return status if status in {"filled", "canceled", "expired"} else None


@pytest.mark.parametrize(("source", "target"), list(itertools.product(COMMAND_STEPS, COMMAND_STEPS)))
def test_a_command_moves_exactly_as_the_lifecycle_says(source: str, target: str) -> None:
    command: Command = CommandFactory(status=source)
    if target not in COMMAND_STEPS[source].split():
        with pytest.raises(TransitionNotAllowed):
            command.move(CommandStatus(target), BY)
        assert command.status == source
        assert not Event.objects.exists()
        return
    command.move(CommandStatus(target), BY, evidence={"fence": 1})
    command.save()
    assert Command.objects.get().status == target
    event = Event.objects.get()
    assert (event.kind, event.from_status, event.to_status) == (f"command.{target}", source, target)
    assert event.evidence == {"order": str(command.order_id), "kind": "submit", "fence": 1}


@pytest.mark.parametrize("make", [OrderFactory, CommandFactory])
def test_a_status_is_never_assigned(make: Any) -> None:
    row = make()
    with pytest.raises(AttributeError, match=r"[Dd]irect"):
        row.status = "filled"
    stored = type(row).objects.get(pk=row.pk)
    with pytest.raises(AttributeError, match=r"[Dd]irect"):
        stored.status = "done"
