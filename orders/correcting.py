"""Carrying out the correction of a fill: the books, and the order that it filled, under the order's lock.

What an order counts as booked is what its fills stand for, so a correction moves it likewise: reservation, status and
filled quantity follow by the one way there is (``orders.ingest.refresh``).
"""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.approvals import carries_out, use
from execution_project.common.locking import ordered
from execution_project.common.models import Approval
from orders.ingest import lock_orders, refresh
from orders.models import ExchangeOrder, Order
from orders.notifications import notify_after_commit
from positions.correcting import CORRECT_FILL, Change, correct_fill, fill_of, stood_of, wanted_of


@carries_out(CORRECT_FILL)
def _correct_approved(approval: Approval, by: Actor) -> str:
    fill, to = fill_of(UUID(approval.subject)), wanted_of(approval)
    with ordered() as locks:
        order = None if fill.order_id is None else lock_orders(locks, [fill.order_id]).get(fill.order_id)
        change = correct_fill(
            locks, fill, to, reason=approval.reason, approval_id=approval.id, by=by, stood=stood_of(approval)
        )
        if order is not None:
            _follow(order, fill.client_order_id, change, by)
        use(approval.id, CORRECT_FILL, approval.subject, by=by)
    return f"The fill {fill.trade_id} is {'corrected' if to.quantity else 'taken back'}."


def _follow(order: Order, client_order_id: str, change: Change, by: Actor) -> None:
    """Count the fill in its order as it stands now; the caller holds the order's lock."""
    rows = list(order.exchange_orders.order_by("generation"))
    for row in rows:
        if row.client_order_id == client_order_id:
            _count_anew(row, change.quantity, change.quote_quantity)
            others_ended = all(other is row or other.end_proof or other.planned for other in rows)
            if row.end_proof.startswith("booked:") and others_ended:
                _doubt_its_end(row)
    order.version += 1
    order.updated_at = clock.now()
    refresh(order, rows, [], by=by)
    notify_after_commit(order.id)


def _count_anew(row: ExchangeOrder, quantity: Decimal, quote: Decimal) -> None:
    """``quantity`` and ``quote``: by how much the fill became more, negative when it became less."""
    says_end = row.reported is not None and row.reported.is_end
    if says_end and row.cumulative_quantity == row.booked_quantity:
        # It is asked for no more, and two persons say what was traded: nothing of it is still to come.
        row.cumulative_quantity += quantity
        row.cumulative_quote = None if row.cumulative_quote is None else row.cumulative_quote + quote
    row.booked_quantity += quantity
    row.booked_quote += quote


def _doubt_its_end(row: ExchangeOrder) -> None:
    """That it was filled whole was concluded from the books; without the exchange's word it is asked for again."""
    if row.quantity is not None and row.booked_quantity < row.quantity:
        says_end = row.reported is not None and row.reported.is_end
        row.end_proof = f"reported:{row.reported_status}" if says_end else ""
