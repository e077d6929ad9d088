"""Halt and start: one step to stop, numbers that outrank earlier orders, latches that one person cannot lift."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import IntegrityError, transaction

from execution_project.common.actors import Actor
from execution_project.common.approvals import carry_out, consequences, decide_and_carry_out
from execution_project.common.locking import ordered
from execution_project.common.models import Approval, Event
from execution_project.common.problems import Problem
from execution_project.common.rights import EVERYTHING, Right
from risk.inputs import StateOfScope
from risk.intent import lock_names, scopes_of
from risk.models import KillEpisode, TradingState
from risk.trading_state import halt, next_gate_seq, propose_start, refusal, start, states_of
from tests.factories import BY
from tests.kills import SECOND, WHY, lift_one_stage, take_for_proven
from tests.threads import Other, blocked, run_together
from tests.waiting import wait_until

SCOPES = scopes_of(exchange="binance", account="main", strategy="alpha", symbol="BTCUSDT")


def test_an_order_stands_under_all_its_scopes_widest_first() -> None:
    assert SCOPES == (
        ("global", ""),
        ("exchange", "binance"),
        ("account", "main"),
        ("strategy", "alpha"),
        ("symbol", "BTCUSDT"),
    )
    without = scopes_of(exchange="binance", account="main", strategy=None, symbol="BTCUSDT")
    assert [kind for kind, _ in without] == ["global", "exchange", "account", "symbol"]
    assert lock_names(SCOPES)[:3] == ["global", "exchange:binance", "account:main"]


@pytest.mark.django_db
def test_a_halt_is_stored_with_its_number_and_recorded() -> None:
    before = next_gate_seq()
    row = halt("account", "main", reason="r" * 300, by=BY)
    assert (row.state, row.latched, len(row.reason)) == ("HALTED", False, 256)
    assert before < row.last_halt_seq < next_gate_seq()
    event = Event.objects.get(kind="trading.halted")
    assert (event.subject_id, event.from_status, event.to_status) == ("account:main", "ACTIVE", "HALTED")
    assert event.actor == BY.name


@pytest.mark.django_db
def test_a_halted_scope_halted_again_takes_a_new_number() -> None:
    first = halt("global", "", reason="one", by=BY).last_halt_seq
    second = halt("global", "", reason="two", by=BY)
    assert second.last_halt_seq > first
    assert TradingState.objects.get().reason == "two"
    assert Event.objects.filter(kind="trading.halted").count() == 2


@pytest.mark.django_db
def test_a_plain_halt_is_lifted_by_one_person_and_its_number_stays() -> None:
    seq = halt("account", "main", reason="test", by=BY).last_halt_seq
    row = start("account", "main", reason="fine again", by=BY)
    assert (row.state, row.last_halt_seq) == ("ACTIVE", seq)
    event = Event.objects.get(kind="trading.started")
    assert (event.from_status, event.to_status) == ("HALTED", "ACTIVE")


@pytest.mark.django_db
def test_starting_what_was_never_halted_is_recorded_and_harmless() -> None:
    assert start("symbol", "BTCUSDT", reason="", by=BY).state == "ACTIVE"


@pytest.mark.django_db
def test_a_latch_is_not_lifted_by_one_person_nor_loosened_by_a_plain_halt() -> None:
    halt("global", "", reason="kill", by=BY, latched=True)
    halt("global", "", reason="again", by=BY)
    with pytest.raises(Problem) as caught:
        start("global", "", reason="please", by=BY)
    assert (caught.value.status, caught.value.code) == (409, "LATCHED")
    row = TradingState.objects.get()
    assert (row.state, row.latched) == ("HALTED", True)


@pytest.mark.django_db
def test_a_plain_halt_can_become_a_latch() -> None:
    halt("global", "", reason="plain", by=BY)
    assert halt("global", "", reason="kill", by=BY, latched=True).latched


@pytest.mark.django_db
def test_the_states_of_an_orders_scopes_are_those_and_no_others() -> None:
    halt("account", "main", reason="", by=BY)
    halt("account", "other", reason="", by=BY)
    halt("strategy", "main", reason="", by=BY)  # the name of another kind of scope
    start("symbol", "BTCUSDT", reason="", by=BY)
    assert [(s.scope, s.state) for s in states_of(SCOPES)] == [("account:main", "HALTED"), ("symbol:BTCUSDT", "ACTIVE")]


@pytest.mark.parametrize(
    ("state", "halted_at", "gate_seq", "passes"),
    [
        ("ACTIVE", 0, 1, True),
        ("ACTIVE", 9, 10, True),
        ("ACTIVE", 10, 10, False),
        ("ACTIVE", 11, 10, False),
        ("REDUCE_ONLY", 9, 10, True),
        ("REDUCE_ONLY", 11, 10, False),
        ("HALTED", 0, 10, False),
        ("UNREADABLE", 0, 10, False),
    ],
)
def test_an_accepted_order_passes_only_scopes_that_allow_and_were_not_halted_since(
    state: str, halted_at: int, gate_seq: int, passes: bool
) -> None:
    fine = StateOfScope("global", "ACTIVE", 0)
    given = StateOfScope("account:main", state, halted_at)
    said = refusal((fine, given), gate_seq)
    assert (said is None) == passes
    assert said is None or "account:main" in said
    assert refusal((), gate_seq) is None


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"state": "PAUSED"}, "trading_state_known"),
        ({"scope_kind": "desk"}, "trading_scope_known"),
        ({"scope_kind": "global", "scope_key": "x"}, "trading_state_global_has_no_key"),
    ],
)
def test_the_database_refuses_an_unknown_state_or_scope(values: dict[str, str], constraint: str) -> None:
    halt("account", "main", reason="", by=BY)
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        TradingState.objects.update(**values)


@pytest.mark.django_db(transaction=True)
def test_a_halt_waits_only_for_transactions_that_share_its_scope() -> None:
    with ordered() as locks:
        locks.share_trading_state(lock_names(SCOPES))
        Other(lambda: halt("account", "other", reason="", by=BY)).join()
        halting = Other(lambda: halt("account", "main", reason="", by=BY))
        wait_until(blocked, 30, "the halt waits for the placement under way")
    halting.join()
    assert TradingState.objects.get(scope_key="main").state == "HALTED"


@pytest.mark.django_db(transaction=True)
def test_halts_at_the_same_time_all_count() -> None:
    results = run_together([lambda: halt("global", "", reason="", by=BY)] * 6)
    numbers = [row.last_halt_seq for row in results if isinstance(row, TradingState)]
    assert len(set(numbers)) == 6
    assert TradingState.objects.get().last_halt_seq == max(numbers)
    assert Event.objects.filter(kind="trading.halted").count() == 6


@pytest.mark.django_db(transaction=True)
def test_a_latch_is_lifted_by_a_second_person_once() -> None:
    halt("account", "main", reason="drawdown", by=BY, latched=True)
    take_for_proven("account", "main")
    approval = propose_start("account", "main", reason=WHY, by=BY)
    with pytest.raises(Problem, match="second person"):
        decide_and_carry_out(approval.id, approved=True, by=BY)
    assert TradingState.objects.get().latched
    decide_and_carry_out(approval.id, approved=True, by=SECOND)
    row = TradingState.objects.get()
    assert (row.state, row.latched) == ("REDUCE_ONLY", False)
    assert Event.objects.get(kind="trading.started").evidence["approval"] == str(approval.id)
    with pytest.raises(Problem) as caught:
        carry_out(approval.id, by=SECOND)
    assert caught.value.code == "APPROVAL_SPENT"


@pytest.mark.django_db(transaction=True)
def test_a_kill_is_lifted_in_two_stages_and_each_takes_two_persons() -> None:
    halt("account", "main", reason="drawdown", by=BY, latched=True)
    episode = take_for_proven("account", "main")
    assert lift_one_stage("account", "main").state == "REDUCE_ONLY"
    with pytest.raises(Problem) as caught:
        start("account", "main", reason="all of it", by=BY)
    assert caught.value.code == "LATCHED"
    halt("account", "main", reason="odd prices", by=BY)
    assert start("account", "main", reason="prices are back", by=BY).state == "REDUCE_ONLY", "no more than was allowed"
    assert lift_one_stage("account", "main").state == "ACTIVE"
    episode.refresh_from_db()
    assert (episode.stage, episode.ended_at is not None) == ("ACTIVE", True)
    stages = Event.objects.filter(kind="kill.lifted").order_by("id").values_list("from_status", "to_status")
    assert list(stages) == [("HALTED", "REDUCE_ONLY"), ("REDUCE_ONLY", "ACTIVE")]


@pytest.mark.django_db(transaction=True)
def test_what_speaks_against_a_start_is_said_before_anybody_decides_and_looked_at_again_after() -> None:
    halt("account", "main", reason="drawdown", by=BY, latched=True)
    with pytest.raises(Problem) as caught:
        propose_start("account", "main", reason=WHY, by=BY)
    assert caught.value.code == "LATCH_HELD"
    assert caught.value.members["held_by"] == [
        "Its cause is not on record: why did it happen?",
        "The sweep is SWEEPING, not VERIFIED.",
    ]
    episode = take_for_proven("account", "main")
    with pytest.raises(Problem) as caught:
        propose_start("account", "main", reason="x" * 19, by=BY)
    assert caught.value.code == "REASON_TOO_SHORT"
    approval = propose_start("account", "main", reason="x" * 20, by=BY)
    KillEpisode.objects.filter(id=episode.id).update(verdict="KILL_INCOMPLETE", unproven=[{"what": "not ended"}])
    assert "will be refused" in consequences(approval)[0] and "not ended" in consequences(approval)[0]
    with pytest.raises(Problem) as caught:
        decide_and_carry_out(approval.id, approved=True, by=SECOND)
    assert caught.value.code == "LATCH_HELD"
    assert TradingState.objects.get().latched and Approval.objects.get().used_at is None


@pytest.mark.django_db(transaction=True)
def test_a_second_kill_joins_and_one_of_a_scope_lifted_in_part_begins_anew() -> None:
    first = halt("account", "main", reason="drawdown", by=BY, latched=True)
    halt("account", "main", reason="again", by=BY, latched=True)
    episode = KillEpisode.objects.get()
    assert (episode.halt_seq, episode.reason, episode.joined) == (first.last_halt_seq, "drawdown", 1)
    assert Event.objects.get(kind="kill.joined").evidence["reason"] == "again"
    take_for_proven("account", "main")
    lift_one_stage("account", "main")
    halt("account", "main", reason="a third time", by=BY, latched=True)
    episode.refresh_from_db()
    assert episode.ended_at is not None
    assert KillEpisode.objects.get(ended_at__isnull=True).reason == "a third time"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("latched", [True, False])
def test_a_proposal_lifts_no_halt_that_came_after_it(latched: bool) -> None:
    halt("account", "main", reason="drawdown", by=BY, latched=True)
    take_for_proven("account", "main")
    approval = propose_start("account", "main", reason=WHY, by=BY)
    assert "only reduce exposure, at once" in consequences(approval)[0]
    newer = halt("account", "main", reason="another drawdown", by=BY, latched=latched)
    assert "halted again since it was proposed" in consequences(approval)[0]
    with pytest.raises(Problem) as caught:
        decide_and_carry_out(approval.id, approved=True, by=SECOND)
    assert (caught.value.status, caught.value.code) == (409, "LATCHED_AGAIN")
    row = TradingState.objects.get()
    assert (row.state, row.latched, row.last_halt_seq) == ("HALTED", True, newer.last_halt_seq)
    approval.refresh_from_db()
    assert approval.used_at is None
    take_for_proven("account", "main")  # whoever kills again has it proven again
    again = propose_start("account", "main", reason=f"{WHY} again", by=BY)
    assert again.id != approval.id
    decide_and_carry_out(again.id, approved=True, by=SECOND)
    assert TradingState.objects.get().state == "REDUCE_ONLY"
    with pytest.raises(Problem) as caught:
        carry_out(approval.id, by=SECOND)
    assert caught.value.code == "LATCHED_AGAIN"


@pytest.mark.django_db(transaction=True)
def test_a_proposal_spent_lifts_no_later_latch() -> None:
    halt("account", "main", reason="drawdown", by=BY, latched=True)
    take_for_proven("account", "main")
    approval = propose_start("account", "main", reason=WHY, by=BY)
    decide_and_carry_out(approval.id, approved=True, by=SECOND)
    halt("account", "main", reason="again", by=BY, latched=True)
    with pytest.raises(Problem):
        carry_out(approval.id, by=SECOND)
    assert TradingState.objects.get().latched


@pytest.mark.django_db(transaction=True)
def test_a_refused_proposal_lifts_nothing_and_a_plain_halt_needs_none() -> None:
    halt("account", "main", reason="drawdown", by=BY, latched=True)
    take_for_proven("account", "main")
    approval = propose_start("account", "main", reason=WHY, by=BY)
    assert decide_and_carry_out(approval.id, approved=False, by=SECOND) == "Refused."
    assert TradingState.objects.get().latched
    halt("strategy", "alpha", reason="plain", by=BY)
    with pytest.raises(Problem) as caught:
        propose_start("strategy", "alpha", reason="x", by=BY)
    assert caught.value.code == "NOT_LATCHED"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("act", "right"),
    [
        (lambda by: halt("global", "", reason="x", by=by), Right.HALT),
        (lambda by: halt("global", "", reason="x", by=by, latched=True), Right.KILL),
        (lambda by: start("global", "", reason="x", by=by), Right.START),
        (lambda by: propose_start("global", "", reason="x", by=by), Right.START),
    ],
)
def test_each_act_asks_for_its_right(act: Callable[[Actor], object], right: Right) -> None:
    without = Actor("user:nobody", "a test", rights=EVERYTHING - {right})
    with pytest.raises(Problem) as caught:
        act(without)
    assert (caught.value.status, caught.value.code) == (403, "MISSING_RIGHT")
    assert not TradingState.objects.exists()
