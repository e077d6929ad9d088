"""Invariant 9: decisions, transitions, commands, attempts and acts of people can be read: who, when, why, with what."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, transaction

from execution_project.common.models import Event
from orders.models import Attempt, Command
from risk.limits import tighten_or_set
from risk.models import Decision
from tests.engines import BY, Engine, drain
from tests.regressions.rounds import rounds

pytestmark = pytest.mark.e2e


def test_invariant_09_an_order_tells_its_whole_life(engine: Engine) -> None:
    """Accepted, sent, canceled: every step with its actor, its cause and its time."""
    _, placed = engine.limit("BUY", "0.01", "59000")
    drain()
    engine.request("DELETE", f"order/{placed['id']}")
    drain()
    rounds()
    order = engine.order(placed["id"])
    decision = order["decision"]
    assert decision["accepted"] and decision["decided_at"]
    assert decision["inputs"]["price"]["bid"] and decision["inputs"]["price"]["age_ms"] is not None
    notional = next(each for each in decision["controls"] if each["control"] == "max_order_notional")
    assert notional["observed"] and notional["limit"] and notional["headroom"]
    assert notional["inputs"]["limits"][f"account:{engine.account.name}"]["version"] >= 1
    moves = [(event["from_status"] or None, event["to_status"]) for event in order["events"] if event["to_status"]]
    lived = ["pending", "submitting", "open", "canceled"]
    assert [to for _, to in moves if to in lived] == lived
    assert all(event["actor"] and event["cause"] and event["at"] for event in order["events"])
    assert [command["kind"] for command in order["commands"]] == ["submit", "cancel"]
    for command in order["commands"]:
        (attempt,) = command["attempts"]
        assert attempt["stamp_ms"] and attempt["claimed_at"] and attempt["answered_at"]
        assert attempt["outcome"] == "accepted" and attempt["request"] and attempt["response"]


def test_invariant_09_a_denied_order_tells_every_breach_and_by_which_limit(engine: Engine) -> None:
    where = ("max_order_quantity", engine.account.mode, "symbol", "BTCUSDT")
    limit = tighten_or_set(*where, Decimal("0.001"), reason="smaller ones", by=BY)
    status, problem = engine.limit("BUY", "0.01", "59000")
    assert (status, problem["code"]) == (422, "MAX_ORDER_QUANTITY")
    stored = Decision.objects.get(order_id=problem["order"]["id"])
    (breach,) = [each for each in stored.results if each["outcome"] == "breach"]
    assert breach["inputs"]["limit_version"] == limit.version
    assert (breach["observed"], breach["limit"]) == ("0.01", "0.001")
    event = Event.objects.filter(subject_id=problem["order"]["id"], to_status="denied").latest("id")
    assert event.actor.startswith("key:") and event.cause


def test_invariant_09_acts_of_people_are_on_record_with_their_reason(engine: Engine) -> None:
    engine.request("POST", "stop", {"scope": {"account": engine.account.name}, "reason": "looking at it"})
    engine.request("POST", "start", {"scope": {"account": engine.account.name}, "reason": "looked at it"})
    _, killed = engine.request("POST", "kill", {"scope": "global", "reason": "a drill"})
    engine.request("POST", f"kills/{killed['kill']['id']}/cause", {"cause": "none at all"})
    acts = {
        (event.kind, event.actor.split(":")[0]): event
        for event in Event.objects.filter(subject_type__in=["scope", "kill"], actor__startswith="key:").order_by("id")
    }
    assert {kind for kind, _ in acts} >= {"trading.halted", "trading.started", "kill.cause"}
    assert acts["trading.started", "key"].evidence["reason"] == "looked at it"
    assert acts["trading.halted", "key"].evidence["reason"] == "a drill"
    assert acts["kill.cause", "key"].evidence["cause"] == "none at all"
    assert all(event.request_id and event.cause.startswith("POST /api/exec/") for event in acts.values())


@pytest.mark.parametrize("statement", ["UPDATE {} SET id = id", "DELETE FROM {}"])
def test_invariant_09_the_database_itself_refuses_another_past(engine: Engine, statement: str) -> None:
    engine.limit("BUY", "0.01", "59000")
    drain()
    assert Command.objects.exists() and Attempt.objects.exists()
    for model in (Decision, Event):
        refused = pytest.raises(DatabaseError, match="facts are corrected by new facts")
        with refused, transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement.format(model._meta.db_table))
