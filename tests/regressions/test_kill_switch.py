"""Complaints about the kill switch that ordinary orders can show, by number (docs/complaints.md)."""

from __future__ import annotations

import pytest

from execution_project.common.actors import Actor
from execution_project.common.approvals import decide_and_carry_out
from execution_project.common.rights import EVERYTHING
from tests.engines import Engine
from tests.regressions.rounds import CANCEL, assert_all_over, calls, fault, resting, rounds, status, working_at_exchange
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e
SECOND = Actor("user:second", "a test", rights=EVERYTHING)


def test_complaint_40_cancels_of_a_kill_go_on_after_its_latch_was_lifted(venue: Engine) -> None:
    """An operator cleared the latch, and the cancel of an order that still lived was not repeated any more."""
    order_id = resting(venue)
    fault(venue, "drop_before", CANCEL, times=2)
    scope = {"account": venue.account.name}
    code, _ = venue.request("POST", "kill", {"scope": scope, "reason": "drawdown"})
    assert code == 200
    rounds()
    assert len(working_at_exchange(venue)) == 1
    code, proposed = venue.request("POST", "start", {"scope": scope, "reason": "looked at it"})
    assert code == 202
    decide_and_carry_out(proposed["approval"]["id"], approved=True, by=SECOND)
    venue.refresh()
    assert venue.limit("BUY", "0.01", "58000")[0] == 202, "trading goes on"
    wait_until(lambda: rounds() or status(venue, order_id) == "settled", 15, "the killed order to end")
    assert len(working_at_exchange(venue)) == 1, "the new one"
    assert calls(venue, CANCEL[venue.account.exchange]) >= 2
    venue.request("DELETE", f"orders?account={venue.account.name}")
    wait_until(lambda: rounds() or not working_at_exchange(venue), 15, "the new one to end")
    rounds(2)
    assert_all_over(venue)
