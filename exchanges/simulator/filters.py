"""Trading rules of a symbol and their exact checks (docs/binance.md §4)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from exchanges.matching import Side

ZERO = Decimal(0)


@dataclass(slots=True, frozen=True)
class SymbolRules:
    """Filters of one pair. A price bound of zero disables that bound; a step of zero disables the grid."""

    symbol: str
    base: str
    quote: str
    start_price: Decimal
    tick: Decimal
    min_price: Decimal
    max_price: Decimal
    step: Decimal
    min_quantity: Decimal
    max_quantity: Decimal
    market_min_quantity: Decimal
    market_max_quantity: Decimal
    market_step: Decimal
    min_notional: Decimal
    max_notional: Decimal
    depth_quantity: Decimal
    min_notional_for_market: bool = True
    max_notional_for_market: bool = False
    bid_up: Decimal = Decimal(5)
    bid_down: Decimal = Decimal("0.2")
    ask_up: Decimal = Decimal(5)
    ask_down: Decimal = Decimal("0.2")
    average_minutes: int = 5
    max_orders: int = 200
    max_algo_orders: int = 5
    max_amends: int = 10


def price_filter(rules: SymbolRules, price: Decimal) -> str | None:
    """PRICE_FILTER: min ≤ p ≤ max and p on the tick grid, counted from zero."""
    if (
        (rules.min_price and price < rules.min_price)
        or (rules.max_price and price > rules.max_price)
        or (rules.tick and price % rules.tick)
    ):
        return "PRICE_FILTER"
    return None


def lot_size(rules: SymbolRules, quantity: Decimal) -> str | None:
    """LOT_SIZE: min ≤ q ≤ max and q on the step grid, counted from zero."""
    if quantity < rules.min_quantity or quantity > rules.max_quantity or (rules.step and quantity % rules.step):
        return "LOT_SIZE"
    return None


def market_lot_size(rules: SymbolRules, quantity: Decimal) -> str | None:
    """MARKET_LOT_SIZE, for MARKET quantities in addition to LOT_SIZE."""
    if (
        quantity < rules.market_min_quantity
        or quantity > rules.market_max_quantity
        or (rules.market_step and quantity % rules.market_step)
    ):
        return "MARKET_LOT_SIZE"
    return None


def percent_price(rules: SymbolRules, side: Side, price: Decimal, reference: Decimal) -> str | None:
    """PERCENT_PRICE_BY_SIDE around the reference price."""
    lower, upper = (rules.bid_down, rules.bid_up) if side is Side.BUY else (rules.ask_down, rules.ask_up)
    if price < reference * lower or price > reference * upper:
        return "PERCENT_PRICE_BY_SIDE"
    return None


def notional(rules: SymbolRules, value: Decimal, *, market: bool) -> str | None:
    """NOTIONAL: min ≤ p·q ≤ max, each bound for MARKET only where the symbol says so."""
    too_small = value < rules.min_notional and (not market or rules.min_notional_for_market)
    too_large = value > rules.max_notional and (not market or rules.max_notional_for_market)
    return "NOTIONAL" if too_small or too_large else None


def check(
    rules: SymbolRules,
    side: Side,
    *,
    price: Decimal | None,
    quantity: Decimal | None,
    quote_quantity: Decimal | None,
    stop_price: Decimal | None,
    reference: Decimal,
) -> str | None:
    """Name of the first stateless filter an order fails, or None. `price` None means a MARKET order."""
    for limit in (price, stop_price):
        if limit is not None and (failed := price_filter(rules, limit)):
            return failed
    if price is not None and (failed := percent_price(rules, side, price, reference)):
        return failed
    if quantity is not None:
        if failed := lot_size(rules, quantity):
            return failed
        if price is None and (failed := market_lot_size(rules, quantity)):
            return failed
        return notional(rules, (reference if price is None else price) * quantity, market=price is None)
    if quote_quantity is not None:
        return notional(rules, quote_quantity, market=True)
    return None
