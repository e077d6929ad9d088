"""Invariant 1: each client order id is POSTed at most once, and no second exchange order without stored proof."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from exchanges.reports import OutcomeKind
from orders.models import Attempt, Command, ExchangeOrder
from orders.sending import send_command
from tests.engines import Engine, drain
from tests.threads import together

pytestmark = pytest.mark.e2e

SENDERS = 8


def test_invariant_01_many_senders_of_one_command_post_once(engine: Engine) -> None:
    for _ in range(3):
        _, order = engine.place(quantity="0.001")
        command = Command.objects.get(order_id=order["id"])
        answers = together(SENDERS, lambda _number, command_id=command.id: send_command(command_id))
        assert sum(answer is not None for answer in answers) == 1
        assert Attempt.objects.filter(command=command).count() == 1
    assert set(engine.simulator.posted().values()) == {1}
    assert len(engine.simulator.posted()) == 3


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "drop_after"},
        {"kind": "drop_before"},
        {"kind": "status", "status": 502, "html": "<html>bad gateway</html>", "execute": True},
        {"kind": "garbage"},
        {"kind": "late_execution", "ms": 50, "answer": "504"},
    ],
)
def test_invariant_01_no_second_exchange_order_without_proof(engine: Engine, fault: dict[str, Any]) -> None:
    engine.simulator.fault(**fault)
    _, order = engine.place(quantity="0.001")
    drain("submit-binance")
    Command.objects.update(not_before=None)
    for command in Command.objects.filter(kind="submit"):
        assert send_command(command.id) is None
    assert ExchangeOrder.objects.filter(order_id=order["id"]).count() == 1
    assert Attempt.objects.filter(kind="submit").count() == 1
    assert all(count == 1 for count in engine.simulator.posted().values())


def test_invariant_01_the_database_itself_refuses_a_second_attempt(engine: Engine) -> None:
    _, order = engine.place(quantity="0.001")
    drain("submit-binance")
    first = Attempt.objects.get(command__order_id=order["id"])
    assert first.outcome == OutcomeKind.ACCEPTED.value
    first.pk, first.fence, first._state.adding = Attempt().pk, first.fence + 1, True
    with pytest.raises(IntegrityError, match="attempt_one_post_per_client_order_id"), transaction.atomic():
        first.save(force_insert=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM orders_attempt")
        assert cursor.fetchone() == (1,)
