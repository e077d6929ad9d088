"""Invariant 10: the same idempotency key returns the same order; a different body under it is refused."""

from __future__ import annotations

import pytest

from execution_project.common.models import IdempotencyKey
from orders.models import Command, Order
from risk.models import Decision, Reservation
from tests.engines import Engine, drain
from tests.threads import together

pytestmark = pytest.mark.e2e

CLIENTS = 20


def test_invariant_10_one_key_from_many_clients_is_one_order(engine: Engine) -> None:
    answers = together(CLIENTS, lambda _number: engine.place(key="once", quantity="0.001"))
    assert {status for status, _ in answers} == {202}
    assert len({document["id"] for _, document in answers}) == 1
    for model in (Order, Decision, Reservation, Command, IdempotencyKey):
        assert model.objects.count() == 1, model
    drain()
    assert set(engine.simulator.posted().values()) == {1}


def test_invariant_10_the_answer_stays_the_same_after_the_order_moved(engine: Engine) -> None:
    _, first = engine.place(key="once", quantity="0.001")
    drain()
    status, again = engine.place(key="once", quantity="0.001")
    assert (again["id"], again["status"], status) == (first["id"], "filled", 200)
    drain()
    assert Order.objects.count() == 1


def test_invariant_10_another_body_under_the_key_is_refused_with_its_own_code(engine: Engine) -> None:
    engine.place(key="once", quantity="0.001")
    status, problem = engine.place(key="once", quantity="0.002")
    assert (status, problem["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert Order.objects.count() == 1


def test_invariant_10_keys_of_two_clients_do_not_meet(engine: Engine) -> None:
    from execution_project.common.api_keys import create_api_key
    from tests.engines import BY

    _, mine = engine.place(key="once", quantity="0.001")
    engine.api_key = create_api_key("other", ["trade"], by=BY)[1]
    _, theirs = engine.place(key="once", quantity="0.001")
    assert mine["id"] != theirs["id"]
