"""What the imitated exchange refuses, and in which words: its filters and its own codes, judged by its own table.

A refusal is worded as the exchange words it and goes through the same table as its real answers
(``exchanges/binance/outcomes.py``, ``exchanges/btcturk/outcomes.py``), so the engine sees what it would see in earnest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

from exchanges.binance import outcomes as binance
from exchanges.btcturk import outcomes as btcturk
from exchanges.filters import check_order
from exchanges.models import Exchange, Instrument
from exchanges.reports import OutcomeKind
from execution_project.common.money import CONTEXT


class Refused(Exception):
    """The paper exchange says no; ``reason`` is a key of ``WORDS``, ``detail`` the filter's name where there is one."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason} {detail}".strip())
        self.reason = reason
        self.detail = detail


class NoMarketData(Exception):
    """There is no book of the instrument that is young enough to be matched against."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a refusal proves, with the exchange's own code and words."""

    kind: OutcomeKind
    code: str
    message: str
    reason: str
    http_status: int
    wait_ms: int | None = None


# reason: (status, code, text of Binance), (status, name of BTCTurk); {} is the filter's name.
_BINANCE: dict[str, tuple[int, int, str]] = {
    "filter": (400, -1013, "Filter failure: {}"),
    "engine_filter": (400, -2010, "Filter failure: {}"),
    "precision": (400, -1111, "Parameter has too much precision."),
    "symbol": (400, -1121, "Invalid symbol."),
    "market_closed": (400, -1013, "Market is closed."),
    "insufficient_funds": (400, -2010, "Account has insufficient balance for requested action."),
    "duplicate": (400, -2010, "Duplicate order sent."),
    "would_match": (400, -2010, "Order would immediately match and take."),
    "would_trigger": (400, -2010, "Stop price would trigger immediately."),
    "thin_book": (400, -2010, "Order book liquidity is less than LOT_SIZE filter minimum quantity."),
    "unsupported": (400, -1116, "Invalid orderType."),
    "not_open": (400, -2011, "Unknown order sent."),
    "cancel_restricted": (400, -2011, "Order was not canceled due to cancel restrictions."),
    "no_change": (400, -2038, "The requested action would change no state; rejecting."),
    "increase": (400, -2038, "Order amend (quantity increase) is not supported."),
    "clock": (400, -1021, "Timestamp for this request is outside of the recvWindow."),
    "throttled": (429, -1003, "Too many requests; current limit is 6000 request weight per 1 MINUTE."),
    "busy": (503, -1008, "Server is currently overloaded with other requests."),
    "reject": (400, -2010, "Market is closed."),
}
_BTCTURK: dict[str, tuple[int, str]] = {
    "filter": (400, "FAILED_ORDER_PARAMETER"),
    "engine_filter": (400, "MAXIMUM_ORDER_AMOUNT_EXCEEDED"),
    "precision": (400, "FAILED_INVALID_QUANTITY_SCALE"),
    "symbol": (400, "PAIR_NOT_FOUND_ERROR"),
    "market_closed": (400, "FAILED_MARKET_ORDER"),
    "insufficient_funds": (400, "BALANCE_NOT_ENOUGH"),
    "thin_book": (400, "FAILED_MARKET_ORDER"),
    "unsupported": (400, "ORDER_METHOD_NOT_SUPPORTED"),
    "not_open": (400, "NO_ORDER_MATCHES_YOUR_REQUEST"),
    "cancel_restricted": (400, "ORDER_COULD_NOT_BE_CANCELED"),
    "throttled": (429, "TOO_MANY_REQUESTS"),
    "busy": (503, "INTERNAL_ERROR"),
    "reject": (400, "FAILED_MARKET_ORDER"),
}
_BTCTURK_FILTERS = {
    "NOTIONAL": "FAILED_MIN_TOTAL_AMOUNT",
    "MIN_NOTIONAL": "FAILED_MIN_TOTAL_AMOUNT",
    "PRICE_FILTER": "FAILED_INVALID_PRICE_SCALE",
    "LOT_SIZE": "FAILED_INVALID_QUANTITY_SCALE",
}


def verdict_of(exchange: str, call: str, refused: Refused) -> Verdict:
    """How the imitated exchange words a refusal of this call, and what its table makes of that."""
    if exchange == Exchange.BTCTURK:
        status, name = _BTCTURK.get(refused.reason, _BTCTURK["filter"])
        if refused.reason == "filter":
            name = _BTCTURK_FILTERS.get(refused.detail, name)
        said = btcturk.Said("", name, frozenset({name}))
        judged = btcturk.classify(btcturk.Call(call), status, said)
        return Verdict(judged.kind, name, name, judged.reason, status, judged.wait_ms)
    status, code, text = _BINANCE[refused.reason]
    message = text.format(refused.detail)
    found = binance.classify(binance.Call(call), status, code, message)
    return Verdict(found.kind, str(code), message, found.reason, status, found.wait_ms)


@dataclass(frozen=True, slots=True)
class Asked:
    """A placement as it arrives. ``price`` None: at the market."""

    symbol: str
    side: str
    type: str
    client_order_id: str
    quantity: Decimal | None
    quote_quantity: Decimal | None
    price: Decimal | None
    stop_price: Decimal | None
    time_in_force: str


def check_filters(instrument: Instrument, asked: Asked, reference: Decimal | None, working: int, stops: int) -> None:
    """The pair's filters in the exchange's order. Raises ``Refused``.

    ``reference``: quote per base for the notional of market orders and for the price range; ``working`` and ``stops``:
    orders and stop orders of the account that are open on the pair.
    """
    if not instrument.is_trading:
        raise Refused("market_closed")
    breaches = check_order(
        instrument.filters,
        type_=asked.type,
        quantity=asked.quantity,
        quote_quantity=asked.quote_quantity,
        price=asked.price,
        stop_price=asked.stop_price,
        base_precision=instrument.base_precision,
        quote_precision=instrument.quote_precision,
        reference_price=reference,
    )
    if breaches:
        name = breaches[0].name
        raise Refused("precision" if name == "PRECISION" else "filter", name)
    _check_range(instrument.filters, asked, reference)
    most = int(instrument.filters.get("MAX_NUM_ORDERS", {}).get("maxNumOrders", 0))
    if 0 < most <= working:
        raise Refused("engine_filter", "MAX_NUM_ORDERS")
    most = int(instrument.filters.get("MAX_NUM_ALGO_ORDERS", {}).get("maxNumAlgoOrders", 0))
    if asked.stop_price is not None and 0 < most <= stops:
        raise Refused("engine_filter", "MAX_NUM_ALGO_ORDERS")


def _check_range(filters: Mapping[str, Mapping[str, Any]], asked: Asked, reference: Decimal | None) -> None:
    """PERCENT_PRICE and PERCENT_PRICE_BY_SIDE (docs/binance.md §4); the last price stands in for the exchange's own."""
    if asked.price is None or reference is None:
        return
    prefix = "bid" if asked.side == "BUY" else "ask"
    for name, up, down in (
        ("PERCENT_PRICE", "multiplierUp", "multiplierDown"),
        ("PERCENT_PRICE_BY_SIDE", f"{prefix}MultiplierUp", f"{prefix}MultiplierDown"),
    ):
        if name not in filters:
            continue
        with localcontext(CONTEXT):
            low = reference * Decimal(str(filters[name].get(down, "0")))
            high = reference * Decimal(str(filters[name].get(up, "0")))
        if asked.price < low or 0 < high < asked.price:
            raise Refused("filter", name)
