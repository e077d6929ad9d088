"""A monitor's latch: REDUCE_ONLY until two persons lift it, and what increases is canceled at the exchange."""

from __future__ import annotations

import pytest

from execution_project.common.approvals import consequences, decide_and_carry_out
from execution_project.common.models import Event
from execution_project.common.problems import Problem
from orders.models import Command
from orders.tripped import cancel_what_increases
from risk import tripping
from risk.models import TradingState
from risk.trading_state import halt, propose_start, start
from risk.tripping import must_hold_to_lift_trip, trip
from tests.factories import BY, AccountFactory, whole_order
from tests.kills import SECOND, WHY

pytestmark = pytest.mark.django_db


def tripped(account: str = "main", control: str = "test_control") -> TradingState | None:
    return trip("account", account, control=control, reason="too much was lost", evidence={"observed": "3"}, by=BY)


def test_what_increases_is_canceled_and_what_reduces_goes_on() -> None:
    buy, sell = whole_order(status="open"), whole_order(status="open", side="SELL")
    elsewhere = whole_order(status="open")
    for order in (buy, sell):
        tripped(order.account.name)
    assert cancel_what_increases() == 1
    assert Command.objects.get(kind="cancel").order_id == buy.id
    assert cancel_what_increases() == 0, "it has its cancel"
    assert elsewhere.id != buy.id


def test_a_trip_is_made_once_and_recorded_with_what_was_seen() -> None:
    row = tripped()
    assert row is not None
    assert (row.state, row.latched, row.tripped_by) == ("REDUCE_ONLY", True, "test_control")
    assert tripped() is None
    assert tripped(control="other") is not None
    assert TradingState.objects.get().tripped_by == "other,test_control"
    event = Event.objects.filter(kind="trading.tripped").earliest("id")
    assert (event.from_status, event.to_status) == ("ACTIVE", "REDUCE_ONLY")
    assert event.evidence == {"control": "test_control", "reason": "too much was lost", "observed": "3"}


def test_a_halted_scope_becomes_latched_and_stays_halted() -> None:
    buy = whole_order(status="open", account=AccountFactory(name="main"))
    halt("account", "main", reason="lunch", by=BY)
    assert cancel_what_increases() == 0, "a plain halt cancels nothing"
    row = tripped()
    assert row is not None
    assert (row.state, row.latched) == ("HALTED", True)
    assert cancel_what_increases() == 1
    assert Command.objects.get(kind="cancel").order_id == buy.id
    with pytest.raises(Problem, match="second person"):
        start("account", "main", reason="back from lunch", by=BY)


def test_two_persons_lift_it_when_its_monitor_has_nothing_against_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tripping, "_RECHECKS", {})
    wrong = ["12 is still beyond 10."]
    must_hold_to_lift_trip("test_control")(lambda kind, key: wrong if (kind, key) == ("account", "main") else [])
    tripped()
    with pytest.raises(Problem) as held:
        propose_start("account", "main", reason=WHY, by=BY)
    assert (held.value.code, held.value.members["held_by"]) == ("LATCH_HELD", wrong)
    kept, wrong = wrong, []
    approval = propose_start("account", "main", reason=WHY, by=BY)
    tripped(control="other")
    assert "latched again" in consequences(approval)[0], "what came after the proposal outlives it"
    with pytest.raises(Problem, match="propose again"):
        decide_and_carry_out(approval.id, approved=True, by=SECOND)
    approval = propose_start("account", "main", reason=WHY, by=BY)
    wrong = kept
    with pytest.raises(Problem, match="still beyond"):
        decide_and_carry_out(approval.id, approved=True, by=SECOND)
    wrong = []
    approval = propose_start("account", "main", reason=WHY, by=BY)
    decide_and_carry_out(approval.id, approved=True, by=SECOND)
    row = TradingState.objects.get()
    assert (row.state, row.latched, row.tripped_by) == ("ACTIVE", False, "")
