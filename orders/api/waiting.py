"""``?wait=``: hold a request until its order has moved, without ever starving the others of threads."""

from __future__ import annotations

import threading
from uuid import UUID

from django.conf import settings

from execution_project.common import clock
from execution_project.common.problems import Problem
from orders.lifecycle import UNDECIDED, OrderStatus
from orders.models import Order, OrderType, TimeInForce
from orders.notifications import POLL_S, listener

MAX_WAIT_S = 10
# At most half of a web process's threads wait; beyond that the answer is 202 at once.
_places = threading.BoundedSemaphore(max(1, settings.EXEC_WEB_THREADS // 2))


def parse_wait(text: str | None) -> int:
    """Seconds to wait from the query, 0..10; raises ``Problem`` 400."""
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit() and int(text) <= MAX_WAIT_S):
        raise Problem(400, "INVALID_WAIT", f"wait is whole seconds from 0 to {MAX_WAIT_S}.")
    return int(text)


def wait_until_decided(order_id: UUID, seconds: int) -> Order | None:
    """The order once it has left pending and submitting, or None when the time or the waiting places ran out.

    An order that cannot rest (MARKET, IOC, FOK) is waited for until its end.
    """
    if seconds == 0 or not _places.acquire(blocking=False):
        return None
    moved = listener.register(order_id)
    try:
        deadline = clock.monotonic() + seconds
        while True:
            moved.clear()
            order = Order.objects.select_related("account", "instrument", "strategy").get(id=order_id)
            # What cannot rest and is "open" is being filled, or is asked for its fills: BTCTurk's answer has none.
            never_rests = order.type == OrderType.MARKET or order.time_in_force in {TimeInForce.IOC, TimeInForce.FOK}
            filling = never_rests and order.status in {OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED}
            if order.status not in UNDECIDED and not filling:
                return order
            left = deadline - clock.monotonic()
            if left <= 0:
                return order if filling else None
            moved.wait(min(left, POLL_S))
    finally:
        listener.forget(order_id, moved)
        _places.release()
