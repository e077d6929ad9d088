"""Unknown orders that a person ends: a reason, a second person, and the evidence so far."""

from __future__ import annotations

import signal
from decimal import Decimal
from uuid import UUID

import pytest

from exchanges.connections import adapter_for
from exchanges.host_clock import exchange_now_ms
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.approvals import consequences, decide, decide_and_carry_out
from execution_project.common.models import Approval, Event
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from orders.following import follow_account, probe, settle_account
from orders.ingest import ingest
from orders.models import Command, ExchangeOrder, Order
from orders.resolving import carry_out_resolution, propose_resolution, unknown_orders
from orders.sending import send_command
from tests.engines import BY, Engine, drain, reserved
from tests.integration.test_replacing import REPLACE, patch, resting
from tests.integration.test_unknown_orders import followed, past_its_time, vanished
from tests.processes import Processes

pytestmark = pytest.mark.e2e

FIRST = Actor("user:first", "a test", rights=frozenset({Right.RESOLVE}))
SECOND = Actor("user:second", "a test", rights=frozenset({Right.APPROVE, Right.RESOLVE}))


def lost(engine: Engine) -> UUID:
    """An order of unknown outcome that never arrived."""
    engine.simulator.fault("drop_before")
    _, order = engine.limit("BUY", "0.01", "59000.00")
    drain()
    assert engine.order(order["id"])["status"] == "submit_unknown"
    return UUID(order["id"])


def approved(order_id: UUID, outcome: str) -> Order:
    """Proposed by one, granted and carried out by another."""
    approval = propose_resolution(order_id, outcome, "the exchange's support says so", FIRST)
    decide(approval.id, approved=True, by=SECOND)
    return carry_out_resolution(approval.id, SECOND)


def test_two_persons_end_an_unknown_order_as_rejected(engine: Engine) -> None:
    order_id = lost(engine)
    order = approved(order_id, "rejected")
    assert (order.status, order.reason, order.detail) == (
        "rejected",
        "RESOLVED_BY_HAND",
        "the exchange's support says so",
    )
    assert reserved(engine) == {}
    event = Event.objects.get(kind="order.resolved_by_hand")
    assert (event.actor, event.evidence["proposed_by"]) == ("user:second", "user:first")
    assert unknown_orders() == []
    assert probe(order_id) is False


def test_what_is_granted_in_the_list_of_approvals_is_carried_out(engine: Engine) -> None:
    order_id = lost(engine)
    approval = propose_resolution(order_id, "canceled", "seen canceled at the exchange", FIRST)
    said = decide_and_carry_out(approval.id, approved=True, by=SECOND)
    assert said == f"Order {order_id} was resolved by hand and is canceled."
    assert Order.objects.get(id=order_id).status == "canceled"
    assert reserved(engine) == {}


@pytest.mark.parametrize("decided", [None, False])
def test_without_a_second_persons_grant_nothing_ends(engine: Engine, decided: bool | None) -> None:
    order_id = lost(engine)
    approval = propose_resolution(order_id, "rejected", "I think so", FIRST)
    if decided is not None:
        decide(approval.id, approved=decided, by=SECOND)
    with pytest.raises(Problem) as refused:
        carry_out_resolution(approval.id, SECOND)
    assert refused.value.code == "APPROVAL_NOT_GRANTED"
    assert Order.objects.get(id=order_id).status == "submit_unknown"
    assert reserved(engine) == {"USDT": Decimal(590)}


def test_nobody_approves_their_own_proposal(engine: Engine) -> None:
    approval = propose_resolution(lost(engine), "rejected", "I think so", SECOND)
    with pytest.raises(Problem, match="Whoever asked"):
        decide(approval.id, approved=True, by=SECOND)


def test_a_proposal_needs_the_right_a_reason_a_known_outcome_and_an_unknown_order(engine: Engine) -> None:
    order_id = lost(engine)
    nobody = Actor("user:nobody", "a test")
    for actor, outcome, reason, code in (
        (nobody, "rejected", "why", "MISSING_RIGHT"),
        (FIRST, "rejected", "  ", "REASON_MISSING"),
        (FIRST, "filled", "why", "UNKNOWN_OUTCOME"),
    ):
        with pytest.raises(Problem) as refused:
            propose_resolution(order_id, outcome, reason, actor)
        assert refused.value.code == code
    with pytest.raises(Problem) as refused:
        propose_resolution(UUID(resting(engine)), "canceled", "why", FIRST)
    assert refused.value.code == "NOT_UNKNOWN"
    assert not Approval.objects.exists()


def test_an_order_that_the_exchange_shows_meanwhile_is_not_ended(engine: Engine) -> None:
    engine.simulator.fault("drop_after")
    _, order = engine.limit("BUY", "0.01", "59000.00")
    drain("submit-binance")
    order_id = UUID(order["id"])
    approval = propose_resolution(order_id, "rejected", "it is not there", FIRST)
    decide(approval.id, approved=True, by=SECOND)
    assert probe(order_id) is True
    with pytest.raises(Problem) as refused:
        carry_out_resolution(approval.id, SECOND)
    assert refused.value.code == "NOT_UNKNOWN"
    assert Approval.objects.get().used_at is None
    assert Order.objects.get(id=order_id).status == "open"


def test_a_lost_replace_is_ended_by_hand_and_the_order_goes_on(engine: Engine) -> None:
    order_id = resting(engine)
    patch(engine, order_id, price="59500.00")
    engine.simulator.fault("drop_before", call=REPLACE)
    drain()
    [unknown] = unknown_orders()
    assert (unknown.what, unknown.outcomes) == ("replace", ("rejected",))
    order = approved(UUID(order_id), "rejected")
    assert order.status == "open"
    assert reserved(engine) == {"USDT": Decimal(1770)}
    assert patch(engine, order_id, price="59600.00")[0] == 202


def test_a_word_on_a_lost_submit_does_not_end_a_replace_lost_later(engine: Engine) -> None:
    engine.simulator.fault("drop_after")
    _, document = engine.limit("BUY", "0.01", "59000.00")
    drain("submit-binance")
    order_id = document["id"]
    old = propose_resolution(UUID(order_id), "rejected", "it is not there", FIRST)
    assert probe(UUID(order_id)) is True
    drain()
    assert patch(engine, order_id, price="59500.00")[0] == 202
    engine.simulator.fault("drop_after", call=REPLACE)
    send_command(Command.objects.get(kind="replace").id)
    [unknown] = unknown_orders()
    assert (unknown.what, unknown.outcomes) == ("replace", ("rejected",))
    held = reserved(engine)
    [said] = consequences(old)
    assert "propose again" in said
    with pytest.raises(Problem) as refused:
        decide_and_carry_out(old.id, approved=True, by=SECOND)
    assert (refused.value.status, refused.value.code) == (409, "NOT_AS_PROPOSED")
    assert Approval.objects.get().used_at is None
    assert [each.what for each in unknown_orders()] == ["replace"]
    assert reserved(engine) == held, "what the replace placed works at the exchange"
    assert probe(UUID(order_id)) is True
    assert (engine.order(order_id)["status"], engine.order(order_id)["price"]) == ("open", "59500")


def test_a_word_on_a_lost_submit_does_not_end_the_order_when_it_vanishes_later(engine: Engine) -> None:
    order_id = lost(engine)
    old = propose_resolution(order_id, "canceled", "somebody canceled it", FIRST)
    decide(old.id, approved=True, by=SECOND)
    Order.objects.filter(id=order_id).update(status="closed_unverified")
    Command.objects.filter(order=order_id).update(status="done", finished_at=clock.now())
    with pytest.raises(Problem) as refused:
        carry_out_resolution(old.id, SECOND)
    assert refused.value.code == "NOT_AS_PROPOSED"
    assert Order.objects.get().status == "closed_unverified"


def test_a_closed_unverified_order_is_ended_and_shows_again(engine: Engine) -> None:
    order_id = vanished(engine)
    followed(engine, order_id, "closed_unverified")
    [unknown] = unknown_orders([engine.account.name])
    assert (unknown.what, unknown.needs_operator, len(unknown.rounds)) == ("working", True, 2)
    assert unknown.outcomes == ("canceled",)
    assert approved(UUID(order_id), "canceled").status == "canceled"
    assert reserved(engine) == {}
    engine.simulator.call("DELETE", "/sim/faults")
    listed = adapter_for(engine.account).open_orders("BTCUSDT", now_ms=exchange_now_ms(engine.account))
    ingest(engine.account, listed, by=BY)
    assert reserved(engine) == {"USDT": Decimal(1770)}, "what works is reserved, whatever a person said"
    assert Event.objects.filter(kind="order.breach").count() == 1


def test_every_round_of_an_unknown_order_is_listed(engine: Engine) -> None:
    order_id = lost(engine)
    past_its_time(str(order_id))
    engine.simulator.fault("garbage", call="GET /api/v3/allOrders")
    probe(order_id)
    ExchangeOrder.objects.update(look_next_at=None)
    [unknown] = unknown_orders()
    assert [past.verdict for past in unknown.rounds] == ["failed"]
    assert (unknown.what, unknown.needs_operator) == ("submit", False)
    assert unknown.attempt is not None and unknown.attempt.outcome == "unknown"
    assert unknown.outcomes == ("rejected", "canceled")
    assert unknown_orders(["another-account"]) == []


def test_following_leaves_what_was_ended_by_hand_alone(engine: Engine) -> None:
    order_id = vanished(engine)
    followed(engine, order_id, "closed_unverified")
    approved(UUID(order_id), "canceled")
    Order.objects.update(updated_at="2020-01-01T00:00:00Z")
    ExchangeOrder.objects.update(last_looked_at=None)
    assert (follow_account(engine.account), settle_account(engine.account)) == (0, 0)
    assert ExchangeOrder.objects.get().last_looked_at is None
    assert Order.objects.get().status == "canceled"


@pytest.mark.drill
@pytest.mark.parametrize(("moment", "ended"), [("before_resolution_commit", False), ("after_resolution", True)])
def test_a_process_killed_while_it_carries_out_leaves_all_or_nothing(
    engine: Engine, processes: Processes, moment: str, ended: bool
) -> None:
    order_id = lost(engine)
    approval = propose_resolution(order_id, "rejected", "it is not there", FIRST)
    decide(approval.id, approved=True, by=SECOND)
    flag = processes.folder / "armed"
    flag.touch()
    code = (
        "from execution_project.common.actors import engine; from orders.resolving import carry_out_resolution;"
        f" carry_out_resolution('{approval.id}', engine('drill', 'a test'))"
    )
    process = processes.manage("shell", "-c", code, EXEC_FAULT_HOOK=f"{moment}@{flag}").process
    assert process.wait(60) == -signal.SIGKILL
    assert (Approval.objects.get().used_at is not None) == ended
    assert (Order.objects.get(id=order_id).status == "rejected") == ended
    assert (reserved(engine) == {}) == ended
    if not ended:
        assert carry_out_resolution(approval.id, SECOND).status == "rejected"
