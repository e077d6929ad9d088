"""Parts of an account's books that were not compared for three intervals: somebody has to look after them.

The gate refuses what increases by itself then (control 24); the break is there so that it has an owner.
"""

from __future__ import annotations

from datetime import datetime

from exchanges.freshness import freshness_of
from exchanges.models import Account
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.clock import rfc3339
from orders.breaks import Finding, no_longer_seen, open_or_touch, open_subjects
from orders.models import BreakKind, Severity
from risk.boot_halt import halted_for_boot_since
from risk.inputs import MAX_RECONCILIATION_AGE, Reconciled


def look_for_stale_parts(account: Account, *, by: Actor) -> list[str]:
    """Note the parts that were not compared in time, and end the breaks of those that were; returns the stale ones."""
    stale = end_compared(account, by=by)
    for part, at in stale.items():
        open_or_touch(
            account,
            Finding(
                BreakKind.STALE_RECON,
                Severity.WARNING,
                part,
                expected=f"compared within {MAX_RECONCILIATION_AGE[part].total_seconds():.0f} s",
                observed="never compared" if at is None else f"last compared at {rfc3339(at)}",
            ),
            by=by,
        )
    return list(stale)


def end_compared(account: Account, *, by: Actor) -> dict[str, datetime | None]:
    """End the breaks of parts that were compared again; returns those that were not, and when they last were."""
    row = freshness_of(account)
    compared = {"orders": row.orders_at, "trades": row.trades_at, "balances": row.balances_at}
    seen = Reconciled(row.orders_at, row.trades_at, row.balances_at)
    stale = {part: compared[part] for part in _stale(account, seen, clock.now())}
    if any(part not in stale for _, part in open_subjects(account, [BreakKind.STALE_RECON])):
        evidence = {part: None if at is None else rfc3339(at) for part, at in compared.items()}
        explanation = "It was compared again."
        no_longer_seen(account, BreakKind.STALE_RECON, stale, by=by, explanation=explanation, evidence=evidence)
    return stale


def _stale(account: Account, compared: Reconciled, now: datetime) -> list[str]:
    """As the gate sees it; an account whose books were opened, or whose start began, just now has its time as well."""
    stale = compared.stale_parts(now)
    if not stale:
        return []
    begun = [at for at in (account.books_opened_at, halted_for_boot_since(account.name)) if at is not None]
    return [part for part in stale if not begun or now - max(begun) > MAX_RECONCILIATION_AGE[part]]
