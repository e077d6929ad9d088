"""Halting and starting: who may trade, by scope. Activation takes one person and one step.

A latched halt is a kill: its episode is made in the same transaction (``risk.kill_episodes``). It is lifted in two
stages, HALTED → REDUCE_ONLY → ACTIVE, each proposed by one person and approved by another, and only when the machine
finds nothing that speaks against it.

A halt takes the scope's advisory lock alone, writes its row and commits; it touches no order, so that nothing that an
order does can hold it up. Its sequence number outranks every order accepted before (DESIGN: gate_seq).
"""

from __future__ import annotations

from django.db import connection

from exchanges.models import Account
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.approvals import carries_out, explains, request_approval, use
from execution_project.common.events import record
from execution_project.common.locking import Locks, ordered
from execution_project.common.models import Approval
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from risk.inputs import StateOfScope
from risk.intent import scope_name
from risk.kill_episodes import NEXT_STAGE, begin_or_join, move_stage, standing, what_keeps_it_latched
from risk.lifting import what_is_not_flat
from risk.models import KillEpisode, State, TradingState
from risk.ramp import begin_ramp, what_a_ramp_does
from risk.tripping import what_keeps_it_tripped

LIFT_LATCH = "lift_latch"
# Parameters of such a proposal: the halt and the monitors' latches it is about, and how far it lifts.
LAST_HALT = "last_halt_seq"
TRIPPED_BY = "tripped_by"
TO = "to"
SHORTEST_REASON = 20
"""Characters of a reason to lift a latch: it is read by the second person, and after the next incident."""


def next_gate_seq() -> int:
    """The next number of the sequence that halts and decisions share."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('risk_gate_seq')")
        row = cursor.fetchone()
    return int(row[0])


def _lock(locks: Locks, kind: str, key: str) -> TradingState | None:
    locks.own_trading_state(scope_name(kind, key))
    return TradingState.objects.filter(scope_kind=kind, scope_key=key).first()


def halt(kind: str, key: str, *, reason: str, by: Actor, latched: bool = False) -> TradingState:
    """Halt a scope. Halting a halted scope is recorded again and takes a new number; a latch is never loosened.

    ``latched``: a kill. Its episode begins here, or is joined; lifting it will take a second person. Raises
    ``Problem`` (403) without the right.
    """
    by.require(Right.KILL if latched else Right.HALT)
    with ordered() as locks:
        row = _lock(locks, kind, key) or TradingState(scope_kind=kind, scope_key=key)
        before = row.state if row.pk else State.ACTIVE.value
        row.state = State.HALTED.value
        row.latched = row.latched or latched
        row.last_halt_seq = next_gate_seq()
        row.reason = reason[:256]
        row.changed_by = by.name
        row.changed_at = clock.now()
        row.save()
        record(
            "trading.halted",
            "scope",
            scope_name(kind, key),
            by,
            from_status=before,
            to_status=row.state,
            evidence={"reason": reason, "latched": row.latched, "seq": row.last_halt_seq},
        )
        if latched:
            begin_or_join(kind, key, halt_seq=row.last_halt_seq, reason=reason, by=by)
    return row


def start(kind: str, key: str, *, reason: str, by: Actor) -> TradingState:
    """Lift a plain halt: ACTIVE, or REDUCE_ONLY where a kill was lifted so far.

    Raises ``Problem``: 409 ``LATCHED`` for what takes a second person (``propose_start``), 403 without the right.
    """
    by.require(Right.START)
    return _start(kind, key, reason, by)


def propose_start(kind: str, key: str, *, reason: str, by: Actor) -> Approval:
    """Ask for a second person's word to lift a kill by one stage: HALTED → REDUCE_ONLY, then REDUCE_ONLY → ACTIVE.

    The proposal is about the halt that stands now: one that comes later outlives it. Raises ``Problem``: 400
    ``REASON_TOO_SHORT`` below 20 characters, 409 ``NOT_LATCHED`` when one person may start it, 409 ``LATCH_HELD``, with
    everything that speaks against it, 403 without the right.
    """
    by.require(Right.START)
    row = TradingState.objects.filter(scope_kind=kind, scope_key=key).first()
    episode = standing(kind, key)
    if row is None or not _takes_two(row, episode):
        raise Problem(409, "NOT_LATCHED", f"{scope_name(kind, key)} is not latched: one person may start it.")
    if len(reason.strip()) < SHORTEST_REASON:
        detail = f"reason: at least {SHORTEST_REASON} characters: what was the matter, and why may it go on?"
        raise Problem(400, "REASON_TOO_SHORT", detail)
    parameters = {"kind": kind, "key": key, LAST_HALT: row.last_halt_seq, TRIPPED_BY: row.tripped_by}
    _refuse_held(row, episode)
    if episode is not None:
        parameters |= {"kill": str(episode.id), TO: NEXT_STAGE[episode.stage]}
    return request_approval(LIFT_LATCH, scope_name(kind, key), reason=reason, by=by, parameters=parameters)


def _takes_two(row: TradingState, episode: KillEpisode | None) -> bool:
    """Whether one person's start is not enough: a latch, or the second stage of lifting one."""
    return row.latched or (episode is not None and row.state == State.REDUCE_ONLY)


def _refuse_held(row: TradingState, episode: KillEpisode | None) -> None:
    wrong = [*([] if episode is None else what_keeps_it_latched(episode)), *what_keeps_it_tripped(row)]
    if wrong:
        scope = scope_name(row.scope_kind, row.scope_key)
        detail = f"{scope} stays latched, {len(wrong)} things speak against lifting it: {' '.join(wrong)}"
        kill = {} if episode is None else {"kill": str(episode.id)}
        raise Problem(409, "LATCH_HELD", detail, members={"held_by": wrong, **kill})


@carries_out(LIFT_LATCH)
def _lift_latch(approval: Approval, by: Actor) -> str:
    kind, key = approval.parameters["kind"], approval.parameters["key"]
    row = _start(kind, key, f"{approval.reason} (asked by {approval.requested_by})", by, approval=approval)
    said = f"The latch of {scope_name(kind, key)} is lifted: it is {row.state}."
    return said if row.state == State.ACTIVE else f"{said} ACTIVE takes another proposal."


@explains(LIFT_LATCH)
def what_an_approved_start_does(approval: Approval) -> list[str]:
    """What approving a proposed start does as things stand, in sentences, with everything that is not flat."""
    kind, _, key = approval.subject.partition(":")
    episode = standing(kind, key)
    row = TradingState.objects.filter(scope_kind=kind, scope_key=key).first()
    try:
        _refuse_newer_halt(row, approval)
        if row is not None:
            _refuse_held(row, episode)
    except Problem as problem:
        return [f"Nothing, it will be refused: {problem.detail}"]
    if approval.parameters.get(TO) == State.REDUCE_ONLY:
        does = f"{approval.subject} takes orders again that only reduce exposure, at once."
        then = ["Trading in full takes another proposal, and another person's word, after this one."]
    else:
        does = f"Trading in {approval.subject} goes on at once, in full."
        then = [] if episode is None else what_a_ramp_does()
    return [
        does,
        *then,
        "Orders that were accepted before the halt and not sent do not come back. High-water marks are not reset.",
        *([] if episode is None else [f"The cause on record: {episode.cause}"]),
        *what_is_not_flat(kind, key),
    ]


def _refuse_newer_halt(row: TradingState | None, approval: Approval) -> None:
    """A proposal lifts the halt that its requester saw, and no later one."""
    seen = (approval.parameters.get(LAST_HALT), approval.parameters.get(TRIPPED_BY, ""))
    if row is None or (row.last_halt_seq, row.tripped_by) != seen:
        how = "latched" if row is not None and row.last_halt_seq == seen[0] else "halted"
        said = f"{approval.subject} was {how} again since it was proposed: propose again."
        raise Problem(409, "LATCHED_AGAIN", said)


def _start(kind: str, key: str, reason: str, by: Actor, approval: Approval | None = None) -> TradingState:
    with ordered() as locks:
        row = _lock(locks, kind, key)
        if approval is not None:
            _refuse_newer_halt(row, approval)
        if row is None:
            row = TradingState(scope_kind=kind, scope_key=key, state=State.ACTIVE.value)
        episode = standing(kind, key)
        if approval is None and _takes_two(row, episode):
            raise Problem(
                409,
                "LATCHED",
                f"{scope_name(kind, key)} is latched ({row.reason}): lifting it needs a second person's approval.",
            )
        evidence = {"reason": reason}
        target = State.ACTIVE.value if episode is None else episode.stage
        if approval is not None:
            use(approval.id, LIFT_LATCH, scope_name(kind, key), by=by)
            target = approval.parameters.get(TO, target)
            if episode is not None and NEXT_STAGE[episode.stage] != target:
                raise Problem(409, "LATCHED_AGAIN", f"{approval.subject} is {episode.stage} now: propose again.")
            _refuse_held(row, episode)
            evidence["approval"] = str(approval.id)
            if episode is not None:
                move_stage(episode, target, by=by, evidence=evidence)
                if target == State.ACTIVE:
                    begin_ramp(Account.objects.filter(killsweep__episode=episode), reason="kill lifted", by=by)
        row.latched, row.tripped_by = False, ""
        before, row.state = row.state, target
        row.reason, row.changed_by, row.changed_at = reason[:256], by.name, clock.now()
        row.save()
        record(
            "trading.started",
            "scope",
            scope_name(kind, key),
            by,
            from_status=before,
            to_status=row.state,
            evidence=evidence,
        )
    return row


def states_of(scopes: tuple[tuple[str, str], ...]) -> tuple[StateOfScope, ...]:
    """The stored states of these scopes; the caller holds their shared locks. A scope without a row is ACTIVE."""
    rows = {
        (row.scope_kind, row.scope_key): row
        for row in TradingState.objects.filter(
            scope_kind__in={kind for kind, _ in scopes}, scope_key__in={key for _, key in scopes}
        )
    }
    return tuple(
        StateOfScope(scope_name(kind, key), rows[kind, key].state, rows[kind, key].last_halt_seq)
        for kind, key in scopes
        if (kind, key) in rows
    )


def refusal(states: tuple[StateOfScope, ...], gate_seq: int, flatten_seq: int | None = None) -> str | None:
    """Why an accepted order may not be claimed any more, or None: a scope is halted, or was halted since its gate.

    ``flatten_seq``: of an order of a confirmed flatten, which passes the halts that stood when it was confirmed.
    """
    for state in states:
        if not state.lets_pass(flatten_seq):
            return f"{state.scope} is halted"
        if state.last_halt_seq >= gate_seq:
            return f"{state.scope} was halted after the order was accepted"
    return None
