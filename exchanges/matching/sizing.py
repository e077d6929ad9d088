"""Quantities and costs of market orders against a book, without trading."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from exchanges.matching.types import Level

ZERO = Decimal(0)


@dataclass(slots=True, frozen=True)
class Sizing:
    """`quantity` in base, its `cost` in quote, and whether the book was deep enough."""

    quantity: Decimal
    cost: Decimal
    complete: bool


def cost_of(levels: Iterable[Level], quantity: Decimal) -> Sizing:
    """What taking `quantity` from `levels` costs; incomplete when they hold less."""
    missing, cost = quantity, ZERO
    for price, size in levels:
        taken = min(size, missing)
        cost += price * taken
        missing -= taken
        if not missing:
            break
    return Sizing(quantity - missing, cost, not missing)


def quantity_for_quote(levels: Iterable[Level], amount: Decimal, step: Decimal) -> Sizing:
    """The quantity on the grid of `step` whose cost is nearest to `amount` quote (docs/binance.md §2.2).

    On a tie the smaller one. When the levels are worth less than `amount`, everything they hold on the grid.
    """
    walked = list(levels)
    exact, left, complete = ZERO, amount, False
    for price, size in walked:
        if price * size >= left:
            exact += left / price
            complete = True
            break
        exact += size
        left -= price * size
    lower = cost_of(walked, exact // step * step)
    if not complete or lower.cost == amount:
        return Sizing(lower.quantity, lower.cost, complete)
    upper = cost_of(walked, lower.quantity + step)
    if upper.complete and abs(upper.cost - amount) < abs(amount - lower.cost):
        return upper
    return Sizing(lower.quantity, lower.cost, True)
