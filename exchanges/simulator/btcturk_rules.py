"""BTCTurk pairs, their trading rules and the checks of a new order (docs/btcturk.md §2.2, §4, §5)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from exchanges.matching import Side
from exchanges.simulator.filters import SymbolRules

ZERO = Decimal(0)
FEE_UNIT = Decimal("1e-8")
"""Fee and tax are shown, and booked, with 8 decimals of the quote asset."""
BALANCE_DECIMALS = 16
"""Most decimals of a balance (docs/btcturk.md §2.4)."""
PROTECTION = Decimal("0.05")
"""A market order trades at most this far away from the best price (docs/btcturk.md §4)."""
PRICE_BAND = Decimal(10)
"""Limit prices lie between the last price divided by this and multiplied by it (docs/btcturk.md §4)."""

NUMERIC = re.compile(r"[0-9]{1,12}(\.[0-9]{1,16})?")
NEARLY_NUMERIC = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


class Rejection(Exception):
    """A request BTCTurk refuses, by the name clients match on; HTTP status 400 unless said otherwise."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


@dataclass(slots=True, frozen=True)
class PairRules(SymbolRules):
    """One pair. `tick` and `step` are the smallest price and quantity an order may name; the rest is BTCTurk's own.

    `arrow_step` is the published tickSize: the website's arrow step, which nothing enforces (docs/btcturk.md §4).
    `amount_scale` is the display scale transactions round their amounts to (docs/btcturk.md §2.8).
    """

    id: int = 0
    numerator_scale: int = 8
    denominator_scale: int = 2
    has_fraction: bool = True
    arrow_step: Decimal = Decimal("0.01")
    amount_scale: int = 8
    listed_order: int = 0
    max_amount: Decimal | None = None

    @property
    def normalized(self) -> str:
        """The name with an underscore."""
        return f"{self.base}_{self.quote}"

    @property
    def price_scale(self) -> int:
        """Decimals of a price: none without fraction, whatever denominatorScale says (docs/btcturk.md §4)."""
        return self.denominator_scale if self.has_fraction else 0

    @property
    def fill_unit(self) -> Decimal:
        """Grid of the base quantity a market buy receives: its cost at any price is exact in 16 decimals."""
        return Decimal(1).scaleb(self.price_scale - BALANCE_DECIMALS)


def _pair(
    number: int,
    base: str,
    quote: str,
    start_price: str,
    *,
    has_fraction: bool,
    depth: str,
    minimum: str,
    arrow: str,
    numerator_scale: int = 8,
    amount_scale: int = 8,
    maximum: str = "10000000",
) -> PairRules:
    scale = 2 if has_fraction else 0
    step = Decimal(1).scaleb(-numerator_scale)
    return PairRules(
        symbol=base + quote,
        base=base,
        quote=quote,
        start_price=Decimal(start_price),
        tick=Decimal(1).scaleb(-scale),
        min_price=Decimal("0.0000000000001"),
        max_price=Decimal(maximum),
        step=step,
        min_quantity=step,
        max_quantity=Decimal(10**12),
        market_min_quantity=ZERO,
        market_max_quantity=Decimal(10**12),
        market_step=ZERO,
        min_notional=Decimal(minimum),
        max_notional=Decimal(10**12),
        depth_quantity=Decimal(depth),
        id=number,
        numerator_scale=numerator_scale,
        has_fraction=has_fraction,
        amount_scale=amount_scale,
        arrow_step=Decimal(arrow),
        listed_order=999 + number,
    )


PAIRS: tuple[PairRules, ...] = (
    _pair(1, "BTC", "TRY", "3000000", has_fraction=False, depth="0.5", minimum="99.91", arrow="10"),
    _pair(2, "ETH", "TRY", "150000", has_fraction=False, depth="10", minimum="99.91", arrow="1"),
    _pair(
        3, "USDT", "TRY", "50.00", has_fraction=True, depth="50000", minimum="99.91", arrow="0.01", numerator_scale=6
    ),
    _pair(4, "AAVE", "TRY", "6300.00", has_fraction=True, depth="40", minimum="99.91", arrow="0.01", amount_scale=4),
    _pair(5, "BTC", "USDT", "60000", has_fraction=False, depth="0.5", minimum="0.9", arrow="1"),
    _pair(6, "ETH", "USDT", "3000.00", has_fraction=True, depth="10", minimum="0.9", arrow="0.01"),
)

ASSETS: dict[str, tuple[str, int]] = {
    "TRY": ("Türk Lirası", 2),
    "BTC": ("Bitcoin", 8),
    "ETH": ("Ethereum", 8),
    "USDT": ("Tether", 6),
    "AAVE": ("Aave", 8),
}
"""Name and precision of every currency on offer."""


def fee_of(quote: Decimal, rate: Decimal, tax_rate: Decimal) -> tuple[Decimal, Decimal]:
    """Commission and the tax on it for a fill worth `quote`, both positive, exact to 8 decimals.

    Their sum is rounded down, so that any number of fills stays within what was reserved at the same rates.
    """
    whole = (quote * rate * (1 + tax_rate)).quantize(FEE_UNIT, ROUND_DOWN)
    fee = min(whole, (quote * rate).quantize(FEE_UNIT, ROUND_HALF_UP))
    return fee, whole - fee


def number(value: object, scale_error: str) -> Decimal:
    """A quantity or price of a new order: up to 12 integer digits, a dot, up to 16 decimals (docs/btcturk.md §2.5).

    What floats print (exponents, 17 digits) fails as a scale error; anything else is no parameter at all.
    """
    text = value if isinstance(value, str) else ""
    if NUMERIC.fullmatch(text):
        return Decimal(text)
    raise Rejection(scale_error if NEARLY_NUMERIC.fullmatch(text) else "FAILED_ORDER_PARAMETER")


def fits(value: Decimal, scale: int) -> bool:
    """Whether `value` needs at most `scale` decimals."""
    return value == value.quantize(Decimal(1).scaleb(-scale), ROUND_DOWN)


def check(
    rules: PairRules,
    side: Side,
    *,
    market: bool,
    quantity: Decimal,
    price: Decimal | None,
    stop_price: Decimal | None,
    last: Decimal,
    best: Decimal | None,
) -> None:
    """Scales, minimum, maximum, price bounds and the stop's side of the market. Raises `Rejection`.

    `quantity` is in quote for a market (also stop market) buy, else in base. `best` is the best ask for a buy and the
    best bid for a sell. A price sent with a market order counts for nothing but is still checked for its scale.
    """
    in_quote = market and side is Side.BUY
    if price is not None and not fits(price, rules.price_scale):
        raise Rejection("FAILED_INVALID_PRICE_SCALE")
    if stop_price is not None and not fits(stop_price, rules.price_scale):
        raise Rejection("FAILED_INVALID_STOP_PRICE_SCALE")
    if not fits(quantity, rules.price_scale if in_quote else rules.numerator_scale):
        raise Rejection("FAILED_INVALID_QUANTITY_SCALE")
    limit = None if market else price
    value = quantity if in_quote else quantity * (limit or stop_price or last)
    if value < rules.min_notional:
        raise Rejection("FAILED_MIN_TOTAL_AMOUNT")
    if rules.max_amount is not None and not in_quote and quantity > rules.max_amount:
        raise Rejection("MAXIMUM_ORDER_AMOUNT_EXCEEDED")
    if limit is not None:
        if limit < rules.min_price:
            raise Rejection("PRICE_MUST_BE_LESS_THAN_MINPRICE")
        if limit > rules.max_price:
            raise Rejection("PRICE_MUST_BE_LESS_THAN_MAXPRICE")
        if limit < last / PRICE_BAND:
            raise Rejection("ORDER_MIN_PRICE_EXCEEDED")
        if limit > last * PRICE_BAND:
            raise Rejection("ORDER_MAX_PRICE_EXCEEDED")
    if stop_price is not None and best is not None:
        if side is Side.BUY and stop_price <= best:
            raise Rejection("FAILED_STOP_PRICE_GREATER_THAN_BEST_ASK")
        if side is Side.SELL and stop_price >= best:
            raise Rejection("FAILED_STOP_PRICE_LESS_THAN_BEST_BID")
