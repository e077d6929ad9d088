"""Halting and starting: who may trade, by scope. Activation takes one person and one step.

A halt takes the scope's advisory lock alone, writes its row and commits; it touches no order, so that nothing that an
order does can hold it up. Its sequence number outranks every order accepted before (DESIGN: gate_seq).
"""

from __future__ import annotations

from django.db import connection

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
from risk.models import State, TradingState

LIFT_LATCH = "lift_latch"
# The parameter of such a proposal that names the halt it is about.
LAST_HALT = "last_halt_seq"


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

    ``latched``: lifting it will take a second person. Raises ``Problem`` (403) without the right.
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
    return row


def start(kind: str, key: str, *, reason: str, by: Actor) -> TradingState:
    """Lift a plain halt. Raises ``Problem``: 409 ``LATCHED`` for a latch, which takes ``propose_start``."""
    by.require(Right.START)
    return _start(kind, key, reason, by)


def propose_start(kind: str, key: str, *, reason: str, by: Actor) -> Approval:
    """Ask for a second person's word to lift the latch of a scope. Raises ``Problem``: 409 when there is no latch.

    The proposal is about the halt that stands now: one that comes later outlives it.
    """
    by.require(Right.START)
    row = TradingState.objects.filter(scope_kind=kind, scope_key=key).first()
    if row is None or not row.latched:
        raise Problem(409, "NOT_LATCHED", f"{scope_name(kind, key)} is not latched: one person may start it.")
    parameters = {"kind": kind, "key": key, LAST_HALT: row.last_halt_seq}
    return request_approval(LIFT_LATCH, scope_name(kind, key), reason=reason, by=by, parameters=parameters)


@carries_out(LIFT_LATCH)
def _lift_latch(approval: Approval, by: Actor) -> str:
    kind, key = approval.parameters["kind"], approval.parameters["key"]
    _start(kind, key, f"{approval.reason} (asked by {approval.requested_by})", by, approval=approval)
    return f"The latch of {scope_name(kind, key)} is lifted."


@explains(LIFT_LATCH)
def what_an_approved_start_does(approval: Approval) -> list[str]:
    """What approving a proposed start does as things stand, in sentences."""
    kind, _, key = approval.subject.partition(":")
    try:
        _refuse_newer_halt(TradingState.objects.filter(scope_kind=kind, scope_key=key).first(), approval)
    except Problem as problem:
        return [f"Nothing, it will be refused: {problem.detail}"]
    return [
        f"Trading in {approval.subject} goes on at once: its latch is lifted and it is ACTIVE.",
        "Orders that were accepted before the halt and not sent do not come back.",
    ]


def _refuse_newer_halt(row: TradingState | None, approval: Approval) -> None:
    """A proposal lifts the halt that its requester saw, and no later one."""
    if row is None or row.last_halt_seq != approval.parameters.get(LAST_HALT):
        said = f"{approval.subject} was halted again since it was proposed: propose again."
        raise Problem(409, "LATCHED_AGAIN", said)


def _start(kind: str, key: str, reason: str, by: Actor, approval: Approval | None = None) -> TradingState:
    with ordered() as locks:
        row = _lock(locks, kind, key)
        if approval is not None:
            _refuse_newer_halt(row, approval)
        if row is None:
            row = TradingState(scope_kind=kind, scope_key=key, state=State.ACTIVE.value)
        if row.latched and approval is None:
            raise Problem(
                409,
                "LATCHED",
                f"{scope_name(kind, key)} is latched ({row.reason}): lifting it needs a second person's approval.",
            )
        if approval is not None:
            use(approval.id, LIFT_LATCH, scope_name(kind, key), by=by)
        row.latched = False
        before, row.state = row.state, State.ACTIVE.value
        row.reason, row.changed_by, row.changed_at = reason[:256], by.name, clock.now()
        row.save()
        record(
            "trading.started",
            "scope",
            scope_name(kind, key),
            by,
            from_status=before,
            to_status=row.state,
            evidence={"reason": reason} | ({} if approval is None else {"approval": str(approval.id)}),
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


def refusal(states: tuple[StateOfScope, ...], gate_seq: int) -> str | None:
    """Why an accepted order may not be claimed any more, or None: a scope is halted, or was halted since its gate."""
    for state in states:
        if state.state not in {State.ACTIVE.value, State.REDUCE_ONLY.value}:
            return f"{state.scope} is halted"
        if state.last_halt_seq >= gate_seq:
            return f"{state.scope} was halted after the order was accepted"
    return None
