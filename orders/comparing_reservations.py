"""Every live reservation is computed anew from its order's facts, on a schedule, and compared with what is stored.

A difference is a defect: it is set right under the order's lock, and told by an event and in the log.
"""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any

from django.db.models import Exists, OuterRef, Q

from execution_project.common.actors import engine
from execution_project.common.events import record
from execution_project.common.locking import ordered
from execution_project.common.money import plain
from orders.ingest import lock_orders
from orders.models import ExchangeOrder
from orders.reserving import described, set_reservation, what_facts_require
from risk.models import Reservation

log = logging.getLogger(__name__)


def compare_reservations() -> int:
    """Compare all that may still hold something; returns how many were set right. Looks without locks first."""
    holding = Reservation.objects.filter(Q(live=True) | Q(amount__gt=0) | Q(exposure__gt=0))
    rows = ExchangeOrder.objects.select_related("order__account", "order__instrument", "order__strategy").filter(
        Q(end_proof="") | Exists(holding.filter(exchange_order_id=OuterRef("id")))
    )
    stored = {row.exchange_order_id: row for row in holding}
    suspects = [row for row in rows if _differences(row, stored.get(row.id))]
    return sum(_set_right(row) for row in suspects)


def _differences(row: ExchangeOrder, stored: Reservation | None) -> dict[str, list[str | None]]:
    """Column → [stored, required], of those that differ."""
    wanted = described(row.order) | what_facts_require(row.order, row)
    found = {name: None if stored is None else getattr(stored, name) for name in wanted}
    return {name: [_text(found[name]), _text(value)] for name, value in wanted.items() if found[name] != value}


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return plain(value) if isinstance(value, Decimal) else str(value)


def _set_right(seen: ExchangeOrder) -> bool:
    by = engine("reservations", "compare")
    with ordered() as locks:
        order = lock_orders(locks, [seen.order_id])[seen.order_id]
        row = ExchangeOrder.objects.get(id=seen.id)
        row.order = order
        differences = _differences(row, Reservation.objects.filter(exchange_order_id=row.id).first())
        if not differences:
            return False
        set_reservation(order, row)
        Reservation.objects.filter(exchange_order_id=row.id).update(**described(order))
        evidence = {"client_order_id": row.client_order_id, "differences": differences}
        record("reservation.corrected", "order", order.id, by, evidence=evidence)
    log.error("the reservation of %s was not what its facts require: %s", row.client_order_id, differences)
    return True
