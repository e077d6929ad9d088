"""How breaks age: which kind gets graver when, and by which ages they are counted (docs/risk-controls.md §4). Pure."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from orders.models import BreakKind, Severity

SEVERE = (Severity.BLOCKING, Severity.CRITICAL)
ESCALATES: dict[BreakKind, tuple[timedelta, Severity]] = {
    BreakKind.BALANCE_MISMATCH: (timedelta(minutes=5), Severity.BLOCKING),
    BreakKind.STATUS_MISMATCH: (timedelta(seconds=60), Severity.BLOCKING),
    BreakKind.QTY_MISMATCH: (timedelta(seconds=10), Severity.BLOCKING),
    BreakKind.FEE_MISMATCH: (timedelta(hours=24), Severity.WARNING),
}
"""A break of the kind that is open for so long is at least as grave."""
TWO_PERSONS = frozenset(
    {
        BreakKind.BALANCE_MISMATCH,
        BreakKind.ORPHAN_FILL,
        BreakKind.PRICE_MISMATCH,
        BreakKind.QTY_MISMATCH,
        BreakKind.FEE_MISMATCH,
    }
)
"""Kinds that say that the books hold a wrong amount: their end by hand takes a second person, however mild they are."""
NEW = "new"
AGES: dict[str, timedelta] = {
    "1m": timedelta(minutes=1),
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "1d": timedelta(days=1),
}
"""Buckets by the age that they begin at; younger ones are ``new``."""
BUCKETS = (NEW, *AGES)


def bucket_of(age: timedelta) -> str:
    """The bucket of an age: the last that begins at it or before."""
    return next((name for name, least in reversed(AGES.items()) if age >= least), NEW)


def worse(one: str, other: str) -> Severity:
    """The graver of two severities."""
    order = list(Severity)
    return max(Severity(one), Severity(other), key=order.index)


def arrived(awaited: str | None, so_far: Decimal | None) -> bool:
    """Whether as much is there by now as was awaited when something was first seen missing."""
    return awaited is not None and so_far is not None and so_far >= Decimal(awaited)


def severity_at(kind: str, severity: str, age: timedelta) -> Severity:
    """How grave a break of a kind is at an age, at least as grave as it was."""
    after, at_least = ESCALATES.get(BreakKind(kind), (timedelta.max, Severity(severity)))
    return worse(severity, at_least) if age >= after else Severity(severity)
