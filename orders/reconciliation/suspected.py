"""Fills that one reading of trades did not show: the next one has to reach back to them, or nobody would ever know."""

from __future__ import annotations

from datetime import datetime

from exchanges.models import Account
from orders.models import Break, BreakKind, BreakStatus
from orders.reconciliation.cursors import wanted_cursors
from positions.models import Fill


def suspected_orphans(account: Account) -> dict[str, datetime]:
    """By symbol: when the oldest fill was traded that a reading did not show and no second one has looked for."""
    suspected = Break.objects.filter(account=account, kind=BreakKind.ORPHAN_FILL, status=BreakStatus.SUSPECTED)
    fills = Fill.objects.filter(account=account, id__in=[row.evidence.get("fill") for row in suspected])
    oldest: dict[str, datetime] = {}
    for symbol, traded_at in fills.values_list("instrument__symbol", "traded_at"):
        oldest[symbol] = min(traded_at, oldest.get(symbol, traded_at))
    return oldest


def symbols_to_read_again(account: Account) -> list[str]:
    """Symbols with such a fill whose trades are still read: one that is no longer listed waits for a person."""
    read = {cursor.instrument.symbol for cursor in wanted_cursors(account)}
    return sorted(read & set(suspected_orphans(account)))
