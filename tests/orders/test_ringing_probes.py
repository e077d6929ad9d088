"""Which unknown orders are looked for: those that are due, however many others are not."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from execution_project.common import clock
from execution_project.common.ids import uuid7
from execution_project.common.models import Chore
from orders import sweeping
from orders.models import Command, CommandKind
from tests.factories import CommandFactory, ExchangeOrderFactory

pytestmark = pytest.mark.django_db


def unknown(next_at: datetime | None, *, age: int) -> Command:
    """A submit of unknown outcome, asked for so many seconds ago, that is to be looked for at a time."""
    created_at = clock.now() - timedelta(seconds=age)
    row = ExchangeOrderFactory(look_next_at=next_at)
    command: Command = CommandFactory(exchange_order=row, status="unknown", created_at=created_at)
    return command


def looked_for() -> set[str]:
    return {name.partition(":")[2] for name in Chore.objects.values_list("name", flat=True)}


def test_old_ones_that_are_not_due_keep_no_due_one_from_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "BATCH", 2)
    now = clock.now()
    for age in (900, 800, 700):
        unknown(now + timedelta(seconds=20), age=age)
    waits = unknown(now - timedelta(seconds=5), age=10)
    newest = unknown(None, age=1)
    unknown(now - timedelta(seconds=1), age=600)
    assert sweeping.ring_probes() == 2
    assert looked_for() == {str(newest.order_id), str(waits.order_id)}, "never looked for, then the longest overdue"


def test_of_a_replace_it_counts_when_its_new_exchange_order_is_due() -> None:
    later = clock.now() + timedelta(seconds=20)
    wanted = {"method": "cancel_replace", "new_quantity": Decimal(1), "new_price": Decimal(1), "gate_seq": 1}
    replace = {"kind": CommandKind.REPLACE, "status": "unknown", "decision_id": uuid7(), **wanted}
    for old, planned in ((later, None), (None, later)):
        row = ExchangeOrderFactory(look_next_at=old)
        new = ExchangeOrderFactory(order=row.order, generation=1, planned=True, look_next_at=planned)
        CommandFactory(exchange_order=row, planned=new, **replace)
    assert sweeping.ring_probes() == 1
    assert looked_for() == {str(Command.objects.earliest("created_at").order_id)}
