"""Carrying a replace on after each answer of the exchange; the caller holds the order's lock.

Nothing here ends an order by itself but a replacement that can no longer be placed: then what was canceled stays so.
"""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Max

from exchanges.reports import Outcome, OutcomeKind
from execution_project.common import clock, ids
from execution_project.common.actors import Actor
from execution_project.common.doorbell import ring
from execution_project.common.events import record
from execution_project.common.installation import prefix
from execution_project.common.money import plain
from orders.lifecycle import ENDED, WORKING, CommandStatus, OrderStatus
from orders.models import NEVER_SENT, Command, CommandKind, ExchangeOrder, Order
from orders.notifications import notify_after_commit
from orders.queues import submit_queue
from orders.reserving import set_reservation

VALID_FOR = timedelta(seconds=10)
# From the request on: the gate's prices and limits are too old for the rest of a replace that took longer.
REST_WITHIN = timedelta(seconds=60)


def rest_not_sent(order: Order, row: ExchangeOrder) -> bool:
    """Whether this is the rest of a replace whose submit still waits: nothing of it is at the exchange."""
    if order.status not in WORKING or row.reported is not None or row.cumulative_quantity > 0:
        return False
    return Command.objects.filter(exchange_order=row, kind=CommandKind.SUBMIT, status=CommandStatus.QUEUED).exists()


def next_generation(order: Order) -> int:
    """A generation that no exchange order of this order has had, sent or not."""
    newest = ExchangeOrder.objects.filter(order=order).aggregate(newest=Max("generation"))["newest"]
    return 0 if newest is None else int(newest) + 1


def finish(command: Command, order: Order, by: Actor, event: str, detail: str = "") -> None:
    """Close a replace and say how it came out."""
    if command.status != CommandStatus.DONE:
        command.move(CommandStatus.DONE, by)
    command.finished_at = clock.now()
    command.save()
    record(
        f"replace.{event}",
        "order",
        order.id,
        by,
        evidence={"command": str(command.id), "method": command.method, "detail": detail},
    )


def abandon(order: Order, command: Command, detail: str, by: Actor) -> None:
    """Give a replace up before anything of it was placed: the order stays as it is, a planned one never happens."""
    if command.planned is not None and not command.planned.end_proof:
        end_unsent(order, command.planned, NEVER_SENT)
    finish(command, order, by, "abandoned", detail)


def end_unsent(order: Order, row: ExchangeOrder, proof: str) -> None:
    """A planned exchange order that the exchange never took is over, and so is its reservation."""
    row.end_proof = proof[:64]
    row.planned = False
    row.save(update_fields=["end_proof", "planned"])
    set_reservation(order, row)


def amended(order: Order, command: Command, by: Actor) -> None:
    """The exchange lowered the order in place: total, leaves and reservation follow."""
    row = ExchangeOrder.objects.get(id=command.exchange_order_id)
    row.quantity = command.new_quantity - (order.filled_quantity - row.booked_quantity)
    row.save(update_fields=["quantity"])
    take_over(order, command)
    set_reservation(order, row)
    finish(command, order, by, "done")


def take_over(order: Order, command: Command) -> None:
    """The order is now what the replace asked for."""
    order.quantity = command.new_quantity
    order.price = command.new_price
    if command.gate_seq is not None:
        order.gate_seq = command.gate_seq
    if command.decision_id is not None:
        order.decision_id = command.decision_id
    order.version += 1
    order.updated_at = clock.now()
    order.save()
    notify_after_commit(order.id)


def planned_of(command: Command) -> ExchangeOrder:
    """The planned exchange order of a replace that has one, as it is stored now."""
    if command.planned_id is None:
        raise ValueError(f"Replace {command.id} has no planned exchange order.")
    return ExchangeOrder.objects.get(id=command.planned_id)


def activate(order: Order, command: Command) -> ExchangeOrder:
    """The planned exchange order takes the place of the one that is proven ended; its whole need is reserved."""
    planned = planned_of(command)
    planned.planned = False
    planned.quantity = command.new_quantity - order.filled_quantity
    planned.save(update_fields=["planned", "quantity"])
    take_over(order, command)
    set_reservation(order, planned)
    return planned


def plan_again(order: Order, command: Command, outcome: Outcome) -> None:
    """The planned exchange order was refused unexecuted: plan the same under a client order id that was never sent."""
    old = planned_of(command)
    end_unsent(order, old, f"not_executed:{outcome.code or outcome.reason}")
    generation = next_generation(order)
    fresh = ExchangeOrder.objects.create(
        order=order,
        generation=generation,
        client_order_id=ids.client_order_id(prefix(), order.id, generation),
        planned=True,
        quantity=old.quantity,
        price=old.price,
        reserve_price=old.reserve_price,
        exposure_price=old.exposure_price,
        fee_in_quote_rate=old.fee_in_quote_rate,
        created_at=clock.now(),
    )
    set_reservation(order, fresh)
    command.planned = fresh
    command.save()


def place_the_rest(order: Order, command: Command, by: Actor) -> bool:
    """After a cancel: once the old exchange order is proven ended and all its fills are booked, submit the rest.

    Returns False while that is not proven. Nothing left: the new total is filled, and the order says so.
    """
    old = ExchangeOrder.objects.get(id=command.exchange_order_id)
    if not old.end_proof or old.unbooked_quantity > 0:
        return False
    if command.new_quantity - order.filled_quantity <= 0:
        abandon(order, command, f"{plain(order.filled_quantity)} is filled already", by)
        take_over(order, command)
        if order.status in WORKING:
            order.move(OrderStatus.FILLED, by, evidence={"new_total": plain(command.new_quantity)})
            order.save()
        return True
    now = clock.now()
    if now > command.created_at + REST_WITHIN:
        end_as_canceled(order, planned_of(command), NEVER_SENT, "STALE_INTENT", "The replace took too long.", by)
        finish(command, order, by, "abandoned", "took too long")
        return True
    planned = activate(order, command)
    order.valid_until = command.created_at + REST_WITHIN
    order.save()
    finish(command, order, by, "placing", plain(planned.quantity))
    submit = Command.objects.create(
        order=order,
        exchange_order=planned,
        kind=CommandKind.SUBMIT,
        rung_at=now,
        requested_by=command.requested_by,
        reason="the rest of a replace",
        created_at=now,
    )
    ring(submit_queue(order.account.exchange), "orders.tasks.submit", str(submit.id))
    return True


def after_amend(order: Order, command: Command, outcome: Outcome, by: Actor) -> bool:
    """Whether the amend's answer settles it. The exchange's own quantity decides, whatever the answer was."""
    row = ExchangeOrder.objects.get(id=command.exchange_order_id)
    target = command.new_quantity - (order.filled_quantity - row.booked_quantity)
    shown = [
        report.quantity
        for report in outcome.reports
        if getattr(report, "client_order_id", None) == row.client_order_id and hasattr(report, "status")
    ]
    if outcome.kind is OutcomeKind.ACCEPTED or target in shown:
        amended(order, command, by)
        return True
    if outcome.kind in {OutcomeKind.REFUSED, OutcomeKind.AUTH}:
        finish(command, order, by, "refused", f"{outcome.code} {outcome.message}".strip())
        return True
    return False


def end_as_canceled(order: Order, row: ExchangeOrder, proof: str, code: str, detail: str, by: Actor) -> None:
    """A replacement that will not be placed: the order ends canceled with what was filled before."""
    end_unsent(order, row, proof)
    if order.status in WORKING:
        order.reason, order.detail = code[:64], detail[:512]
        order.move(OrderStatus.CANCELED, by, evidence={"code": code, "detail": detail})
        order.version += 1
        order.updated_at = clock.now()
        order.save()
        notify_after_commit(order.id)


def live_replace(order: Order) -> Command | None:
    """The replace that is under way for this order, or None."""
    if order.status in ENDED:
        return None
    return (
        Command.objects.filter(
            order=order,
            kind=CommandKind.REPLACE,
            status__in=[CommandStatus.QUEUED, CommandStatus.CLAIMED, CommandStatus.UNKNOWN],
        )
        .select_related("planned")
        .first()
    )
