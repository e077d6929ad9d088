"""Asking for a replace: PATCH with the new total quantity and price, through the gate, as one command.

Pure decrease → amended in place; nothing filled → one call that cancels and places; every other case → a proven cancel
with its fills complete, then a new exchange order for what is left. Until the outcome is known the greater of old and
new stays reserved.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

from django.db.models import Sum

from exchanges.capabilities import CAPABILITIES
from execution_project.common import clock, ids
from execution_project.common.actors import Actor
from execution_project.common.doorbell import notify_after_commit, queue_row
from execution_project.common.events import event
from execution_project.common.installation import prefix
from execution_project.common.locking import ordered
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from execution_project.common.writing import insert_together
from orders.claiming import current_exchange_order
from orders.ingest import lock_orders
from orders.intents import build_intent
from orders.lifecycle import WORKING, CommandStatus
from orders.models import Command, CommandKind, ExchangeOrder, Order, ReplaceMethod
from orders.queues import cancel_queue
from orders.replacement import next_generation
from orders.reserving import facts_of
from risk.gate import Verdict, decide, reservation_row, says_when_busy
from risk.intent import Intent, lock_names
from risk.models import Decision, Exposure, Reservation
from risk.reading import read_inputs, read_prices_of, read_surroundings

REPLACEABLE = ("LIMIT", "LIMIT_MAKER")
LIVE = [CommandStatus.QUEUED, CommandStatus.CLAIMED, CommandStatus.UNKNOWN]


@dataclass(frozen=True, slots=True)
class Replacing:
    """The order with the decision on its replace, and the command when it was accepted."""

    order: Order
    decision: Decision
    command: Command | None


def request_replace(
    order_id: UUID, *, quantity: Decimal | None, price: Decimal | None, by: Actor, if_version: int | None = None
) -> Replacing:
    """Decide on a replace and queue it. ``quantity``: the new total in base, fills included; None keeps it.

    Raises ``Problem``: 400 for a request that can never be one, 409 when the order is not working, is being canceled
    or replaced, or has filled that much already, 412 when ``if_version`` is not the order's, 503 ``RISK_BUSY``.
    """
    by.require(Right.PLACE)
    seen = Order.objects.select_related("account", "instrument", "strategy").get(id=order_id)
    if quantity is None and price is None:
        raise Problem(400, "NOTHING_TO_REPLACE", "Give a new quantity, a new price, or both.")
    if seen.type not in REPLACEABLE:
        raise Problem(400, "NOT_SUPPORTED", f"{seen.type} orders cannot be replaced: cancel and place anew.")
    prices = read_prices_of(seen.instrument)
    surroundings = read_surroundings(_intent(seen, seen.quantity, seen.price))
    mark = prefix()
    with says_when_busy(), ordered() as locks:
        order = lock_orders(locks, [order_id])[order_id]
        _refuse_unless_working(order, if_version)
        row = current_exchange_order(order)
        total = order.quantity if quantity is None else quantity
        at = order.price if price is None else price
        _refuse_unfit(order, row, total, at)
        method = _method(order, row, total, at)
        intent = _intent(order, total - order.filled_quantity, at)
        locks.share_trading_state(lock_names(intent.scopes))
        locks.exposure(Exposure, intent.mode)
        inputs, gate_seq = read_inputs(intent, prices, surroundings, replaces=True)
        own = _own_reservation(order)
        verdict = decide(replace(inputs, reserved=inputs.reserved - own), gate_seq, by=by)
        if not verdict.accepted:
            codes = [breach["code"] for breach in verdict.breaches]
            insert_together(
                verdict.decision, event("replace.denied", "order", order.id, by, evidence={"breaches": codes})
            )
            return Replacing(order, verdict.decision, None)
        command = _write(order, row, method, total, at, verdict, own, mark, by)
    return Replacing(order, verdict.decision, command)


def _intent(order: Order, quantity: Decimal, price: Decimal) -> Intent:
    """The order as it is to become: what is left of it, at its new price."""
    return build_intent(
        order_id=order.id,
        account=order.account,
        instrument=order.instrument,
        strategy=order.strategy,
        side=order.side,
        type_=order.type,
        quantity=quantity,
        quote_quantity=None,
        price=price,
        stop_price=None,
        reduce_only=order.reduce_only,
    )


def _refuse_unless_working(order: Order, if_version: int | None) -> None:
    if if_version is not None and if_version != order.version:
        raise Problem(412, "VERSION_CHANGED", f"The order is at version {order.version}; read it again.")
    if order.status not in WORKING:
        # A denied order has no exchange order to look at.
        raise Problem(409, "NOT_WORKING", f"Only a working order can be replaced; this one is {order.status}.")


def _refuse_unfit(order: Order, row: ExchangeOrder, total: Decimal, price: Decimal) -> None:
    if row.end_proof:
        raise Problem(409, "NOT_WORKING", "What the exchange had of this order has ended; its fills are on their way.")
    live = Command.objects.filter(order=order, status__in=LIVE)
    if live.filter(kind=CommandKind.CANCEL).exists():
        raise Problem(409, "CANCEL_IN_FLIGHT", "The order is being canceled.")
    if live.filter(kind__in=[CommandKind.REPLACE, CommandKind.SUBMIT]).exists():
        raise Problem(409, "REPLACE_IN_FLIGHT", "The order is being replaced; wait for the outcome.")
    if total <= max(order.filled_quantity, row.cumulative_quantity):
        raise Problem(409, "QUANTITY_ALREADY_FILLED", "That much is filled already; cancel what is left instead.")
    if total == order.quantity and price == order.price:
        raise Problem(400, "NOTHING_TO_REPLACE", "Quantity and price are what they were.")


def _method(order: Order, row: ExchangeOrder, total: Decimal, price: Decimal) -> ReplaceMethod:
    possible = CAPABILITIES[order.account.exchange].replace_methods
    if ReplaceMethod.AMEND in possible and price == order.price and total < order.quantity:
        return ReplaceMethod.AMEND
    if ReplaceMethod.CANCEL_REPLACE in possible and order.filled_quantity == 0 and row.cumulative_quantity == 0:
        return ReplaceMethod.CANCEL_REPLACE
    return ReplaceMethod.CANCEL_THEN_PLACE


def _own_reservation(order: Order) -> Decimal:
    total = Reservation.objects.filter(order_id=order.id).aggregate(total=Sum("amount"))["total"]
    return Decimal(0) if total is None else total


def _write(
    order: Order,
    row: ExchangeOrder,
    method: ReplaceMethod,
    total: Decimal,
    price: Decimal,
    verdict: Verdict,
    own: Decimal,
    mark: str,
    by: Actor,
) -> Command:
    now = clock.now()
    command = Command(
        order=order,
        exchange_order=row,
        kind=CommandKind.REPLACE,
        rung_at=now,
        requested_by=by.name,
        new_quantity=total,
        new_price=price,
        method=method,
        decision_id=verdict.decision.id,
        gate_seq=verdict.gate_seq,
        created_at=now,
    )
    happened = event(
        "replace.accepted",
        "order",
        order.id,
        by,
        evidence={
            "command": str(command.id),
            "method": method.value,
            "decision": str(verdict.decision.id),
            "warnings": [warning["code"] for warning in verdict.warnings],
        },
    )
    queue = cancel_queue(order.account.exchange)
    doorbell = queue_row(queue, "orders.tasks.replace", str(command.id))
    if method is ReplaceMethod.AMEND:
        insert_together(verdict.decision, command, doorbell, happened)
    else:
        generation = next_generation(order)
        planned = ExchangeOrder(
            order=order,
            generation=generation,
            client_order_id=ids.client_order_id(mark, order.id, generation),
            planned=True,
            quantity=total - order.filled_quantity,
            price=price,
            reserve_price=verdict.reserve_price,
            exposure_price=verdict.exposure_price,
            fee_in_quote_rate=row.fee_in_quote_rate,
            created_at=now,
        )
        command.planned = planned
        facts = facts_of(order, planned)
        reservation = reservation_row(planned.id, verdict.inputs.intent, facts)
        reservation.amount = max(reservation.amount - own, Decimal(0))
        reservation.exposure = max(reservation.exposure - verdict.inputs.own_exposure, Decimal(0))
        insert_together(verdict.decision, planned, reservation, command, doorbell, happened)
    notify_after_commit(queue)
    return command
