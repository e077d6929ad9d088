"""Ending an unknown order by hand: one person proposes an outcome with a reason, a second one carries it out.

For orders that no proof of absence ends: something at the exchange is doubtful, or it no longer knows a working order.
What the exchange says later overrules a person's word: the order is then reserved and followed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from execution_project.common import approvals, clock, fault_hooks
from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.locking import ordered
from execution_project.common.models import Approval
from execution_project.common.money import plain
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from orders.absence import end_never_accepted, placement_of, posting_attempt, unknown_placement
from orders.claiming import current_exchange_order
from orders.ingest import finish_commands, lock_orders
from orders.lifecycle import CommandStatus, OrderStatus
from orders.models import (
    AbsenceEvidence,
    AbsenceVerdict,
    Attempt,
    Command,
    CommandKind,
    ExchangeOrder,
    Order,
)
from orders.notifications import notify_after_commit
from orders.reserving import set_reservation

ACT = "resolve_order"
RESOLVED_BY_HAND = "RESOLVED_BY_HAND"
NEWEST_ROUNDS = 100
RELEASED = "What is reserved for it is released, and it is not looked for any more."
WORD_OF_THE_EXCHANGE = (
    "Should the exchange show it after all, its word counts: it is reserved and followed again, its fills are booked."
)


class Resolution(StrEnum):
    """What a person found out. REJECTED: the exchange never accepted it; CANCELED: it did, and it works no more."""

    REJECTED = "rejected"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class UnknownOrder:
    """One order whose state at the exchange nobody knows, with the evidence so far.

    ``what``: ``submit``, ``replace`` (what may have been placed) or ``working`` (closed, unverified).
    ``rounds``: the newest 100, oldest first, without what was answered (``with_answers``).
    ``needs_operator``: the last round that was answered was doubtful, or the exchange no longer knows the order.
    """

    order: Order
    exchange_order: ExchangeOrder
    what: str
    since: datetime
    attempt: Attempt | None
    rounds: tuple[AbsenceEvidence, ...]
    needs_operator: bool
    outcomes: tuple[Resolution, ...]


def unknown_orders(accounts: list[str] | None = None) -> list[UnknownOrder]:
    """Every unknown order of these accounts (None: of all), oldest first, with the newest rounds of looking for it."""
    orders = _unknown().select_related("account", "instrument", "strategy").order_by("id")
    if accounts is not None:
        orders = orders.filter(account__name__in=accounts)
    return [_described(order) for order in orders]


def unknown_order(order: Order) -> UnknownOrder | None:
    """The same of one order; None when nothing about it is unknown."""
    return _described(order) if outcomes_for(order) else None


def with_answers(rounds: Sequence[AbsenceEvidence]) -> None:
    """Read what was answered in these rounds, by one statement: bodies are long, so only for those that are shown."""
    answers = AbsenceEvidence.objects.filter(id__in=[past.id for past in rounds]).values_list("id", "answers")
    found = dict(answers)
    for past in rounds:
        past.answers = found[past.id]


def outcomes_for(order: Order) -> tuple[Resolution, ...]:
    """Which outcomes a person may state for an order; none when nothing about it is unknown."""
    return _possible(order, unknown_placement(order))


def _unknown() -> QuerySet[Order]:
    lost = Command.objects.filter(
        order=OuterRef("pk"), status=CommandStatus.UNKNOWN, kind__in=[CommandKind.SUBMIT, CommandKind.REPLACE]
    )
    unknown = [OrderStatus.SUBMIT_UNKNOWN, OrderStatus.CLOSED_UNVERIFIED]
    return Order.objects.filter(Q(status__in=unknown) | Exists(lost))


def _described(order: Order) -> UnknownOrder:
    command = unknown_placement(order)
    row, what = _at_stake(order, command)
    newest = AbsenceEvidence.objects.filter(exchange_order=row).defer("answers").order_by("-id")[:NEWEST_ROUNDS]
    rounds = tuple(reversed(newest))
    answered = [past for past in rounds if past.verdict != AbsenceVerdict.FAILED]
    doubtful = bool(answered) and answered[-1].verdict == AbsenceVerdict.DOUBTFUL
    attempt = posting_attempt(row)
    closed = order.status == OrderStatus.CLOSED_UNVERIFIED
    return UnknownOrder(
        order=order,
        exchange_order=row,
        what=what,
        since=order.updated_at if closed or attempt is None else attempt.claimed_at,
        attempt=attempt,
        rounds=rounds,
        needs_operator=doubtful or closed,
        outcomes=_possible(order, command),
    )


def _at_stake(order: Order, command: Command | None) -> tuple[ExchangeOrder, str]:
    """The exchange order whose state nobody knows, and what is unknown of it (see ``UnknownOrder``)."""
    row = current_exchange_order(order) if command is None else placement_of(command)
    closed = order.status == OrderStatus.CLOSED_UNVERIFIED
    return row, "working" if closed or command is None else str(command.kind)


def _possible(order: Order, command: Command | None) -> tuple[Resolution, ...]:
    """Which outcomes a person may state."""
    if order.status == OrderStatus.CLOSED_UNVERIFIED:
        return (Resolution.CANCELED,)
    if command is None:
        return ()
    if order.status == OrderStatus.SUBMIT_UNKNOWN:
        return (Resolution.REJECTED, Resolution.CANCELED)
    # The order itself works, or has ended: only what a replace may have placed is unknown.
    return (Resolution.REJECTED,)


def propose_resolution(order_id: UUID, outcome: str, reason: str, by: Actor) -> Approval:
    """Ask for a second person's word on how an unknown order is to end.

    The proposal is about what is unknown now: should something else of the order be unknown later, it ends nothing.
    Raises ``Problem``: 403 without the right, 400 without a reason or for an unknown outcome, 404 for no such order,
    409 when it is not unknown or cannot end like that.
    """
    by.require(Right.RESOLVE)
    resolution = _resolution(outcome)
    if not reason.strip():
        raise Problem(400, "REASON_MISSING", "Say how you know: the reason is kept with the order.")
    order = Order.objects.filter(id=order_id).first()
    if order is None:
        raise Problem(404, "UNKNOWN_ORDER", "There is no such order.")
    command = unknown_placement(order)
    _refuse_unfit(order, command, resolution)
    parameters = {"outcome": resolution.value, **_subject_matter(order, command)}
    return approvals.request_approval(ACT, str(order_id), reason=reason.strip(), by=by, parameters=parameters)


def carry_out_resolution(approval_id: UUID, by: Actor) -> Order:
    """End an order as a granted proposal states; returns it.

    Raises ``Problem``: 403 without the right, 404 for no such proposal, 409 when it was not granted by a second person,
    was used or has lapsed, when the exchange has spoken meanwhile, or when something else is unknown than was proposed
    about. It is spent only together with the order's end.
    """
    by.require(Right.APPROVE)
    approval = Approval.objects.filter(id=approval_id, act=ACT).first()
    if approval is None:
        raise Problem(404, "UNKNOWN_APPROVAL", "There is no such proposal.")
    resolution = _resolution(approval.parameters["outcome"])
    order_id = UUID(approval.subject)
    with ordered() as locks:
        order = lock_orders(locks, [order_id])[order_id]
        command = unknown_placement(order)
        _refuse_unfit(order, command, resolution)
        _refuse_other_matter(order, command, approval)
        approvals.use(approval_id, ACT, approval.subject, by=by)
        evidence: dict[str, object] = {
            "approval": str(approval_id),
            "outcome": resolution.value,
            "reason": approval.reason,
            "proposed_by": approval.requested_by,
            "rounds": [str(pk) for pk in order.absence_rounds.order_by("id").values_list("id", flat=True)],
        }
        record("order.resolved_by_hand", "order", order.id, by, evidence=evidence)
        proof = f"resolved:{resolution.value}:{approval_id}"
        if resolution is Resolution.REJECTED and command is not None:
            row = placement_of(command)
            end_never_accepted(order, command, row, proof, RESOLVED_BY_HAND, approval.reason, by, evidence=evidence)
        else:
            _end_as_canceled(order, proof, approval.reason, by, evidence)
        fault_hooks.reach("before_resolution_commit")
    fault_hooks.reach("after_resolution")
    return order


@approvals.carries_out(ACT)
def carry_out(approval: Approval, by: Actor) -> str:
    """The same, for whoever decides on approvals of any kind; returns a sentence."""
    order = carry_out_resolution(approval.id, by)
    return f"Order {order.id} was resolved by hand and is {order.status}."


@approvals.explains(ACT)
def what_an_approved_resolution_does(approval: Approval) -> list[str]:
    """What approving a proposed resolution does as things stand, in sentences."""
    order = Order.objects.filter(id=approval.subject).first()
    if order is None:
        return ["Nothing: there is no such order."]
    command, resolution = unknown_placement(order), _resolution(approval.parameters["outcome"])
    try:
        _refuse_unfit(order, command, resolution)
        _refuse_other_matter(order, command, approval)
    except Problem as problem:
        return [f"Nothing, it will be refused: {problem.detail}"]
    return [*what_a_resolution_does(order, resolution), WORD_OF_THE_EXCHANGE]


def what_a_resolution_does(order: Order, resolution: Resolution) -> list[str]:
    """What an outcome that the order allows does to it, in sentences."""
    if resolution is Resolution.CANCELED:
        return [
            f"The order ends canceled, filled {plain(order.filled_quantity)}: it worked and works no more.",
            RELEASED,
        ]
    if order.status == OrderStatus.SUBMIT_UNKNOWN:
        return ["The order ends rejected: the exchange never accepted it.", RELEASED]
    command = unknown_placement(order)
    if command is not None and command.kind == CommandKind.REPLACE:
        return [
            "The replace is over and placed nothing: the order goes on as what was sent before stands.",
            "What is reserved for the new exchange order is released.",
        ]
    return ["The rest of the replace was never accepted: the order ends canceled with what is filled.", RELEASED]


def _resolution(outcome: str) -> Resolution:
    try:
        return Resolution(outcome)
    except ValueError:
        raise Problem(
            400, "UNKNOWN_OUTCOME", f"The outcome is one of {', '.join(each.value for each in Resolution)}."
        ) from None


def _refuse_unfit(order: Order, command: Command | None, resolution: Resolution) -> None:
    possible = _possible(order, command)
    if not possible:
        raise Problem(409, "NOT_UNKNOWN", f"The order is {order.status} and nothing about it is unknown.")
    if resolution not in possible:
        stated = " or ".join(each.value for each in possible)
        raise Problem(409, "OUTCOME_NOT_POSSIBLE", f"The order is {order.status}: it can be resolved as {stated}.")


def _subject_matter(order: Order, command: Command | None) -> dict[str, str]:
    """What a proposal made now is about, as its parameters say it."""
    row, what = _at_stake(order, command)
    return {"exchange_order": str(row.id), "what": what}


def _refuse_other_matter(order: Order, command: Command | None, approval: Approval) -> None:
    """A person's word about one lost request says nothing about another one of the same order."""
    matter = _subject_matter(order, command)
    if any(approval.parameters.get(name) != value for name, value in matter.items()):
        said = "Something else of the order is unknown now than when it was proposed: propose again."
        raise Problem(409, "NOT_AS_PROPOSED", said)


def _end_as_canceled(order: Order, proof: str, reason: str, by: Actor, evidence: dict[str, object]) -> None:
    """It worked once and works no more: canceled with what was filled. The caller holds the lock."""
    row = current_exchange_order(order)
    row.end_proof = proof[:64]
    row.save(update_fields=["end_proof"])
    order.reason, order.detail = RESOLVED_BY_HAND, reason[:512]
    order.move(OrderStatus.CANCELED, by, evidence=evidence)
    order.version += 1
    order.updated_at = clock.now()
    order.save()
    set_reservation(order, row)
    finish_commands(order, by=by)
    notify_after_commit(order.id)
