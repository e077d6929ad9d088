"""Booking what moved at the exchange without a trade: openings, transfers, deposits and their like, and taking them
back. Every posting has its legs, its value and its place in the fold of holdings; it belongs to no strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.conf import settings

from exchanges.models import Account
from execution_project.common import clock
from execution_project.common.actors import Actor, engine
from execution_project.common.locking import Locks
from positions.accounting import Leg, legs_of_posting, reversed_legs
from positions.costing import worth
from positions.facts import posting_facts, steps_of_postings
from positions.folding import fold_anew, fold_in
from positions.models import LedgerEntry, PendingRate, Posting, PostingKind
from positions.moments import moment_of_posting
from positions.rates import Wanted, store_rates
from positions.suspense import check_suspense


@dataclass(frozen=True, slots=True)
class Movement:
    """One asset's move without a trade, as somebody says it was.

    ``amount`` signed, network fee included; ``network_fee`` the positive part of what went out that was a fee;
    ``value`` in the reporting currency, signed like the amount, None for what the mark of its time says.
    ``effective_at``: when it moved, None for now.
    """

    kind: PostingKind
    asset: str
    amount: Decimal
    reference: str
    network_fee: Decimal = Decimal(0)
    value: Decimal | None = None
    value_assumed: bool = False
    effective_at: datetime | None = None
    reason: str = ""
    approval_id: UUID | None = None
    classifies: Posting | None = None
    counterpart: Posting | None = None


def post(locks: Locks, account: Account, movements: Sequence[Movement], *, by: Actor) -> list[Posting]:
    """Store postings with their legs and rates, and move the unallocated holdings; a constant number of statements."""
    now = clock.now()
    rows = [
        Posting(
            account=account,
            kind=movement.kind,
            asset=movement.asset,
            amount=movement.amount,
            network_fee=movement.network_fee,
            value=movement.value,
            currency=settings.EXEC_REPORTING_CURRENCY,
            value_assumed=movement.value_assumed,
            reference=movement.reference[:128],
            reason=movement.reason[:400],
            posted_by=by.name,
            approval_id=movement.approval_id,
            classifies=movement.classifies,
            counterpart=movement.counterpart,
            effective_at=movement.effective_at or now,
            posted_at=now,
        )
        for movement in movements
        if movement.amount
    ]
    Posting.objects.bulk_create(rows)
    LedgerEntry.objects.bulk_create(_entry(row, leg) for row in rows for leg in _legs(row))
    store_rates(account, [_needs(row) for row in rows])
    fold_in(locks, account, steps_of_postings(posting_facts(rows)))
    return rows


def reverse(locks: Locks, posting: Posting, *, reason: str, approval_id: UUID | None, by: Actor) -> Posting:
    """Take a posting back by one with opposite legs; the holdings are folded as if it had never been."""
    row = Posting.objects.create(
        account=posting.account,
        kind=posting.kind,
        asset=posting.asset,
        amount=-posting.amount,
        network_fee=-posting.network_fee,
        value=None if posting.value is None else -posting.value,
        currency=posting.currency,
        reverses=posting,
        reference=posting.reference,
        reason=reason[:400],
        posted_by=by.name,
        approval_id=approval_id,
        effective_at=posting.effective_at,
        posted_at=clock.now(),
    )
    LedgerEntry.objects.bulk_create(_entry(row, leg) for leg in reversed_legs(_legs(posting)))
    PendingRate.objects.filter(posting=posting).delete()
    fold_anew(locks, posting.account, {posting.asset: moment_of_posting(posting.effective_at, posting.id)})
    return row


def book_opening(
    locks: Locks,
    account: Account,
    amounts: dict[str, Decimal],
    costs: Mapping[str, Decimal] | None = None,
    *,
    by: Actor | None = None,
    effective_at: datetime | None = None,
) -> list[Posting]:
    """Opening entries and unallocated holdings from the exchange's balances at the cut-over.

    ``costs``: reporting currency per unit, by asset; what is not in it enters at its mark, flagged as assumed.
    """
    costs = costs or {}
    currency = settings.EXEC_REPORTING_CURRENCY
    movements = [
        Movement(
            PostingKind.OPENING,
            asset,
            amount,
            "open_books",
            value=worth(amount, costs[asset]) if asset in costs else None,
            value_assumed=asset not in costs and asset != currency,
            effective_at=effective_at,
        )
        for asset, amount in sorted(amounts.items())
    ]
    return post(locks, account, movements, by=by or engine("booking", "the books are opened"))


def book_transfer(
    locks: Locks, account: Account, asset: str, amount: Decimal, *, reference: str, by: Actor | None = None
) -> list[Posting]:
    """What moved at the exchange outside of trading and is not classified yet: units of ``asset``, positive for what
    came in. ``reference`` says on whose word. At its mark, so that it is no profit; unallocated holdings follow."""
    movement = Movement(PostingKind.TRANSFER, asset, amount, reference, value_assumed=True)
    rows = post(locks, account, [movement], by=by or engine("booking", "a difference was explained as a transfer"))
    check_suspense(account)
    return rows


def _needs(row: Posting) -> Wanted:
    known = row.value is not None or row.asset == row.currency
    return Wanted(row, row.effective_at, frozenset() if known else frozenset({row.asset}))


def _legs(row: Posting) -> list[Leg]:
    return legs_of_posting(row.kind, row.asset, row.amount, row.network_fee)


def _entry(row: Posting, leg: Leg) -> LedgerEntry:
    return LedgerEntry(
        account_id=row.account_id,
        asset=leg.asset,
        book=leg.book,
        amount=leg.amount,
        kind=row.kind,
        posting=row,
        reference=row.reference,
        effective_at=row.effective_at,
        posted_at=row.posted_at,
    )
