"""Breaks: differences between our books and the exchange's, from the first sight to an end that says why.

A break is never plugged: it ends when later facts explain it exactly, or by a person with a reason; a severe one takes
a second person. Every step is an event. While one blocks, its account's exposure may not grow (control 24).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction

from exchanges.freshness import set_blocked_by
from exchanges.models import Account
from execution_project.common import clock, fault_hooks
from execution_project.common.actors import Actor
from execution_project.common.approvals import carries_out, explains, request_approval, use
from execution_project.common.events import record
from execution_project.common.locking import Rank, one_at_a_time, ordered
from execution_project.common.models import Approval
from execution_project.common.money import plain, plain_or_none
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from orders.break_rules import ESCALATES, SEVERE, TWO_PERSONS, arrived, severity_at, worse
from orders.models import Break, BreakKind, BreakStatus, Order, Severity
from positions.posting import book_transfer
from risk.trading_state import halt

RESOLVE_BREAK = "resolve_break"
LISTED = (BreakStatus.OPEN, BreakStatus.ACKNOWLEDGED)

_OF_A_COMPARISON = (
    *("rounds", "severity", "expected", "observed", "difference", "order", "evidence", "last_seen_at", "opened_at"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference that one comparison saw. ``confirm_after``: how many rounds in a row must see the same;
    ``lasting``: instead, for how long there must be one, of whatever size. ``so_far`` and ``awaited``: amounts of what
    arrives bit by bit; once as much is there as was awaited at first, that time begins anew."""

    kind: BreakKind
    severity: Severity
    subject: str
    expected: str = ""
    observed: str = ""
    difference: Decimal | None = None
    order: Order | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    confirm_after: int = 1
    lasting: timedelta | None = None
    so_far: Decimal | None = None
    awaited: Decimal | None = None


def open_or_touch(account: Account, found: Finding, *, by: Actor) -> Break:
    """Note a difference: a new break, or that the one there was seen again.

    One that must be confirmed stays ``suspected`` until it was seen ``confirm_after`` times in a row unchanged, or for
    as long as ``lasting``.
    """
    now = clock.now()
    with transaction.atomic():
        _own_breaks(account.pk)
        row = (
            Break.objects.filter(account=account, kind=found.kind, subject=found.subject)
            .exclude(status=BreakStatus.RESOLVED)
            .first()
        )
        opens = False
        if row is None:
            row = Break(account=account, kind=found.kind, subject=found.subject, opened_at=now, rounds=0)
            row.status = BreakStatus.SUSPECTED
        same = (row.difference, row.observed if found.difference is None else "") == (
            found.difference,
            found.observed if found.difference is None else "",
        )
        changed = row.status in LISTED and not same
        before = plain_or_none(row.difference)
        row.rounds = row.rounds + 1 if same or row.rounds == 0 else 1
        row.severity = found.severity if row.status == BreakStatus.SUSPECTED else worse(row.severity, found.severity)
        row.expected, row.observed, row.difference = found.expected[:128], found.observed[:128], found.difference
        _count_time(row, found)
        row.order, row.last_seen_at = found.order, now
        lasted = None if found.lasting is None else now - row.opened_at >= found.lasting
        confirmed = row.rounds >= found.confirm_after if lasted is None else lasted
        if row.status == BreakStatus.SUSPECTED and confirmed:
            row.status, row.opened_at, opens = BreakStatus.OPEN, now, True
        graver = severity_at(row.kind, row.severity, now - row.opened_at)
        escalates = row.status in LISTED and graver != row.severity
        if escalates:
            row.severity = graver
        # Of a row that is there, what a comparison says and nothing else.
        row.save(update_fields=None if row._state.adding else [*_OF_A_COMPARISON, *(["status"] if opens else [])])
        if opens:
            _record("break.opened", row, by)
        elif changed:
            _record("break.changed", row, by, difference_before=before)
        if escalates:
            _record("break.escalated", row, by)
        if row.status in LISTED:
            block_by_breaks(account)
        fault_hooks.reach("before_break_commit")
    fault_hooks.reach("after_break")
    return row


def _count_time(row: Break, found: Finding) -> None:
    """Take over the evidence, and of a suspicion of what arrives bit by bit from when on it counts."""
    awaited, row.evidence = row.evidence.get("awaited"), found.evidence
    if found.awaited is None or row.status != BreakStatus.SUSPECTED:
        return
    if arrived(awaited, found.so_far):
        # What was missing at first has come; what is missing now is another thing.
        row.opened_at, awaited = clock.now(), None
    row.evidence = {**found.evidence, "awaited": awaited or plain(found.awaited)}


def escalate(*, by: Actor) -> int:
    """Make graver what is open for longer than its kind may be, seen again or not; returns how many breaks."""
    count = 0
    for row in Break.objects.filter(status__in=LISTED, kind__in=ESCALATES).order_by("id"):
        if severity_at(row.kind, row.severity, age_of(row)) == row.severity:
            continue
        with transaction.atomic():
            _own_breaks(row.account_id)
            row = Break.objects.select_related("account").get(id=row.id)
            graver = severity_at(row.kind, row.severity, age_of(row))
            if row.status not in LISTED or graver == row.severity:
                continue
            row.severity = graver
            row.save(update_fields=["severity"])
            _record("break.escalated", row, by)
            block_by_breaks(row.account)
            count += 1
    return count


def halt_before(account: Account, found: Finding, *, by: Actor) -> bool:
    """Halt the account for a critical difference that is no break yet; returns whether it did.

    Called before the break is written, in a transaction of its own: a crash in between finds the difference again.
    """
    known = Break.objects.filter(account=account, kind=found.kind, subject=found.subject, status__in=LISTED)
    if found.severity != Severity.CRITICAL or known.exists():
        return False
    halt("account", account.name, reason=f"{BreakKind(found.kind).label}: {found.subject}", by=by)
    return True


def no_longer_seen(
    account: Account,
    kind: BreakKind,
    seen: Collection[str],
    *,
    by: Actor,
    explanation: str,
    evidence: dict[str, Any],
    prefix: str = "",
) -> int:
    """End the breaks of a kind that a complete comparison no longer sees: later facts explain them exactly.

    ``seen``: the subjects that it did see; ``prefix``: it looked only at subjects that begin so. Suspicions that were
    not confirmed are dropped. Returns how many breaks.
    """
    ended = 0
    with transaction.atomic():
        _own_breaks(account.pk)
        gone = Break.objects.filter(account=account, kind=kind).exclude(status=BreakStatus.RESOLVED)
        for row in gone.filter(subject__startswith=prefix).exclude(subject__in=seen):
            if row.status == BreakStatus.SUSPECTED:
                row.delete()
                continue
            row.evidence = {**row.evidence, "explained": evidence}
            _end(row, explanation, by)
            ended += 1
        if ended:
            block_by_breaks(account)
        fault_hooks.reach("before_break_end_commit")
    fault_hooks.reach("after_break_end")
    return ended


def open_subjects(account: Account, kinds: Collection[BreakKind], prefix: str = "") -> set[tuple[str, str]]:
    """(kind, subject) of what is suspected or open of these kinds; ``prefix``: of subjects that begin so."""
    rows = Break.objects.filter(account=account, kind__in=kinds, subject__startswith=prefix)
    return set(rows.exclude(status=BreakStatus.RESOLVED).values_list("kind", "subject"))


def acknowledge(break_id: UUID, owner: str, by: Actor) -> Break:
    """Name who looks after an open break. Raises ``Problem``: 404, 409 when it has ended, 403 without the right."""
    by.require(Right.RESOLVE)
    if not 0 < len(owner) <= 128:
        raise Problem(400, "INVALID_OWNER", "owner: who looks after it, 1 to 128 characters.")
    with transaction.atomic():
        row = _locked(break_id)
        row.status, row.owner = BreakStatus.ACKNOWLEDGED, owner
        row.save(update_fields=["status", "owner"])
        _record("break.acknowledged", row, by, owner=owner)
    return row


@dataclass(frozen=True, slots=True)
class Resolving:
    """What a wish to resolve came to: the ended break, or the approval that a severe one waits for."""

    row: Break
    approval: Approval | None


def needs_second_person(row: Break) -> bool:
    """Whether its end by hand is only proposed: it is severe, or it says that the books hold a wrong amount."""
    return row.severity in SEVERE or row.kind in TWO_PERSONS


def resolve(break_id: UUID, reason: str, by: Actor) -> Resolving:
    """End a break by hand; a severe one, or one about amounts in the books, is only proposed until a second person
    approves.

    The approved end of a balance mismatch books the difference as a transfer. Otherwise no books change, and the next
    comparison opens it again if the difference is still there. Raises ``Problem``: 400 for a reason of less than 10
    characters, 404, 409 when it has ended, 403 without the right.
    """
    by.require(Right.RESOLVE)
    reason = reason.strip()
    if not 10 <= len(reason) <= 400:
        raise Problem(400, "INVALID_REASON", "reason: say in 10 to 400 characters what explains the difference.")
    with transaction.atomic():
        row = _locked(break_id)
        ends = not needs_second_person(row)
        if ends:
            _end(row, reason, by)
            block_by_breaks(row.account)
            fault_hooks.reach("before_break_end_commit")
    if ends:
        fault_hooks.reach("after_break_end")
        return Resolving(row, None)
    parameters = {"kind": row.kind, "subject": row.subject, "difference": plain_or_none(row.difference)}
    return Resolving(row, request_approval(RESOLVE_BREAK, str(row.id), reason=reason, by=by, parameters=parameters))


@carries_out(RESOLVE_BREAK)
def _resolve_approved(approval: Approval, by: Actor) -> str:
    row = Break.objects.select_related("account").get(id=approval.subject)
    difference = approval.parameters["difference"]
    books = row.kind == BreakKind.BALANCE_MISMATCH and difference is not None
    with ordered() as locks:
        if books:
            # Holdings come before the breaks in the order of locks. Account and asset of a break never change; a
            # difference that did takes the booking back.
            told = f"approval {approval.id}"
            book_transfer(locks, row.account, row.subject, Decimal(difference), reference=told, by=by)
        row = _locked(row.id)
        if plain_or_none(row.difference) != difference:
            raise Problem(409, "BREAK_CHANGED", "The difference is another one by now: look at it and propose again.")
        use(approval.id, RESOLVE_BREAK, approval.subject, by=by)
        _end(row, f"{approval.reason} (asked by {approval.requested_by})", by)
        block_by_breaks(row.account)
        fault_hooks.reach("before_break_end_commit")
    fault_hooks.reach("after_break_end")
    booked = " Its difference is booked as a transfer." if books else ""
    return f"The break {row.kind} {row.subject} is resolved.{booked}"


@explains(RESOLVE_BREAK)
def what_an_approved_end_does(approval: Approval) -> list[str]:
    """What approving a proposed end does as things stand, in sentences."""
    row = Break.objects.select_related("account").filter(id=approval.subject).first()
    if row is None:
        return ["Nothing: there is no such break."]
    if row.status == BreakStatus.RESOLVED:
        return [f"Nothing: it was resolved already: {row.resolution}"]
    if plain_or_none(row.difference) != approval.parameters["difference"]:
        was, now = approval.parameters["difference"], plain_or_none(row.difference)
        return [
            f"Nothing: the difference was {was} when this was proposed and is {now} now. It has to be proposed again."
        ]
    return [
        f"The break ends: {BreakKind(row.kind).label}, {row.subject} on {row.account.name}.",
        *what_an_end_does(row),
    ]


def what_an_end_does(row: Break) -> list[str]:
    """What the end of a break by hand does to books and account, in sentences."""
    if row.kind == BreakKind.BALANCE_MISMATCH and row.difference is not None:
        books = (
            f"{plain(row.difference)} {row.subject} is booked as a transfer, so that the books of {row.account.name}"
            " hold what the exchange showed. This is for deposits, withdrawals, rebates and airdrops only."
        )
    elif row.kind in TWO_PERSONS:
        books = (
            "No books change by this end. A fill that is booked wrongly is put right by correct_fill, by two persons:"
            " on its page, or by the command. The break ends by itself when the exchange shows the trade as the fill"
            " then stands; a reading that still differs opens it again."
        )
    elif row.kind == BreakKind.STALE_RECON:
        books = (
            "No books change, and nothing is compared by it: orders that increase are denied until the part is"
            " compared, which ends the break by itself. Until then it is opened again."
        )
    else:
        books = "No books change; the next comparison opens it again if the difference is still there."
    sentences = [books]
    if row.severity in SEVERE:
        sentences.append("It no longer keeps the account's exposure from growing; another open break may.")
    return sentences


def block_by_breaks(account: Account) -> None:
    """Bring what control 24 reads up to date; in the transaction of whoever changed a break."""
    severe = Break.objects.filter(account=account, status__in=LISTED, severity__in=SEVERE).order_by("opened_at").first()
    set_blocked_by(account, "" if severe is None else f"{severe.kind} {severe.subject}")


def listed_breaks(accounts: Iterable[str] | None = None) -> Any:
    """Every break that is or was open, newest first; ``accounts``: of these alone."""
    rows = Break.objects.exclude(status=BreakStatus.SUSPECTED).select_related("account", "order").order_by("-id")
    return rows if accounts is None else rows.filter(account__name__in=accounts)


def age_of(row: Break) -> timedelta:
    """How long it is open, or was."""
    return (row.resolved_at or clock.now()) - row.opened_at


def _own_breaks(account_id: int) -> None:
    """Until the transaction ends nobody else changes a break of the account."""
    one_at_a_time(f"breaks:{account_id}", Rank.BREAKS)


def _locked(break_id: UUID) -> Break:
    for account_id in Break.objects.filter(id=break_id).values_list("account_id", flat=True):
        _own_breaks(account_id)
    row = Break.objects.select_for_update(no_key=True, of=("self",)).select_related("account").filter(id=break_id)
    found = row.exclude(status=BreakStatus.SUSPECTED).first()
    if found is None:
        raise Problem(404, "UNKNOWN_BREAK", "There is no such break.")
    if found.status == BreakStatus.RESOLVED:
        raise Problem(409, "BREAK_RESOLVED", f"It was resolved already: {found.resolution}")
    return found


def _end(row: Break, resolution: str, by: Actor) -> None:
    row.status, row.resolution = BreakStatus.RESOLVED, resolution[:512]
    row.resolved_by, row.resolved_at = by.name, clock.now()
    row.save()
    _record("break.resolved", row, by, resolution=resolution)


def _record(kind: str, row: Break, by: Actor, **evidence: Any) -> None:
    record(
        kind,
        "break",
        row.id,
        by,
        to_status=row.status,
        evidence={
            "account": row.account.name,
            "kind": row.kind,
            "severity": row.severity,
            "subject": row.subject,
            "expected": row.expected,
            "observed": row.observed,
            "difference": None if row.difference is None else plain(row.difference),
            "found": row.evidence,
            **evidence,
        },
    )
