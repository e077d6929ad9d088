"""Invariant 5: after a kill commits nothing unclaimed goes out but its flatten, and VERIFIED is the exchange's word.

The same among fifty submits at once: ``tests/integration/test_kill_among_submits.py``.
"""

from __future__ import annotations

from decimal import Decimal

import pytest

from execution_project.common import clock
from execution_project.common.models import Event
from orders.flattening import confirm_flatten, plan_flatten, ring_flattens
from orders.killing import kill
from orders.models import Attempt, Order
from risk.models import FlattenStatus, TradingState
from risk.trading_state import halt, start
from tests.engines import BY, Engine, drain
from tests.integration.test_flatten import fresh_book
from tests.kills import kill_ticks, take_for_proven, until_verified, verdict_of
from tests.regressions.rounds import CANCEL, fault, lift_faults, working_at_exchange

pytestmark = pytest.mark.e2e


def test_invariant_05_what_a_kill_found_unclaimed_is_never_sent(engine: Engine) -> None:
    _, order = engine.limit("BUY", "0.01", "59000")
    kill("global", "", reason="a drill", by=BY)
    drain()
    kill_ticks()
    ended = engine.order(order["id"])
    assert (ended["ended_as"] or ended["status"]) in {"canceled", "denied"}
    assert engine.simulator.posted() == {}


def test_invariant_05_a_halt_that_was_lifted_still_outranks_what_was_accepted_before(engine: Engine) -> None:
    _, order = engine.limit("BUY", "0.01", "59000")
    halt("account", engine.account.name, reason="a drill", by=BY)
    start("account", engine.account.name, reason="over", by=BY)
    drain()
    assert engine.order(order["id"])["reason"] == "TRADING_HALTED"
    assert engine.simulator.posted() == {}
    assert engine.limit("BUY", "0.01", "59000")[0] == 202


def test_invariant_05_nothing_new_passes_a_kill_whether_it_reduces_or_not(engine: Engine) -> None:
    kill("strategy", "demo", reason="a drill", by=BY)
    for side, price in (("BUY", "59000"), ("SELL", "61000")):
        status, problem = engine.limit(side, "0.01", price, strategy="demo")
        assert (status, problem["code"]) == (422, "TRADING_HALTED")
    assert engine.limit("SELL", "0.01", "61000")[0] == 202, "another scope is not held up"


def test_invariant_05_it_is_not_verified_while_anything_works(engine: Engine) -> None:
    """The cancel of one order is lost again and again, and another program's order is there, too."""
    _, order = engine.limit("BUY", "0.01", "59000")
    drain()
    foreign = {"account": engine.account.name, "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT"}
    foreign |= {"quantity": "0.02", "price": "58000", "time_in_force": "GTC", "client_order_id": "web-1"}
    engine.simulator.call("POST", "/sim/orders", foreign)
    fault(engine, "drop_before", CANCEL, times=100)
    kill("global", "", reason="a drill", by=BY)
    kill_ticks(3)
    assert verdict_of().verdict != "VERIFIED"
    assert len(working_at_exchange(engine)) == 2
    lift_faults(engine)
    until_verified()
    assert working_at_exchange(engine) == []
    assert engine.order(order["id"])["ended_as"] == "canceled"
    assert Event.objects.filter(kind="kill.verified").count() == 1


def test_invariant_05_a_lost_answer_keeps_it_from_verified_until_nothing_can_come_of_it(engine: Engine) -> None:
    fault(engine, "late_execution", ms=300)
    engine.limit("BUY", "0.03", "59000")
    drain()
    assert Attempt.objects.get().outcome == "unknown"
    kill("global", "", reason="a drill", by=BY)
    until_verified()
    assert working_at_exchange(engine) == []
    assert not Order.objects.filter(status__in=["submitting", "submit_unknown", "open"]).exists()


def test_invariant_05_of_a_flatten_that_is_over_nothing_goes_out(engine: Engine) -> None:
    """A chunk waits to be claimed; the flatten ends, the kill does not."""
    fresh_book(engine)
    scope = ("account", engine.account.name)
    kill(*scope, reason="a drill", by=BY)
    episode = take_for_proven(*scope)
    flatten = confirm_flatten(episode, confirm=plan_flatten(episode).confirm, reason="a drill", by=BY)
    drain("cancel")
    chunk = Order.objects.get(kill_id=episode.id, instrument__symbol="BTCUSDT")
    assert (chunk.status, chunk.reduce_only, chunk.side) == ("pending", True, "SELL")
    assert chunk.quantity < Decimal(10)
    flatten.status, flatten.ended_at = FlattenStatus.NOT_FLAT, clock.now()
    flatten.save(update_fields=["status", "ended_at"])
    drain("submit")
    chunk = Order.objects.get(id=chunk.id)
    assert (chunk.status, chunk.reason) == ("denied", "TRADING_HALTED")
    assert engine.simulator.posted() == {}
    assert ring_flattens() == 0
    assert TradingState.objects.get(scope_kind="account").state == "HALTED"
