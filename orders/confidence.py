"""Tells positions what orders and breaks know of them: quantity that is reported and not booked, and open breaks.

A tick of its own, and not a part of ingest or of breaks: their locks and those of positions are taken in other orders.
"""

from __future__ import annotations

from collections import defaultdict

from django.db.models import F

from exchanges.models import Account
from orders.breaks import LISTED
from orders.models import Break, ExchangeOrder
from positions.confidence import set_disputed, set_unbooked
from positions.models import Position


def note_confidence() -> None:
    """Bring ``unbooked`` and ``disputed`` of positions up to date, where there is or was something to say."""
    unbooked: dict[int, set[int]] = defaultdict(set)
    ahead = ExchangeOrder.objects.filter(cumulative_quantity__gt=F("booked_quantity"))
    for account, instrument in ahead.values_list("order__account", "order__instrument").distinct():
        unbooked[account].add(instrument)
    subjects: dict[int, set[str]] = defaultdict(set)
    for account, subject in Break.objects.filter(status__in=LISTED).values_list("account", "subject"):
        # An asset, or a symbol and the exchange's id of an order.
        subjects[account].add(subject.partition(" ")[0])
    flagged = Position.objects.filter(unbooked=True) | Position.objects.filter(disputed=True)
    concerned = {*unbooked, *subjects, *flagged.values_list("account", flat=True)}
    for row in Account.objects.filter(pk__in=concerned):
        of_account = set(Position.objects.filter(account=row).values_list("instrument", flat=True))
        set_unbooked(row, of_account, unbooked[row.pk])
        set_disputed(row, symbols=subjects[row.pk], assets=subjects[row.pk])
