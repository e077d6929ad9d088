"""Balances: free + locked per asset against the ledger's ``exchange`` book."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Q, Sum

from exchanges.models import Account
from exchanges.reports import ReadFailed
from exchanges.syncing import store_balances
from execution_project.common import fault_hooks
from execution_project.common.money import plain
from orders.breaks import Finding
from orders.models import BreakKind, Severity
from orders.reconciliation.outcome import Run
from positions.models import Book, LedgerEntry

AROUND_BALANCE = timedelta(seconds=15)
"""A fill this close before the question may be in the balance or not: clocks differ and reads lag."""
ZERO = Decimal(0)


def compare_balances(run: Run, asked_at: datetime) -> datetime:
    """Returns until when the balances are compared. Raises ``ReadFailed``."""
    try:
        reports = run.adapter.balances(now_ms=run.now_ms())
    except ReadFailed:
        _negative(run, _ledger(run.account, asked_at)[0])  # what the ledger says needs no answer
        raise
    fault_hooks.reach("reconcile_balances_read")
    if not run.dry_run:
        store_balances(run.account, reports, asked_at)
    reported = {report.asset: report.free + report.locked for report in reports}
    ledger, recent = _ledger(run.account, asked_at)
    differing: set[str] = set()
    for asset in sorted({*reported, *ledger}):
        books, told = ledger.get(asset, ZERO), reported.get(asset, ZERO)
        if explained(told - books, recent.get(asset, [])):
            continue
        differing.add(asset)
        run.found(
            "balances",
            Finding(
                BreakKind.BALANCE_MISMATCH,
                Severity.WARNING,
                asset,
                expected=plain(books),
                observed=plain(told),
                difference=told - books,
                evidence={"as_of": asked_at.isoformat(), "recent_moves": [plain(m) for m in recent.get(asset, [])]},
                confirm_after=2,
            ),
        )
    run.ended(BreakKind.BALANCE_MISMATCH, differing, "Ledger and balance are equal.", {"as_of": asked_at.isoformat()})
    _negative(run, ledger)
    return asked_at


def _negative(run: Run, ledger: dict[str, Decimal]) -> None:
    """Assets of which the ledger holds less than nothing; ends the breaks of those of which it does no more."""
    negative = {asset: books for asset, books in ledger.items() if books < 0}
    for asset, books in sorted(negative.items()):
        run.found(
            "balances",
            Finding(
                BreakKind.NEGATIVE_INVENTORY,
                Severity.BLOCKING,
                asset,
                expected="at least 0",
                observed=plain(books),
                difference=books,
            ),
        )
    held = {asset: plain(books) for asset, books in ledger.items()}
    run.ended(BreakKind.NEGATIVE_INVENTORY, negative, "The ledger holds it.", {"ledger": held})


def explained(difference: Decimal, recent: list[Decimal]) -> bool:
    """Whether a difference (reported − books) is exactly that the last of the recent moves, oldest first, are not in
    the reported balance yet. Pure."""
    late = ZERO
    if difference == 0:
        return True
    for move in reversed(recent):
        late -= move
        if difference == late:
            return True
    return False


def _ledger(account: Account, as_of: datetime) -> tuple[dict[str, Decimal], dict[str, list[Decimal]]]:
    """What the account holds by its ledger, per asset, and the moves that a balance of ``as_of`` may not have."""
    totals: dict[str, Decimal] = defaultdict(Decimal)
    entries = LedgerEntry.objects.filter(account=account, book=Book.EXCHANGE)
    moves: dict[str, dict[tuple[datetime, object], Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    young = Q(kind="fill") & (Q(posted_at__gt=as_of) | Q(effective_at__gt=as_of - AROUND_BALANCE))
    for row in entries.exclude(young).values("asset").annotate(total=Sum("amount")):
        totals[row["asset"]] += row["total"]
    for asset, at, fill_id, amount in entries.filter(young).values_list("asset", "effective_at", "fill_id", "amount"):
        totals[asset] += amount
        moves[asset][at, fill_id] += amount
    ordered = {
        asset: [amount for _, amount in sorted(found.items(), key=lambda item: (item[0][0], str(item[0][1])))]
        for asset, found in moves.items()
    }
    return dict(totals), ordered
