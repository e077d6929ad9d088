"""Pure book-keeping arithmetic: the legs of a fill, and the average-cost fold of a position. No database, no clock.

Rules (docs/risk-controls.md §5): the fee on the fill is trusted, never computed; closing to zero removes the whole
remaining cost, so that rounding cannot leave a residue; quantities and quotes are sums and need no order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext

from exchanges.reports import Fee
from execution_project.common.money import CONTEXT, QUANTUM, round_down

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


BOOK_OF_POSTING = {
    "opening": "opening",
    "transfer": "transfers",
    "deposit": "external",
    "withdrawal": "external",
    "own_transfer": "transit",
    "dust": "dust",
    "airdrop": "income",
    "rebate": "income",
}
"""Which book of the ledger stands against the exchange's, by kind of posting."""


def legs_of_posting(kind: str, asset: str, amount: Decimal, network_fee: Decimal = ZERO) -> list[Leg]:
    """What came in (positive) or went out without a trade; the part of it that was a network fee is an expense."""
    return _movement(asset, BOOK_OF_POSTING[kind], amount + network_fee) + _movement(asset, "fees", -network_fee)


def reversed_legs(legs: Iterable[Leg]) -> list[Leg]:
    """The legs that take others back."""
    return [Leg(leg.asset, leg.book, -leg.amount) for leg in legs]


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
    fees_valued: Decimal = ZERO
    pending: int = 0

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
    fee_valued: Decimal | None = ZERO,
) -> PositionState:
    """The position after one more fill, by average cost.

    A fill against the position closes at average cost and realises the difference; what exceeds it opens the other way.
    ``fee_valued``: all its fees in the quote asset, None while a rate is missing. A quantity of zero is a fill that was
    taken back.
    """
    if quantity == 0:
        return state
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
            fees_valued=state.fees_valued + (fee_valued or ZERO),
            pending=state.pending + (fee_valued is None),
        )


def fees_valued(
    base: str, quote: str, price: Decimal, fees: Iterable[Fee], rates: Mapping[str, Decimal], currency: str
) -> Decimal | None:
    """All fees of a fill in its quote asset: of the base at its price, of a third asset by the booked rates.

    ``rates``: reporting currency per unit. None when a rate is missing.
    """
    total = ZERO
    for fee in fees:
        if fee.asset == quote:
            total += fee.amount
        elif fee.asset == base:
            total += _rounded(CONTEXT.multiply(fee.amount, price))
        else:
            own = Decimal(1) if fee.asset == currency else rates.get(fee.asset)
            of_quote = _rate_of_quote(base, quote, price, rates, currency)
            if own is None or of_quote is None:
                return None
            total += _rounded(CONTEXT.divide(CONTEXT.multiply(fee.amount, own), of_quote))
    return total


def _rate_of_quote(
    base: str, quote: str, price: Decimal, rates: Mapping[str, Decimal], currency: str
) -> Decimal | None:
    if quote == currency:
        return Decimal(1)
    return CONTEXT.divide(Decimal(1), price) if base == currency else rates.get(quote)


def _rounded(value: Decimal) -> Decimal:
    return value.quantize(QUANTUM, context=CONTEXT)
