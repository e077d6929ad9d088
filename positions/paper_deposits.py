"""Deposits and withdrawals of paper accounts: flows at the paper exchange and, with open books, in the ledger."""

from __future__ import annotations

from decimal import Decimal

from exchanges.models import Account, PaperFlow
from exchanges.paper.flows import move_in
from execution_project.common.actors import Actor
from execution_project.common.locking import ordered
from positions.models import PostingKind
from positions.posting import Movement, post


def deposit(account: Account, asset: str, amount: Decimal, *, reason: str, by: Actor) -> PaperFlow:
    """Bring ``amount`` of ``asset`` in, or take it out (negative), and book it in the same transaction.

    Before ``open_books`` it becomes part of the opening. Raises ``Problem`` as ``exchanges.paper.flows.move_in``.
    """
    with ordered() as locks:
        flow = move_in(account, asset, amount, reason=reason, by=by)
        if Account.objects.filter(pk=account.pk, books_opened_at__isnull=False).exists():
            kind = PostingKind.DEPOSIT if amount > 0 else PostingKind.WITHDRAWAL
            post(locks, account, [Movement(kind, asset, amount, f"paper flow {flow.pk}: {reason}")], by=by)
    return flow
