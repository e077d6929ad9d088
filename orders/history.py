"""Everything that is on record about one order, read by a fixed number of statements."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Prefetch, Q

from execution_project.common.models import Event
from orders.absence import Judged, judged_by_the_last
from orders.models import Attempt, Command, ExchangeOrder, Order
from positions.models import Fill
from risk.models import Decision

NEWEST = 500
NEWEST_ROUNDS = 100


@dataclass(frozen=True, slots=True)
class History:
    """What was sent for an order, what came of it, and why; every list oldest first.

    ``commands`` come with their attempts. Attempts, ``fills`` and ``events`` are the newest 500 of the order.
    ``replace_decisions``: those of its replaces, denied ones included. ``decision``: None for an order that was found
    at the exchange. ``evidence``: the newest 100 rounds of looking for what nobody had seen.
    """

    exchange_orders: list[ExchangeOrder]
    commands: list[Command]
    fills: list[Fill]
    events: list[Event]
    decision: Decision | None
    replace_decisions: list[Decision]
    evidence: list[Judged]


def history_of(order: Order) -> History:
    """The order's history; events are its own and those of its commands."""
    newest = Attempt.objects.filter(command__order=order).order_by("-id").values("id")[:NEWEST]
    attempts = Prefetch("attempts", Attempt.objects.filter(id__in=newest).order_by("id"))
    commands = list(
        Command.objects.filter(order=order).select_related("exchange_order").prefetch_related(attempts).order_by("id")
    )
    fills = Fill.objects.filter(order_id=order.id).select_related("account", "instrument", "strategy")
    events = Event.objects.filter(
        Q(subject_type="order", subject_id=str(order.id))
        | Q(subject_type="command", subject_id__in=[str(command.id) for command in commands])
    )
    decisions = list(Decision.objects.filter(order_id=order.id).order_by("id"))
    return History(
        exchange_orders=list(order.exchange_orders.order_by("generation")),
        commands=commands,
        fills=list(fills.order_by("-id")[:NEWEST])[::-1],
        events=list(events.order_by("-id")[:NEWEST])[::-1],
        decision=next((decision for decision in decisions if decision.id == order.decision_id), None),
        replace_decisions=[decision for decision in decisions if decision.id != order.decision_id],
        evidence=judged_by_the_last(list(order.absence_rounds.order_by("-id")[:NEWEST_ROUNDS])[::-1]),
    )
