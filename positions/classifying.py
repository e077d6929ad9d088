"""Saying what an unexplained movement was: deposit, withdrawal, own transfer, dust, airdrop or rebate.

The unclassified posting is taken back and one that says what it was is posted at its time. Two persons, because value
and profit move.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings

from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.approvals import carries_out, explains, request_approval, use
from execution_project.common.clock import rfc3339
from execution_project.common.events import record
from execution_project.common.locking import Locks, Rank, one_at_a_time, ordered
from execution_project.common.models import Approval
from execution_project.common.money import parse_decimal, plain, plain_or_none
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from positions import marks
from positions.costing import Move, cut, worth
from positions.facts import in_effect
from positions.folding import lock_inventories, state_at
from positions.models import Inventory, Posting, PostingKind
from positions.posting import Movement, post, reverse
from positions.suspense import recheck_suspense

CLASSIFY = "classify_transfer"
INTO = (
    *(PostingKind.DEPOSIT, PostingKind.WITHDRAWAL, PostingKind.OWN_TRANSFER),
    *(PostingKind.DUST, PostingKind.AIRDROP, PostingKind.REBATE),
)
"""What a movement can be said to have been."""
_IN_ONLY = {PostingKind.DEPOSIT, PostingKind.AIRDROP, PostingKind.REBATE}
CLASSIFIABLE = {
    PostingKind.TRANSFER,
    PostingKind.DEPOSIT,
    PostingKind.WITHDRAWAL,
    PostingKind.AIRDROP,
    PostingKind.REBATE,
}


@dataclass(frozen=True, slots=True)
class Classification:
    """What a movement was.

    ``network_fee``: the positive part of what went out that the network took. ``value``: its worth in the reporting
    currency, positive; None for the mark of its time (an own transfer takes its cost along). ``effective_at``: when it
    moved, None for when it was noted. ``other``: of dust, the posting of what was received for it; of an own transfer
    that arrives, the posting that left the other account.
    """

    kind: PostingKind
    network_fee: Decimal = Decimal(0)
    value: Decimal | None = None
    effective_at: datetime | None = None
    other: UUID | None = None


def posting_of(posting_id: UUID) -> Posting:
    """A posting in effect; raises ``Problem``: 404, 409 when it was taken back."""
    row = Posting.objects.select_related("account").filter(id=posting_id).first()
    if row is None:
        raise Problem(404, "UNKNOWN_POSTING", f"There is no posting {posting_id}.")
    if row.reverses_id is not None or Posting.objects.filter(reverses=row).exists():
        raise Problem(409, "POSTING_REVERSED", "It was classified or taken back already.")
    return row


def propose_classification(posting_id: UUID, to: Classification, *, reason: str, by: Actor) -> Approval:
    """Ask for a second person's word on what a movement was.

    Raises ``Problem``: 403, 404, 409, 400 for a reason of less than 10 characters or what does not fit the movement.
    """
    by.require(Right.RESOLVE)
    row = posting_of(posting_id)
    reason = reason.strip()
    if not 10 <= len(reason) <= 400:
        raise Problem(400, "INVALID_REASON", "reason: say in 10 to 400 characters where the movement can be seen.")
    _check(row, to)
    return request_approval(CLASSIFY, str(row.id), reason=reason, by=by, parameters=_as_parameters(to))


def classify(
    locks: Locks, posting_id: UUID, to: Classification, *, reason: str, approval_id: UUID | None, by: Actor
) -> list[Posting]:
    """Take the posting back and post what it was; raises ``Problem`` as ``propose_classification``."""
    row = posting_of(posting_id)
    if to.kind == PostingKind.OWN_TRANSFER and to.other is not None:
        # Two arrivals of one sending, on two accounts, must not both take what is under way. Before the holdings, and
        # never while they are held.
        one_at_a_time(f"transit:{to.other}", Rank.HOLDINGS)
    other = _check(row, to)
    olds = [row, other] if to.kind == PostingKind.DUST and other is not None else [row]
    lock_inventories(locks, row.account, {old.asset for old in olds})
    for old in olds:
        posting_of(old.id)
        reverse(locks, old, reason=reason, approval_id=approval_id, by=by)
    at = to.effective_at or row.effective_at
    first = Movement(
        to.kind,
        row.asset,
        row.amount,
        row.reference,
        network_fee=to.network_fee,
        value=None if to.value is None else to.value.copy_sign(row.amount),
        effective_at=at,
        reason=reason,
        approval_id=approval_id,
        classifies=row,
    )
    if to.kind == PostingKind.OWN_TRANSFER:
        first = _with_cost_taken_along(row, first, other)
    movements = [first]
    if to.kind == PostingKind.DUST and other is not None:
        exchanged = _worth_of_dust(row, other, to, at)
        movements = [
            replace(first, value=exchanged.copy_sign(row.amount)),
            replace(
                first,
                asset=other.asset,
                amount=other.amount,
                value=exchanged.copy_sign(other.amount),
                network_fee=Decimal(0),
                classifies=other,
            ),
        ]
    posted = post(locks, row.account, movements, by=by)
    record(
        "posting.classified",
        "posting",
        row.id,
        by,
        evidence={
            "account": row.account.name,
            "as": to.kind,
            "reason": reason,
            "posted": [
                {"id": str(new.id), "asset": new.asset, "amount": plain(new.amount), "value": plain_or_none(new.value)}
                for new in posted
            ],
        },
    )
    recheck_suspense(row.account)
    return posted


def _check(row: Posting, to: Classification) -> Posting | None:
    """Whether the classification fits; returns the other posting where one belongs to it."""

    def refuse(detail: str) -> Problem:
        return Problem(400, "INVALID_CLASSIFICATION", detail)

    if row.kind not in CLASSIFIABLE:
        raise refuse(f"A posting of kind {row.kind} is what it is; only movements outside of trading are classified.")
    if to.kind not in INTO:
        raise refuse(f"Say what it was: {', '.join(INTO)}.")
    if to.kind in _IN_ONLY and row.amount < 0:
        raise refuse(f"{plain(row.amount)} {row.asset} went out; that is no {to.kind}.")
    if to.kind == PostingKind.WITHDRAWAL and row.amount > 0:
        raise refuse(f"{plain(row.amount)} {row.asset} came in; that is no withdrawal.")
    if to.network_fee < 0 or (to.network_fee and (row.amount > 0 or to.network_fee > -row.amount)):
        raise refuse("A network fee is a positive part of what went out.")
    if to.value is not None and to.value < 0:
        raise refuse("Give the value as a positive amount of the reporting currency.")
    if to.effective_at is not None and to.effective_at > clock.now():
        raise refuse("It cannot have moved in the future.")
    if to.kind == PostingKind.DUST:
        return _other_of_dust(row, to, refuse)
    arrives = to.kind == PostingKind.OWN_TRANSFER and row.amount > 0
    if not arrives:
        if to.other is not None:
            raise refuse("Another posting belongs to dust, or to an own transfer that arrives.")
        return None
    return _other_of_arrival(row, to, refuse)


def _other_of_dust(row: Posting, to: Classification, refuse: Any) -> Posting:
    if to.other is None:
        raise refuse("Dust is converted into something: name the posting of what was received.")
    other = posting_of(to.other)
    if other.account_id != row.account_id or other.kind not in CLASSIFIABLE or not (row.amount < 0 < other.amount):
        raise refuse("Dust goes out and something else comes in, on one account.")
    return other


def _other_of_arrival(row: Posting, to: Classification, refuse: Any) -> Posting:
    if to.other is None:
        raise refuse("Name the posting by which it left the other account; classify that one first.")
    sent = posting_of(to.other)
    if sent.kind != PostingKind.OWN_TRANSFER or sent.amount > 0 or sent.asset != row.asset:
        raise refuse(f"{to.other} is no own transfer of {row.asset} that went out.")
    if sent.account.mode != row.account.mode:
        raise refuse("Accounts of different modes share no money.")
    if row.amount > in_transit_of(sent):
        raise refuse(f"Only {plain(in_transit_of(sent))} {row.asset} of it is still under way.")
    return sent


def in_transit_of(sent: Posting) -> Decimal:
    """How much of an own transfer that went out has not arrived yet, in units of its asset."""
    arrived = Posting.objects.filter(in_effect(), counterpart=sent)
    left: Decimal = -(sent.amount + sent.network_fee) - sum(arrived.values_list("amount", flat=True), Decimal(0))
    return left


def _with_cost_taken_along(row: Posting, movement: Movement, sent: Posting | None) -> Movement:
    """What goes out takes its cost along, what arrives brings it: nothing is realised but the network's fee."""
    if sent is not None:
        whole, brought = -(sent.amount + sent.network_fee), -(sent.value or Decimal(0))
        value = brought if row.amount == whole else cut(brought * row.amount / whole)
        return replace(movement, value=value, counterpart=sent, value_assumed=sent.value_assumed)
    at = movement.effective_at or row.effective_at
    inventory = Inventory.objects.filter(account_id=row.account_id, asset=row.asset).first()
    state = state_at(row.account_id, row.asset, at, inventory)
    costs = [holder.cost for holder in state.holders.values()]
    pending = any(holder.pending for holder in state.holders.values())
    state.apply(Move(row.asset, row.amount, None, "posting"), None)
    moved = sum(costs, Decimal(0)) - sum((holder.cost for holder in state.holders.values()), Decimal(0))
    sent_on = -(row.amount + movement.network_fee)
    return replace(movement, value=-cut(moved * sent_on / -row.amount), value_assumed=pending)


def _worth_of_dust(row: Posting, other: Posting, to: Classification, at: datetime) -> Decimal:
    """Both sides are worth what was received."""
    if to.value is not None:
        return to.value
    currency = settings.EXEC_REPORTING_CURRENCY
    amount: Decimal = other.amount
    if other.asset == currency:
        return amount
    rate = marks.rates_at(row.account.mode, row.account.exchange, [other.asset], at).get(other.asset)
    if rate is None:
        wanted = f"No mark of {other.asset} is known for {rfc3339(at)}: give the value in {currency}."
        raise Problem(409, "NO_MARK", wanted)
    return worth(amount, rate.price)


@carries_out(CLASSIFY)
def _classify_approved(approval: Approval, by: Actor) -> str:
    to = _of_parameters(approval.parameters)
    with ordered() as locks:
        posted = classify(locks, UUID(approval.subject), to, reason=approval.reason, approval_id=approval.id, by=by)
        use(approval.id, CLASSIFY, approval.subject, by=by)
    return f"{plain(posted[0].amount)} {posted[0].asset} on {posted[0].account.name} is a {to.kind} now."


@explains(CLASSIFY)
def what_a_classification_does(approval: Approval) -> Sequence[str]:
    """What approving would do as things stand, in sentences."""
    try:
        row = posting_of(UUID(approval.subject))
        to = _of_parameters(approval.parameters)
        other = _check(row, to)
    except Problem as problem:
        return [f"Nothing: {problem.detail}"]
    currency = settings.EXEC_REPORTING_CURRENCY
    effects = {
        PostingKind.DEPOSIT: "It enters at its value, as a flow and no profit.",
        PostingKind.WITHDRAWAL: "It leaves at its value, as a flow; the difference to its cost is realised.",
        PostingKind.OWN_TRANSFER: "It takes its cost along; only the network's fee is an expense.",
        PostingKind.DUST: "What was given is disposed of at the value of what was received.",
        PostingKind.AIRDROP: "It is income at its value.",
        PostingKind.REBATE: "It is income at its value.",
    }
    at = rfc3339(to.effective_at or row.effective_at)
    became = f"{plain(row.amount)} {row.asset} on {row.account.name} becomes a {to.kind}, effective {at}."
    sentences = [f"{became} {effects[to.kind]}"]
    if to.network_fee:
        sentences.append(f"{plain(to.network_fee)} {row.asset} of it is a network fee.")
    if to.value is not None:
        sentences.append(f"Its value is {plain(to.value)} {currency}.")
    if other is not None:
        sentences.append(f"It belongs together with {plain(other.amount)} {other.asset} on {other.account.name}.")
    return sentences


def _as_parameters(to: Classification) -> dict[str, Any]:
    return {
        "kind": to.kind.value,
        "network_fee": plain(to.network_fee),
        "value": plain_or_none(to.value),
        "effective_at": None if to.effective_at is None else to.effective_at.isoformat(),
        "other": None if to.other is None else str(to.other),
    }


def _of_parameters(parameters: Mapping[str, Any]) -> Classification:
    value, at, other = parameters["value"], parameters["effective_at"], parameters["other"]
    return Classification(
        PostingKind(parameters["kind"]),
        parse_decimal(parameters["network_fee"]),
        None if value is None else parse_decimal(value),
        None if at is None else datetime.fromisoformat(at),
        None if other is None else UUID(other),
    )
