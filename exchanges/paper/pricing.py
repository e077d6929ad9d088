"""What the imitated exchange takes: fees by its own rules, and what it sets aside for an order. Pure, exact.

Binance takes the fee out of what is received, or out of BNB at a discount while enough of it is free; BTCTurk takes fee
and tax in the quote asset, on top of what a buy costs (docs/paper.md §4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal, localcontext

from exchanges.matching import Level
from exchanges.reports import Fee
from execution_project.common.money import CONTEXT, round_down, round_up

ZERO = Decimal(0)
FEE_UNIT = Decimal("0.00000001")
BNB = "BNB"
BNB_DISCOUNT = Decimal("0.75")
PROTECTION = Decimal("0.05")
"""How far from the best price a market order of BTCTurk may trade (docs/btcturk.md §4)."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Fractions: of maker and taker fees, and of the tax on a fee."""

    maker: Decimal
    taker: Decimal
    tax: Decimal = ZERO

    @property
    def reserve(self) -> Decimal:
        """What a buy that pays its fee in the quote asset may cost beyond price × quantity."""
        return self.taker * (1 + self.tax)


@dataclass(frozen=True, slots=True)
class Taken:
    """One fill's side: what is paid and received in base and quote, before fees."""

    side: str
    base: str
    quote: str
    quantity: Decimal
    amount: Decimal

    @property
    def got(self) -> tuple[str, Decimal]:
        """Asset and amount received."""
        return (self.base, self.quantity) if self.side == "BUY" else (self.quote, self.amount)

    @property
    def paid(self) -> tuple[str, Decimal]:
        """Asset and amount given."""
        return (self.quote, self.amount) if self.side == "BUY" else (self.base, self.quantity)


def received_fee(
    taken: Taken, rate: Decimal, *, bnb_free: Decimal | None, bnb_value: Callable[[str, Decimal], Decimal | None]
) -> tuple[Fee, ...]:
    """Binance: out of BNB when ``bnb_free`` (None: switched off) covers it and it has a price, else out of what is
    received. Decided per fill."""
    asset, amount = taken.got
    if bnb_free is not None:
        value = bnb_value(asset, amount)
        if value is not None:
            fee = _down(value * rate * BNB_DISCOUNT)
            if fee <= bnb_free:
                return (Fee(BNB, fee),) if fee else ()
    fee = _down(amount * rate)
    return (Fee(asset, fee),) if fee else ()


def quote_fee(taken: Taken, rate: Decimal, tax_rate: Decimal) -> tuple[Fee, ...]:
    """BTCTurk: fee and the tax on it, both in the quote asset, whatever the side."""
    fee = _down(taken.amount * rate)
    tax = _down(fee * tax_rate)
    return tuple(Fee(taken.quote, each, kind) for each, kind in ((fee, "fee"), (tax, "tax")) if each)


def affordable(levels: Iterable[Level], amount: Decimal, rate: Decimal, step: Decimal) -> Decimal:
    """The most that ``amount`` of the quote asset buys, fee and tax at ``rate`` included, on the grid of ``step``."""
    left, quantity = amount, ZERO
    with localcontext(CONTEXT):
        for price, size in levels:
            whole = price * size * (1 + rate)
            if whole > left:
                return round_down(quantity + left / (1 + rate) / price, step)
            quantity, left = quantity + size, left - whole
    return round_down(quantity, step)


def reserve_of_limit(side: str, price: Decimal, leaves: Decimal, quote_rate: Decimal) -> Decimal:
    """What a working limit order sets aside in the asset that it spends; ``quote_rate``: fee on top of a buy."""
    if side == "SELL":
        return leaves
    with localcontext(CONTEXT):
        return round_up(price * leaves * (1 + quote_rate))


def _down(value: Decimal) -> Decimal:
    return value.quantize(FEE_UNIT, ROUND_DOWN, context=CONTEXT)
