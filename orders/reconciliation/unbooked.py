"""Quantity that an exchange reports of an order and whose trades are not in the books: it may not last.

Looks at the books alone, so it is also called between two comparisons.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import timedelta
from uuid import UUID

from django.db.models import F

from exchanges.models import Account
from execution_project.common.actors import Actor
from execution_project.common.money import plain
from orders.breaks import Finding, no_longer_seen, open_or_touch
from orders.models import Break, BreakKind, BreakStatus, ExchangeOrder, Severity

BLOCKS_AFTER = timedelta(seconds=10)
"""Trades may arrive that much later than the word of them."""


def unbooked_of(account: Account) -> list[ExchangeOrder]:
    """Exchange orders of which more was reported than is booked."""
    rows = ExchangeOrder.objects.filter(cumulative_quantity__gt=F("booked_quantity"), order__account=account)
    return list(rows.select_related("order__instrument").order_by("id"))


def subject_of(row: ExchangeOrder) -> str:
    """How a break names an exchange order."""
    return f"{row.order.instrument.symbol} {row.exchange_order_id or row.client_order_id}"


def subjects_unbooked(account: Account) -> set[str]:
    """The subjects of all of them."""
    return {subject_of(row) for row in unbooked_of(account)}


def finding_of_unbooked(row: ExchangeOrder) -> Finding:
    """The difference as a break that opens once it has lasted."""
    return Finding(
        BreakKind.MISSING_FILL,
        Severity.BLOCKING,
        subject_of(row),
        expected=plain(row.booked_quantity),
        observed=plain(row.cumulative_quantity),
        difference=row.unbooked_quantity,
        order=row.order,
        evidence={"client_order_id": row.client_order_id},
        lasting=BLOCKS_AFTER,
        so_far=row.booked_quantity,
        awaited=row.cumulative_quantity,
    )


def look_for_unbooked(account: Account, *, by: Actor) -> int:
    """Note what is missing of orders, and end the breaks of those of which nothing is; returns how many are missing."""
    rows = unbooked_of(account)
    for row in rows:
        open_or_touch(account, finding_of_unbooked(row), by=by)
    end_booked(account, rows, by=by)
    return len(rows)


def end_booked(account: Account, unbooked: Iterable[ExchangeOrder], *, by: Actor) -> None:
    """End the breaks of orders whose trades have come. What has no order here waits for a reading of its trades."""
    missing = {subject_of(row) for row in unbooked}
    noted = Break.objects.filter(account=account, kind=BreakKind.MISSING_FILL).exclude(status=BreakStatus.RESOLVED)
    gone = list(noted.filter(order__isnull=False).exclude(subject__in=missing).values_list("order", flat=True))
    if gone:
        without_order = set(noted.filter(order__isnull=True).values_list("subject", flat=True))
        no_longer_seen(
            account,
            BreakKind.MISSING_FILL,
            missing | without_order,
            by=by,
            explanation="The trades add up to what the exchange reports.",
            evidence={"booked": {row.client_order_id: plain(row.booked_quantity) for row in _rows_of(gone)}},
        )


def _rows_of(order_ids: Collection[UUID]) -> list[ExchangeOrder]:
    return list(ExchangeOrder.objects.filter(order__in=order_ids).order_by("id"))
