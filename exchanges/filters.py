"""The exchange's filters as pure functions with its exact arithmetic (docs/binance.md §4). Nothing is ever rounded.

PERCENT_PRICE filters depend on a reference price that only the exchange knows; they are left to its answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

from execution_project.common.money import CONTEXT, plain, round_down, round_up

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class FilterBreach:
    """One filter that the order does not pass, in words that say what would."""

    name: str
    detail: str


def _decimal(filters: Mapping[str, Mapping[str, Any]], name: str, field: str) -> Decimal:
    return Decimal(str(filters.get(name, {}).get(field, "0")))


def _off_grid(value: Decimal, step: Decimal) -> bool:
    with localcontext(CONTEXT):
        return step > 0 and value % step != 0


def _precision(value: Decimal) -> int:
    exponent = value.normalize(CONTEXT).as_tuple().exponent
    return max(0, -int(exponent))


def _check_quantity(filters: Mapping[str, Mapping[str, Any]], name: str, quantity: Decimal) -> list[FilterBreach]:
    low, high, step = (_decimal(filters, name, field) for field in ("minQty", "maxQty", "stepSize"))
    breaches = []
    if quantity < low:
        breaches.append(FilterBreach(name, f"quantity {plain(quantity)} is below the minimum {plain(low)}"))
    if 0 < high < quantity:
        breaches.append(FilterBreach(name, f"quantity {plain(quantity)} is above the maximum {plain(high)}"))
    if _off_grid(quantity, step):
        breaches.append(FilterBreach(name, f"quantity {plain(quantity)} is not a multiple of {plain(step)}"))
    return breaches


def round_quantity(filters: Mapping[str, Mapping[str, Any]], quantity: Decimal, *, market: bool) -> Decimal:
    """The greatest quantity on the lot grid that is not more (docs/binance.md §4)."""
    names = ("LOT_SIZE", "MARKET_LOT_SIZE") if market else ("LOT_SIZE",)
    step = max(_decimal(filters, name, "stepSize") for name in names)
    return round_down(quantity, step) if step > 0 else quantity


def round_price(filters: Mapping[str, Mapping[str, Any]], side: str, price: Decimal) -> Decimal:
    """On the tick grid: a buy's price down, a sale's price up (docs/binance.md §4)."""
    tick = _decimal(filters, "PRICE_FILTER", "tickSize")
    if tick <= 0:
        return price
    return round_down(price, tick) if side == "BUY" else round_up(price, tick)


def check_price(filters: Mapping[str, Mapping[str, Any]], price: Decimal) -> list[FilterBreach]:
    """PRICE_FILTER: min ≤ price ≤ max (0 disables a bound), price mod tick = 0 without offset."""
    low, high, tick = (_decimal(filters, "PRICE_FILTER", field) for field in ("minPrice", "maxPrice", "tickSize"))
    breaches = []
    if low > 0 and price < low:
        breaches.append(FilterBreach("PRICE_FILTER", f"price {plain(price)} is below the minimum {plain(low)}"))
    if 0 < high < price:
        breaches.append(FilterBreach("PRICE_FILTER", f"price {plain(price)} is above the maximum {plain(high)}"))
    if _off_grid(price, tick):
        breaches.append(FilterBreach("PRICE_FILTER", f"price {plain(price)} is not a multiple of {plain(tick)}"))
    return breaches


def check_order(
    filters: Mapping[str, Mapping[str, Any]],
    *,
    type_: str,
    quantity: Decimal | None,
    quote_quantity: Decimal | None,
    price: Decimal | None,
    stop_price: Decimal | None = None,
    base_precision: int,
    quote_precision: int,
    reference_price: Decimal | None,
) -> list[FilterBreach]:
    """Every filter that the order breaks; empty when it passes.

    ``reference_price`` (quote per base) stands in for the exchange's own in the notional of MARKET orders; without one
    that part is left to the exchange.
    """
    breaches: list[FilterBreach] = []
    if quantity is not None:
        if _precision(quantity) > base_precision:
            breaches.append(FilterBreach("PRECISION", f"quantity has more than {base_precision} decimals"))
        breaches += _check_quantity(filters, "LOT_SIZE", quantity)
        if type_ == "MARKET" and "MARKET_LOT_SIZE" in filters:
            breaches += _check_quantity(filters, "MARKET_LOT_SIZE", quantity)
    if quote_quantity is not None and _precision(quote_quantity) > quote_precision:
        breaches.append(FilterBreach("PRECISION", f"quote_quantity has more than {quote_precision} decimals"))
    for at in (price, stop_price):
        if at is None:
            continue
        if _precision(at) > quote_precision:
            breaches.append(FilterBreach("PRECISION", f"price has more than {quote_precision} decimals"))
        breaches += check_price(filters, at)
    return breaches + _check_notional(filters, type_, quantity, quote_quantity, price, reference_price)


def _check_notional(
    filters: Mapping[str, Mapping[str, Any]],
    type_: str,
    quantity: Decimal | None,
    quote_quantity: Decimal | None,
    price: Decimal | None,
    reference_price: Decimal | None,
) -> list[FilterBreach]:
    if quote_quantity is not None:
        notional: Decimal | None = quote_quantity
    else:
        at = price if price is not None else reference_price
        with localcontext(CONTEXT):
            notional = None if at is None or quantity is None else quantity * at
    if notional is None:
        return []
    market = type_ == "MARKET"
    breaches = []
    for name, minimum_flag, maximum_flag in (
        ("NOTIONAL", "applyMinToMarket", "applyMaxToMarket"),
        ("MIN_NOTIONAL", "applyToMarket", "applyToMarket"),
    ):
        if name not in filters:
            continue
        low, high = _decimal(filters, name, "minNotional"), _decimal(filters, name, "maxNotional")
        if (not market or filters[name].get(minimum_flag)) and notional < low:
            breaches.append(FilterBreach(name, f"notional {plain(notional)} is below the minimum {plain(low)}"))
        if (not market or filters[name].get(maximum_flag)) and 0 < high < notional:
            breaches.append(FilterBreach(name, f"notional {plain(notional)} is above the maximum {plain(high)}"))
    return breaches
