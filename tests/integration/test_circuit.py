"""The same refusal of the same request three times stops its symbol, for a while and with a way out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.models import Event
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from orders.models import Attempt
from risk.circuits import OPEN_FOR, close_circuit, open_circuits
from risk.models import Circuit
from tests.engines import Engine, drain

pytestmark = pytest.mark.e2e
REFUSAL = {"status": 400, "code": -2010, "msg": "Order would immediately match and take."}
OPERATOR = Actor("user:operator", "a test", rights=frozenset({Right.START}))


def ask(engine: Engine, side: str = "BUY", quantity: str = "0.01", **fault: Any) -> Any:
    """One limit order, sent; with a fault the exchange refuses it."""
    if fault:
        engine.simulator.fault("status", **fault)
    engine.refresh()
    price = "59000.00" if side == "BUY" else "61000.00"
    _, order = engine.limit(side, quantity, price)
    drain()
    document = engine.order(order["id"])
    return document["status"], document["reason"]


def tripped(engine: Engine) -> None:
    for _ in range(3):
        assert ask(engine, **REFUSAL) == ("rejected", "WOULD_MATCH")


def test_the_fourth_of_the_same_is_not_sent(engine: Engine) -> None:
    tripped(engine)
    assert ask(engine) == ("denied", "CIRCUIT_OPEN")
    assert ask(engine, quantity="0.02") == ("denied", "CIRCUIT_OPEN"), "nothing that adds exposure in the symbol"
    assert Attempt.objects.count() == 3
    assert Event.objects.filter(kind="circuit.opened").count() == 1


def test_another_symbol_and_a_reducing_order_pass(engine: Engine) -> None:
    tripped(engine)
    assert ask(engine, side="SELL") == ("open", "")
    engine.refresh()
    _, order = engine.place(symbol="ETHUSDT", side="BUY", type="LIMIT", quantity="1", price="2900", time_in_force="GTC")
    drain()
    assert engine.order(order["id"])["status"] == "open"


def test_other_requests_other_causes_and_an_acceptance_are_not_in_a_row(engine: Engine) -> None:
    ask(engine, **REFUSAL)
    ask(engine, quantity="0.02", **REFUSAL)
    ask(engine, **{**REFUSAL, "msg": "Account has insufficient balance for requested action."})
    ask(engine, **REFUSAL)
    ask(engine, **REFUSAL)
    assert open_circuits(engine.account.name, "BTCUSDT") == []
    assert ask(engine) == ("open", "")
    assert ask(engine, **REFUSAL) == ("rejected", "WOULD_MATCH")
    assert open_circuits(engine.account.name, "BTCUSDT") == []


def test_it_closes_by_time_and_opens_again_at_the_next_refusal(engine: Engine) -> None:
    tripped(engine)
    with clock.using(clock.ManualClock(datetime.now(UTC) + OPEN_FOR + timedelta(seconds=1))):
        assert open_circuits(engine.account.name, "BTCUSDT") == []
    Circuit.objects.update(open_until=clock.now() - timedelta(seconds=1))
    assert ask(engine, **REFUSAL) == ("rejected", "WOULD_MATCH")
    assert ask(engine) == ("denied", "CIRCUIT_OPEN")


def test_an_operator_closes_it(engine: Engine) -> None:
    tripped(engine)
    with pytest.raises(Problem, match="right"):
        close_circuit(engine.account.name, "BTCUSDT", reason="mended", by=Actor("user:x", "a test"))
    assert close_circuit(engine.account.name, "BTCUSDT", reason="mended", by=OPERATOR) == 1
    assert ask(engine) == ("open", "")
    assert Event.objects.get(kind="circuit.closed").evidence["reason"] == "mended"
