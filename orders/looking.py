"""Asking about one order of ours: what a look shows, after an answer that tells too little and where an id is missing.

Looks after cancels and replaces are not made by who sends them but through ``orders.queues.probe_queue``: one that the
exchange does not answer stands before no other cancel.
"""

from __future__ import annotations

import logging
from uuid import UUID

from exchanges.adapters import ExchangeAdapter
from exchanges.capabilities import CAPABILITIES
from exchanges.connections import adapter_for, urgent
from exchanges.host_clock import exchange_now_ms
from exchanges.models import Account
from exchanges.reports import Evidence, Outcome, OutcomeKind, ReadFailed, Report
from execution_project.common import clock
from execution_project.common.actors import engine
from execution_project.common.chores import ring_chore
from execution_project.common.doorbell import ring
from execution_project.common.locking import ordered
from orders.answers import record_look
from orders.claiming import current_exchange_order
from orders.ingest import ingest, lock_orders
from orders.lifecycle import CommandStatus
from orders.models import Attempt, Command, CommandKind, ExchangeOrder, Order
from orders.queues import cancel_queue, probe_queue

log = logging.getLogger(__name__)


def look_up(adapter: ExchangeAdapter, account: Account, symbol: str, row: ExchangeOrder) -> tuple[Report, ...]:
    """The exchange's word on one exchange order, with its trades when they are not all booked. May raise
    ``ReadFailed``; empty when the exchange knows no such order, which proves nothing."""
    first = row.attempts.order_by("stamp_ms").values_list("stamp_ms", flat=True).first()
    report = adapter.query_order(
        symbol,
        client_order_id=row.client_order_id,
        exchange_order_id=row.exchange_order_id or None,
        now_ms=exchange_now_ms(account),
        since_ms=first,
    )
    if report is None:
        return ()
    if report.cumulative_quantity <= row.booked_quantity:
        return (report,)
    trades = adapter.order_trades(symbol, report.exchange_order_id, now_ms=exchange_now_ms(account))
    return (report, *trades)


def ask_after(attempt: Attempt) -> tuple[Report, ...]:
    """The exchange's word on the exchange order that an attempt was about; empty when it does not answer."""
    row = ExchangeOrder.objects.get(id=attempt.command.exchange_order_id)
    order = attempt.command.order
    try:
        with urgent():
            return look_up(adapter_for(order.account), order.account, order.instrument.symbol, row)
    except ReadFailed as error:
        log.warning("order %s could not be asked: %s", row.client_order_id, error)
        return ()


def look_after(attempt_id: UUID) -> tuple[Report, ...]:
    """Look after an answered cancel or replace that waits for it, and close it by what is seen; returns that.

    Nothing to do when somebody looked before, or when it was asked again since.
    """
    attempts = Attempt.objects.select_related("command__order__account", "command__order__instrument")
    attempt = attempts.get(id=attempt_id)
    if attempt.command.status != CommandStatus.CLAIMED or attempt.command.fence != attempt.fence:
        return ()
    seen = ask_after(attempt)
    # The reports of the answer itself are booked since it came.
    answered = Outcome(OutcomeKind(attempt.outcome), Evidence("", "", {}), code=attempt.code, message=attempt.message)
    record_look(attempt.id, answered, seen)
    return seen


def lacks_exchange_id(command: Command) -> bool:
    """Whether a cancel or replace names only the exchange's id, of an order that was sent and whose id is not known."""
    if not CAPABILITIES[command.order.account.exchange].cancel_needs_exchange_id:
        return False
    row = current_exchange_order(command.order)
    return not row.exchange_order_id and row.attempts.exists()


def ring_find(command: Command) -> bool:
    """Have the exchange's id of a command's order looked for; whether that rang."""
    order_id = str(command.order_id)
    queue = probe_queue(command.order.account.exchange)
    return ring_chore(queue, f"find:{order_id}", "orders.tasks.find_exchange_id", order_id)


def find_exchange_id(order_id: UUID) -> bool:
    """Look for the exchange's id of an order, and ring the cancels and replaces that wait for it; whether it is known
    now. Raises ``ReadFailed``."""
    order = Order.objects.select_related("account", "instrument").get(id=order_id)
    row = current_exchange_order(order)
    if not row.exchange_order_id:
        with urgent():
            reports = look_up(adapter_for(order.account), order.account, order.instrument.symbol, row)
        ingest(order.account, reports, by=engine("sender", "find the exchange's id"))
        row = current_exchange_order(order)
    if not row.exchange_order_id:
        return False
    with ordered() as locks:
        lock_orders(locks, [order_id])
        waiting = Command.objects.filter(
            order_id=order_id, kind__in=[CommandKind.CANCEL, CommandKind.REPLACE], status=CommandStatus.QUEUED
        )
        for command in waiting:
            ring(cancel_queue(order.account.exchange), f"orders.tasks.{command.kind}", str(command.id))
        waiting.update(not_before=None, rung_at=clock.now())
    return True
