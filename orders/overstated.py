"""Quantity that an exchange reported of an order and takes back.

Cumulative quantities only grow, for a word may be stale. One that was too high would stay above the trades for ever and
keep the account's exposure from growing. It is lowered when the exchange says that the order has ended, and its trades
add up to exactly what it says then: the same check that settles an order.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from uuid import UUID

from exchanges.reports import OrderReport, TradeReport
from execution_project.common import clock, fault_hooks
from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.locking import ordered
from execution_project.common.money import plain
from orders.ingest import lock_orders, refresh
from orders.models import ExchangeOrder
from orders.notifications import notify_after_commit

ZERO = Decimal(0)


def take_back(
    order_id: UUID, exchange_order_id: UUID, told: OrderReport, trades: Sequence[TradeReport], *, by: Actor
) -> bool:
    """Lower an exchange order's reported quantity to what its end and all its trades say; whether it was lowered.

    ``trades``: all that the exchange lists for the order, each of them booked. The reservation follows.
    """
    quantity = sum((trade.quantity for trade in trades), ZERO)
    quote = sum((trade.quote_quantity for trade in trades), ZERO)
    if not told.status.is_end or told.cumulative_quantity != quantity or told.cumulative_quote not in (None, quote):
        return False
    with ordered() as locks:
        order = lock_orders(locks, [order_id])[order_id]
        rows = list(order.exchange_orders.order_by("generation"))
        row: ExchangeOrder = next(row for row in rows if row.id == exchange_order_id)
        ended = bool(row.end_proof) and row.reported is not None and row.reported.is_end
        if not ended or row.booked_quantity != quantity or row.cumulative_quantity <= quantity:
            return False
        evidence = {
            "exchange_order": row.client_order_id,
            "cumulative_before": plain(row.cumulative_quantity),
            "cumulative": plain(quantity),
            "trades": len(trades),
            "reported": told.status.value,
            "source": told.source,
        }
        record("exchange_order.overstated", "order", order.id, by, evidence=evidence)
        row.cumulative_quantity, row.cumulative_quote = quantity, quote
        order.version += 1
        order.updated_at = clock.now()
        refresh(order, rows, [], by=by)
        notify_after_commit(order.id)
        fault_hooks.reach("before_taking_back_commit")
    fault_hooks.reach("after_taking_back")
    return True
