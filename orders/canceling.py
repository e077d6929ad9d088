"""Canceling: a wish for an end, carried out until the end is proven."""

from __future__ import annotations

from uuid import UUID

from django.db import OperationalError
from django.db.models import QuerySet
from psycopg.errors import LockNotAvailable

from execution_project.common import clock, fault_hooks
from execution_project.common.actors import Actor
from execution_project.common.doorbell import ring
from execution_project.common.events import record
from execution_project.common.locking import Locks, ordered
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from orders.claiming import current_exchange_order, end_unsent
from orders.ingest import finish_commands, lock_orders
from orders.lifecycle import ENDED, CommandStatus, OrderStatus
from orders.models import NEVER_SENT, Command, CommandKind, Order
from orders.queues import cancel_queue
from orders.replacement import end_as_canceled, rest_not_sent


def request_cancel(order_id: UUID, *, by: Actor, reason: str = "") -> Order:
    """Ask for an order's end. One that was never sent ends at once; asking again, or after the end, changes nothing.

    Returns the order as it stands after the request; at the exchange it ends when the exchange says so.
    """
    by.require(Right.CANCEL)
    with ordered() as locks:
        order = _cancel_locked(locks, order_id, by=by, reason=reason)
        fault_hooks.reach("before_cancel_request_commit")
    fault_hooks.reach("after_cancel_request")
    return order


def _cancel_locked(locks: Locks, order_id: UUID, *, by: Actor, reason: str) -> Order:
    order = lock_orders(locks, [order_id])[order_id]
    if order.status in ENDED:
        return order
    row = current_exchange_order(order)
    if order.status == OrderStatus.PENDING:
        end_unsent(order, row, OrderStatus.CANCELED, "CANCELED_BEFORE_SEND", reason, by=by)
        return order
    if rest_not_sent(order, row):
        # The rest of a replace that was not sent yet: nothing of this order works at the exchange.
        end_as_canceled(order, row, NEVER_SENT, "CANCELED_BEFORE_SEND", reason, by)
        finish_commands(order, by=by)
        return order
    live = Command.objects.filter(
        order=order, kind=CommandKind.CANCEL, status__in=[CommandStatus.QUEUED, CommandStatus.CLAIMED]
    )
    if live.exists():
        return order
    now = clock.now()
    command = Command.objects.create(
        order=order,
        exchange_order=row,
        kind=CommandKind.CANCEL,
        rung_at=now,
        requested_by=by.name,
        reason=reason[:256],
        created_at=now,
    )
    record("cancel.requested", "order", order.id, by, evidence={"command": str(command.id), "reason": reason})
    ring(cancel_queue(order.account.exchange), "orders.tasks.cancel", str(command.id))
    return order


def working_orders(scope_kind: str, scope_key: str) -> QuerySet[Order]:
    """Orders in a scope that have not ended."""
    queryset = Order.objects.exclude(status__in=[*ENDED])
    fields = {
        "exchange": "account__exchange",
        "account": "account__name",
        "strategy": "strategy__name",
        "symbol": "instrument__symbol",
    }
    return queryset if scope_kind == "global" else queryset.filter(**{fields[scope_kind]: scope_key})


def cancel_all(orders: QuerySet[Order], *, by: Actor, reason: str) -> list[UUID]:
    """Ask for the end of each of these orders that has not ended, one short transaction each; returns their ids.

    An order whose row somebody else holds does not keep the others from being asked; it is tried once more at the end.
    Raises ``Problem``: 503 ``CANCELS_INCOMPLETE`` when some could not be asked even then, 403 without the right.
    """
    by.require(Right.CANCEL)
    order_ids = list(orders.exclude(status__in=[*ENDED]).order_by("id").values_list("id", flat=True))
    left = _ask(_ask(order_ids, by, reason), by, reason)
    if left:
        asked = len(order_ids) - len(left)
        raise Problem(
            503,
            "CANCELS_INCOMPLETE",
            f"{asked} orders are asked to end; {len(left)} could not be reached and go on. Ask again.",
            members={"cancels_requested": asked, "left": [str(order_id) for order_id in left]},
            headers={"Retry-After": "1"},
        )
    return order_ids


def ask_where_none_is_under_way(orders: QuerySet[Order], *, by: Actor, reason: str) -> int:
    """Ask for the end of those of the orders that have no cancel under way; returns how many were asked. One whose row
    somebody else holds is left to the next call."""
    under_way = Command.objects.filter(
        kind=CommandKind.CANCEL, status__in=[CommandStatus.QUEUED, CommandStatus.CLAIMED]
    )
    try:
        return len(cancel_all(orders.exclude(id__in=under_way.values("order")), by=by, reason=reason))
    except Problem as problem:
        if problem.code != "CANCELS_INCOMPLETE":
            raise
        asked: int = problem.members["cancels_requested"]
        return asked


def _ask(order_ids: list[UUID], by: Actor, reason: str) -> list[UUID]:
    """Those that could not be asked, because their rows were held for too long."""
    left = []
    for order_id in order_ids:
        try:
            request_cancel(order_id, by=by, reason=reason)
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable):
                raise
            left.append(order_id)
    return left


def cancel_scope(scope_kind: str, scope_key: str, *, by: Actor, reason: str) -> int:
    """Ask for the end of every order in a scope; returns how many were asked for."""
    return len(cancel_all(working_orders(scope_kind, scope_key), by=by, reason=reason))
