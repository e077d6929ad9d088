"""What an order does to what is owned, as its decision knew it at the gate."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db.models import TextChoices

from orders.models import Order
from risk.models import Decision


class Effect(TextChoices):
    """Reduces: a sale, for a cash asset, of no more than was available; everything else increases."""

    INCREASES = "increases", "increases"
    REDUCES = "reduces", "reduces"


def effect_of(decision: Decision | None) -> Effect | None:
    """None for an order that passed no gate: it was found at the exchange."""
    if decision is None:
        return None
    return Effect.REDUCES if decision.reducing else Effect.INCREASES


def effects_of(orders: Iterable[Order]) -> dict[UUID, Effect]:
    """The effect of each order that was decided on, by its id, with one statement."""
    decided = {order.decision_id: order.id for order in orders if order.decision_id is not None}
    found = Decision.objects.filter(id__in=decided).values_list("id", "reducing") if decided else []
    return {decided[key]: Effect.REDUCES if reducing else Effect.INCREASES for key, reducing in found}
