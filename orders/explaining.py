"""Everything that is known of one order, in one document: what the API shows of it, and what it still holds back,
when it was last looked for, and the rounds in which an order of unknown fate was searched.

Reads only. Times are RFC 3339 in UTC, decimals plain strings; requests and answers are as they were stored, redacted.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q

from execution_project.common.clock import rfc3339
from execution_project.common.money import plain
from orders.api.documents import order_with_history
from orders.history import history_of
from orders.models import ExchangeOrder, Order
from risk.models import Reservation


def find_orders(text: str) -> list[Order]:
    """The orders that an order id, a client order id or an exchange's order id names.

    Two exchanges may give the same number to different orders, so there may be more than one.
    """
    queryset = Order.objects.select_related("account", "instrument", "strategy")
    try:
        return list(queryset.filter(id=UUID(text)))
    except ValueError:
        pass
    if not text:
        # An exchange order that the exchange has not named yet has an empty id.
        return []
    named = ExchangeOrder.objects.filter(Q(client_order_id=text) | Q(exchange_order_id=text))
    return list(queryset.filter(id__in=named.values("order_id")).order_by("id"))


def explanation(order: Order) -> dict[str, Any]:
    """The order with decisions, exchange orders, commands and their attempts, fills, events, reservations and the
    rounds of looking for it with their whole answers; each list oldest first."""
    history = history_of(order)
    names = {row.id: row.client_order_id for row in history.exchange_orders}
    held = Reservation.objects.filter(order_id=order.id).order_by("updated_at")
    document = order_with_history(order, history)
    rounds = zip(document["evidence"], history.evidence, strict=True)
    return {
        **document,
        "created_by": order.created_by,
        "reservations": [_reservation(row, names) for row in held],
        "looked_for": [_looks(row) for row in history.exchange_orders],
        "evidence": [{**shown, "answers": judged.round.answers} for shown, judged in rounds],
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)


def _reservation(row: Reservation, names: dict[UUID, str]) -> dict[str, Any]:
    return {
        "client_order_id": names.get(row.exchange_order_id),
        "asset": row.asset,
        "amount": plain(row.amount),
        "exposure": plain(row.exposure),
        "updated_at": rfc3339(row.updated_at),
    }


def _looks(row: ExchangeOrder) -> dict[str, Any]:
    return {
        "client_order_id": row.client_order_id,
        "last_report_at": _time(row.last_report_at),
        "last_looked_at": _time(row.last_looked_at),
        "looked": row.looked,
        "look_next_at": _time(row.look_next_at),
    }
