"""BTCTurk's JSON as reports. Unknown fields are ignored, unknown statuses are kept apart, numbers are never guessed.

Pure: no clock, no I/O. Names of fields are read without regard to case, which has drifted. Everything that does not
have the documented shape (docs/btcturk.md §2, §3) raises ``Unparsable``; the caller turns that into "not known".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import reduce
from typing import Any

from exchanges.btcturk.outcomes import Said
from exchanges.http.decoding import Unparsable, decode, record, records
from exchanges.reports import (
    BalanceReport,
    Fee,
    InstrumentReport,
    OrderReport,
    QuoteReport,
    ReportedStatus,
    TradeReport,
)
from execution_project.common import clock
from execution_project.common.money import DECIMAL_PLACES, QUANTUM, plain

EXACT = Context(prec=160)  # two amounts of the pattern below multiply without rounding
_AMOUNT = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?")
_LARGEST_SCALE = 18

# docs/btcturk.md §3
STATUSES: dict[str, ReportedStatus] = {
    "untouched": ReportedStatus.OPEN,
    "partial": ReportedStatus.PARTIALLY_FILLED,
    "closed": ReportedStatus.FILLED,
    "canceled": ReportedStatus.CANCELED,
}
SIDES = {"buy": "BUY", "sell": "SELL"}
METHODS = {"limit": "LIMIT", "market": "MARKET", "stoplimit": "STOP_LOSS_LIMIT", "stopmarket": "STOP_LOSS"}
BY_MARKET = frozenset({"MARKET", "STOP_LOSS"})
STOPS = frozenset({"STOP_LOSS", "STOP_LOSS_LIMIT"})

MAY_HAVE_TRIGGERED = "may_have_triggered"
"""Reason of a canceled stop order: it may live on under another id with the same client order id."""

_ORDER_METHODS = {"MARKET": "MARKET", "LIMIT": "LIMIT", "STOP_MARKET": "STOP_LOSS", "STOP_LIMIT": "STOP_LOSS_LIMIT"}


@dataclass(frozen=True, slots=True)
class ListedOrder:
    """An order of the history with the time it was placed at (epoch ms), by which the list is walked."""

    placed_ms: int
    report: OrderReport


def said(content: bytes) -> Said:
    """The words of a body that is no success, of any shape (docs/btcturk.md §5)."""
    try:
        body = decode(content)
    except Unparsable:
        body = None
    if not isinstance(body, dict):
        return Said("", content[:500].decode("utf-8", errors="replace"))
    given = {name: body.get(name) for name in ("code", "message")}
    words = [value.strip() for value in given.values() if isinstance(value, str) and not value.strip().isdigit()]
    code, message = (
        "" if isinstance(value, bool | dict | list) or value is None else str(value) for value in given.values()
    )
    return Said(code, message, frozenset(word.upper() for word in words if word))


def refused(content: bytes) -> bool:
    """Whether a body says ``success: false``, which comes with HTTP 200 too."""
    try:
        body = decode(content)
    except Unparsable:
        return False
    return isinstance(body, dict) and body.get("success") is False


def data_of(body: Any) -> Any:
    """``data`` of an envelope that says success; None when it has none, which only some calls may."""
    envelope = record(body)
    if envelope.get("success") is not True:
        raise Unparsable("success")
    return envelope.get("data")


def _folded(body: Any) -> dict[str, Any]:
    item = record(body)
    folded = {name.lower(): value for name, value in item.items()}
    if len(folded) != len(item):
        raise Unparsable("a name given twice")
    return folded


def _listed(body: Any) -> list[dict[str, Any]]:
    return [_folded(item) for item in records(body)]


def _text(item: dict[str, Any], name: str) -> str:
    value = item.get(name.lower())
    if not isinstance(value, str) or not value:
        raise Unparsable(name)
    return value


def _optional_text(item: dict[str, Any], name: str) -> str:
    value = item.get(name.lower())
    if value is not None and not isinstance(value, str):
        raise Unparsable(name)
    return value or ""


def _symbol(item: dict[str, Any], name: str) -> str:
    return _text(item, name).replace("_", "")


def _word(item: dict[str, Any], name: str) -> str:
    return _text(item, name).strip().lower()


def _integer(item: dict[str, Any], name: str) -> int:
    value = item.get(name.lower())
    if not isinstance(value, int) or isinstance(value, bool):
        raise Unparsable(name)
    return value


def _flag(item: dict[str, Any], name: str) -> bool:
    value = item.get(name.lower())
    if not isinstance(value, bool):
        raise Unparsable(name)
    return value


def _identity(item: dict[str, Any], name: str) -> str:
    value = item.get(name.lower())
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return value
    number = _integer(item, name)
    if number <= 0:
        raise Unparsable(name)
    return str(number)


def decimal(value: Any, name: str) -> Decimal:
    """A number as the exchange writes them: text with a dot, or a JSON number."""
    if isinstance(value, str) and _AMOUNT.fullmatch(value):
        return Decimal(value)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        number = Decimal(value)
        if number.is_finite() and -40 <= number.adjusted() < 40:
            return number
    raise Unparsable(name)


def _amount(item: dict[str, Any], name: str) -> Decimal:
    return decimal(item.get(name.lower()), name)


def _optional_amount(item: dict[str, Any], name: str) -> Decimal | None:
    value = item.get(name.lower())
    return None if value is None or value == "" else decimal(value, name)


def _not_negative(item: dict[str, Any], name: str) -> Decimal:
    value = _amount(item, name)
    if value < 0:
        raise Unparsable(name)
    return value


def _moment(milliseconds: int, name: str) -> datetime:
    try:
        return clock.from_ms(milliseconds)
    except OverflowError:
        raise Unparsable(name) from None


def _known(words: dict[str, str], word: str, name: str) -> str:
    if word not in words:
        raise Unparsable(name)
    return words[word]


def placed(body: Any) -> OrderReport:
    """A placement answer. It says that the order is there and nothing about fills, even when it has filled at once."""
    item = _folded(data_of(body))
    kind = METHODS.get(_word(item, "method"), _word(item, "method").upper())
    price = _optional_amount(item, "price")
    at_market = kind in BY_MARKET
    return OrderReport(
        symbol=_symbol(item, "pairSymbol"),
        exchange_order_id=_identity(item, "id"),
        client_order_id=_text(item, "newOrderClientId"),
        side=_known(SIDES, _word(item, "type"), "type"),
        type=kind,
        status=ReportedStatus.OPEN,
        price=price if price and not at_market else None,
        quantity=None if at_market else _not_negative(item, "quantity"),
        cumulative_quantity=Decimal(0),
        cumulative_quote=None,
        as_of=_moment(_integer(item, "datetime"), "datetime"),
        source="rest.place",
    )


def _order(item: dict[str, Any], source: str) -> ListedOrder:
    """An order object of any read (docs/btcturk.md §2.7).

    ``as_of`` is its last update: a read may lag, so the time of asking proves nothing. What was executed is amount less
    the rest; of a market order, ``quantity`` is a residue, ``price`` no price and ``amount`` may be a converted figure.
    """
    raw_status = _text(item, "status")
    status = STATUSES.get(raw_status.strip().lower(), ReportedStatus.UNRECOGNISED)
    method = _word(item, "method")
    kind = METHODS.get(method, method.upper())
    amount, left = _not_negative(item, "amount"), _not_negative(item, "leftAmount")
    executed = EXACT.subtract(amount, left)
    at_market = kind in BY_MARKET
    if executed < 0 and not at_market:
        raise Unparsable("leftAmount")
    executed = max(executed, Decimal(0))
    if status is ReportedStatus.OPEN and executed > 0:
        status = ReportedStatus.PARTIALLY_FILLED
    reason = raw_status if status is ReportedStatus.UNRECOGNISED else ""
    if kind in STOPS and status is ReportedStatus.CANCELED:
        reason = MAY_HAVE_TRIGGERED
    created, updated = _integer(item, "time"), _integer(item, "updateTime")
    price = _optional_amount(item, "price")
    report = OrderReport(
        symbol=_symbol(item, "pairSymbol"),
        exchange_order_id=_identity(item, "id"),
        client_order_id=_optional_text(item, "orderClientId"),
        side=_known(SIDES, _word(item, "type"), "type"),
        type=kind,
        status=status,
        price=price if price and not at_market else None,
        quantity=None if at_market else amount,
        cumulative_quantity=executed,
        cumulative_quote=None,
        as_of=_moment(max(created, updated), "updateTime"),  # the time of placing is 0 in the list of open orders
        source=source,
        reason=reason,
    )
    return ListedOrder(created or updated, report)


def order(body: Any) -> ListedOrder:
    """The answer to a question for one order."""
    return _order(_folded(data_of(body)), "rest.query")


def open_orders(body: Any) -> tuple[OrderReport, ...]:
    """The working orders, both sides; a side that is missing makes the whole answer unusable."""
    sides = _folded(data_of(body))
    return tuple(
        _order(item, "rest.open_orders").report for side in ("bids", "asks") for item in _listed(sides.get(side))
    )


def order_history(body: Any) -> tuple[ListedOrder, ...]:
    """A page of orders in any state, in the order of the page."""
    return tuple(_order(item, "rest.order_history") for item in _listed(data_of(body)))


def _legs(item: dict[str, Any]) -> tuple[Fee, ...]:
    """Fee and tax, each a deduction of its own in the quote asset; the exchange writes deductions as negative."""
    asset = _text(item, "denominatorSymbol")
    legs = (Fee(asset, -_amount(item, name), name) for name in ("fee", "tax"))
    return tuple(leg for leg in legs if leg.amount)


def trades(body: Any) -> tuple[TradeReport, ...]:
    """Trades in the order of the answer (docs/btcturk.md §2.8). The precise amount counts, the shown one is rounded."""
    return tuple(_trade(item) for item in _listed(data_of(body)))


def _trade(item: dict[str, Any]) -> TradeReport:
    precise = _optional_amount(item, "preciseAmount")
    signed = precise if precise else _amount(item, "amount")
    side = _known(SIDES, _word(item, "orderType"), "orderType")
    # Sells are written as negative. A sign that contradicts the side would book the trade the wrong way round.
    if signed == 0 or (side == "BUY" and signed < 0):
        raise Unparsable("amount")
    price, quantity = _amount(item, "price"), abs(signed)
    if price <= 0:
        raise Unparsable("price")
    return TradeReport(
        symbol=_text(item, "numeratorSymbol") + _text(item, "denominatorSymbol"),
        trade_id=_identity(item, "id"),
        exchange_order_id=_identity(item, "orderId"),
        client_order_id=_optional_text(item, "orderClientId") or None,
        side=side,
        price=price,
        quantity=quantity,
        quote_quantity=_storable(EXACT.multiply(price, quantity)),
        fees=_legs(item),
        is_maker=None,
        traded_at=_moment(_integer(item, "timestamp"), "timestamp"),
        source="rest.trades",
    )


def _storable(value: Decimal) -> Decimal:
    """Exact up to the decimals that the books hold, rounded half to even beyond them."""
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= -DECIMAL_PLACES:
        return value
    return value.quantize(QUANTUM, ROUND_HALF_EVEN, EXACT)


def balances(body: Any, as_of: datetime) -> tuple[BalanceReport, ...]:
    """The balances that are not zero. Their decimal mark is a comma or a dot (docs/btcturk.md §2.4)."""
    found = (
        BalanceReport(_text(item, "asset"), _either_mark(item, "free"), _either_mark(item, "locked"), as_of)
        for item in _listed(data_of(body))
    )
    return tuple(balance for balance in found if balance.free or balance.locked)


def _either_mark(item: dict[str, Any], name: str) -> Decimal:
    value = item.get(name)
    if isinstance(value, str):
        # With both marks one of them would be a thousands separator, and which is a guess.
        if "," in value and "." in value:
            raise Unparsable(name)
        value = value.replace(",", ".")
    return decimal(value, name)


def instruments(body: Any) -> tuple[tuple[InstrumentReport, ...], frozenset[str]]:
    """The pairs of exchangeinfo, and the names of those that cannot be read (docs/btcturk.md §2.2, §4)."""
    found: list[InstrumentReport] = []
    unreadable: set[str] = set()
    for item in _listed(_folded(data_of(body)).get("symbols")):
        try:
            found.append(_instrument(item))
        except Unparsable:
            unreadable.add(str(item.get("name")))
    return tuple(found), frozenset(unreadable)


def _instrument(item: dict[str, Any]) -> InstrumentReport:
    status = _text(item, "status")
    methods = item.get("ordermethods")
    if not isinstance(methods, list):
        raise Unparsable("orderMethods")
    names = [str(method).upper() for method in methods]
    base_scale, quote_scale = _scale(item, "numeratorScale"), _scale(item, "denominatorScale")
    price_scale = quote_scale if _flag(item, "hasFraction") else 0
    # Fees are read as taken from the quote asset; a pair where they are not would be booked wrongly.
    fee_in_base = item.get("commissionfromnumerator") is True
    return InstrumentReport(
        symbol=_symbol(item, "name"),
        base_asset=_text(item, "numerator"),
        quote_asset=_text(item, "denominator"),
        status=status,
        is_trading=status.upper() == "TRADING" and not fee_in_base,
        base_precision=base_scale,
        quote_precision=price_scale,
        order_types=tuple(_ORDER_METHODS.get(name, name) for name in names),
        quote_quantity_allowed="MARKET" in names,
        filters=_filters(item, base_scale, price_scale),
    )


def _scale(item: dict[str, Any], name: str) -> int:
    value = _integer(item, name)
    if not 0 <= value <= _LARGEST_SCALE:
        raise Unparsable(name)
    return value


def _filters(item: dict[str, Any], base_scale: int, price_scale: int) -> dict[str, dict[str, Any]]:
    """The pair's rules under the names and fields that ``exchanges.filters`` checks. "0" switches a bound off.

    The published tick is the website's arrow step and no rule: the grid of prices and sizes is that of their decimals.
    """
    published = {_text(each, "filterType"): each for each in _listed(item.get("filters"))}.get("PRICE_FILTER", {})
    return {
        "PRICE_FILTER": {
            "minPrice": _most(_bound(published, "minPrice"), _bound(item, "minimumLimitOrderPrice")),
            "maxPrice": _least(_bound(published, "maxPrice"), _bound(item, "maximumLimitOrderPrice")),
            "tickSize": plain(Decimal(1).scaleb(-price_scale)),
        },
        "LOT_SIZE": {
            "minQty": plain(_bound(published, "minAmount")),
            "maxQty": _least(_bound(published, "maxAmount"), _bound(item, "maximumOrderAmount")),
            "stepSize": plain(Decimal(1).scaleb(-base_scale)),
        },
        "NOTIONAL": {
            "minNotional": plain(_bound(published, "minExchangeValue")),
            "applyMinToMarket": True,
            "maxNotional": "0",
            "applyMaxToMarket": False,
        },
    }


def _bound(item: dict[str, Any], name: str) -> Decimal:
    """A bound of a rule; 0 when there is none."""
    return _optional_amount(item, name) or Decimal(0)


def _most(*bounds: Decimal) -> str:
    return plain(max(bounds))


def _least(*bounds: Decimal) -> str:
    return plain(min((bound for bound in bounds if bound), default=Decimal(0)))


def quotes(body: Any) -> tuple[QuoteReport, ...]:
    """Best bid and ask of ticker items; a price of zero stands for an empty side of the book."""
    return tuple(
        QuoteReport(_symbol(item, "pair"), _amount(item, "bid") or None, _amount(item, "ask") or None)
        for item in _listed(data_of(body))
    )


def server_ms(body: Any) -> int:
    """The exchange's time in epoch ms; this answer has no envelope."""
    return _integer(_folded(body), "serverTime")


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Their sum, exact."""
    return reduce(EXACT.add, amounts, Decimal(0))


def known_by_trades(symbol: str, own: Sequence[TradeReport]) -> OrderReport:
    """What its trades alone (oldest first, at least one) tell about an order that no list shows yet."""
    last = own[-1]
    return OrderReport(
        symbol=symbol,
        exchange_order_id=last.exchange_order_id,
        client_order_id=last.client_order_id or "",
        side=last.side,
        type="",
        status=ReportedStatus.UNRECOGNISED,
        price=None,
        quantity=None,
        cumulative_quantity=total(trade.quantity for trade in own),
        cumulative_quote=total(trade.quote_quantity for trade in own),
        as_of=last.traded_at,
        source="rest.trades",
        reason="seen in its trades only",
    )
