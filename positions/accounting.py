"""Pure book-keeping arithmetic: the legs of a fill, and the average-cost fold of a position. No database, no clock.

Rules (docs/risk-controls.md §5): the fee on the fill is trusted, never computed; closing to zero removes the whole
remaining cost, so that rounding cannot leave a residue; quantities and quotes are sums and need no order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext

from exchanges.reports import Fee
from execution_project.common.money import CONTEXT, round_down

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Leg:
    """A signed amount of ``asset`` in one book of the ledger."""

    asset: str
    book: str
    amount: Decimal


def legs_of_fill(
    side: str,
    base_asset: str,
    quote_asset: str,
    quantity: Decimal,
    quote_quantity: Decimal,
    fees: Iterable[Fee],
) -> list[Leg]:
    """Both sides of every movement of a fill: per asset the legs sum to zero.

    ``quantity`` in base, ``quote_quantity`` in quote, both positive; a fee is positive when we pay it.
    """
    sign = 1 if side == "BUY" else -1
    legs = _movement(base_asset, "trading", sign * quantity) + _movement(quote_asset, "trading", -sign * quote_quantity)
    for fee in fees:
        legs += _movement(fee.asset, "tax" if fee.kind == "tax" else "fees", -fee.amount)
    return legs


def legs_of_opening(asset: str, amount: Decimal) -> list[Leg]:
    """The opening balance of an asset, against the opening book."""
    return _movement(asset, "opening", amount)


def legs_of_transfer(asset: str, amount: Decimal) -> list[Leg]:
    """What came in (positive) or went out outside of trading, against the transfers book."""
    return _movement(asset, "transfers", amount)


def _movement(asset: str, counter_book: str, amount: Decimal) -> list[Leg]:
    if amount == 0:
        return []
    return [Leg(asset, "exchange", amount), Leg(asset, counter_book, -amount)]


def movements(legs: Iterable[Leg]) -> dict[str, Decimal]:
    """What the legs do to the balance at the exchange, per asset."""
    totals: dict[str, Decimal] = {}
    for leg in legs:
        if leg.book == "exchange":
            totals[leg.asset] = totals.get(leg.asset, ZERO) + leg.amount
    return totals


@dataclass(frozen=True, slots=True)
class PositionState:
    """The numbers of a position, all in the quote asset but the quantities; signs as in ``positions.models``."""

    net_quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realised_pnl: Decimal = ZERO
    fees_in_quote: Decimal = ZERO
    bought_quantity: Decimal = ZERO
    sold_quantity: Decimal = ZERO

    @property
    def average_price(self) -> Decimal | None:
        """Cost per base unit, rounded down to 18 decimals, or None when flat."""
        if self.net_quantity == 0:
            return None
        with localcontext(CONTEXT):
            return round_down(self.cost / self.net_quantity)


def apply_fill(
    state: PositionState,
    *,
    side: str,
    quantity: Decimal,
    quote_quantity: Decimal,
    fee_in_quote: Decimal = ZERO,
) -> PositionState:
    """The position after one more fill, by average cost.

    A fill against the position closes at average cost and realises the difference; what exceeds it opens the other way.
    """
    sign = 1 if side == "BUY" else -1
    with localcontext(CONTEXT):
        signed, signed_quote = sign * quantity, sign * quote_quantity
        net, cost, realised = state.net_quantity, state.cost, state.realised_pnl
        if net == 0 or (net > 0) == (signed > 0):
            cost += signed_quote
        else:
            closing = min(abs(net), quantity)
            closed_quote = signed_quote if closing == quantity else round_down(signed_quote * closing / quantity)
            removed = cost if closing == abs(net) else round_down(cost * closing / abs(net))
            realised += -removed - closed_quote
            cost = cost - removed + (signed_quote - closed_quote)
        return replace(
            state,
            net_quantity=net + signed,
            cost=cost,
            realised_pnl=realised,
            fees_in_quote=state.fees_in_quote + fee_in_quote,
            bought_quantity=state.bought_quantity + (quantity if sign > 0 else ZERO),
            sold_quantity=state.sold_quantity + (quantity if sign < 0 else ZERO),
        )
