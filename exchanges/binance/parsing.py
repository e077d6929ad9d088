"""Binance's JSON as reports. Unknown fields are ignored, unknown enum values are kept apart, numbers are never guessed.

Pure: no clock, no I/O. Everything that does not have the documented shape (docs/binance.md §2, §3) raises
``Unparsable``; the caller turns that into "not known".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from typing import Any, NoReturn

from exchanges.reports import (
    BalanceReport,
    Fee,
    InstrumentReport,
    OrderReport,
    QuoteReport,
    ReportedStatus,
    TradeReport,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXACT = Context(prec=160)  # two amounts of the pattern below multiply without rounding
_AMOUNT = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?")

# docs/binance.md §3.1
STATUSES: dict[str, ReportedStatus] = {
    "NEW": ReportedStatus.OPEN,
    "PENDING_NEW": ReportedStatus.OPEN,
    "PENDING_CANCEL": ReportedStatus.OPEN,
    "PARTIALLY_FILLED": ReportedStatus.PARTIALLY_FILLED,
    "FILLED": ReportedStatus.FILLED,
    "CANCELED": ReportedStatus.CANCELED,
    "REJECTED": ReportedStatus.REJECTED,
    "EXPIRED": ReportedStatus.EXPIRED,
    "EXPIRED_IN_MATCH": ReportedStatus.EXPIRED,
}


class Unparsable(Exception):
    """An answer without the shape that it must have. The text names the field, never a value."""

    reason = "unparsable"


class Mismatch(Unparsable):
    """A well-formed answer about something else than what was asked."""

    reason = "mismatch"


def decode(content: bytes) -> Any:
    """JSON with decimals instead of floats. Raises ``Unparsable``, also for NaN and for a name given twice."""
    try:
        return json.loads(
            content.decode("utf-8"),
            parse_float=Decimal,
            parse_constant=_no_constant,
            object_pairs_hook=_object,
        )
    except (ValueError, RecursionError):
        pass
    raise Unparsable("not JSON")  # outside the handler: the decoder's error holds the whole body


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(pairs)
    if len(named) != len(pairs):
        raise ValueError("a name given twice")
    return named


def error_of(content: bytes) -> tuple[int | None, str]:
    """Code and message of an error body; without a code the start of the text stands in for the message."""
    try:
        body = decode(content)
    except Unparsable:
        body = None
    if isinstance(body, dict):
        code, message = body.get("code"), body.get("msg")
        if isinstance(code, int) and not isinstance(code, bool):
            return code, message if isinstance(message, str) else ""
    return None, content[:500].decode("utf-8", errors="replace")


def record(body: Any) -> dict[str, Any]:
    """``body`` as an object, or ``Unparsable``."""
    if not isinstance(body, dict):
        raise Unparsable("not an object")
    return body


def records(body: Any) -> list[dict[str, Any]]:
    """``body`` as a list of objects, or ``Unparsable``."""
    if not isinstance(body, list):
        raise Unparsable("not a list")
    return [record(item) for item in body]


def _text(item: dict[str, Any], name: str) -> str:
    value = item.get(name)
    if not isinstance(value, str) or not value:
        raise Unparsable(name)
    return value


def _integer(item: dict[str, Any], name: str) -> int:
    value = item.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Unparsable(name)
    return value


def _flag(item: dict[str, Any], name: str) -> bool:
    value = item.get(name)
    if not isinstance(value, bool):
        raise Unparsable(name)
    return value


def _identity(item: dict[str, Any], name: str) -> str:
    value = _integer(item, name)
    if value < 0:
        raise Unparsable(name)
    return str(value)


def _amount(item: dict[str, Any], name: str) -> Decimal:
    value = item.get(name)
    if not isinstance(value, str) or not _AMOUNT.fullmatch(value):
        raise Unparsable(name)
    return Decimal(value)


def _not_negative(item: dict[str, Any], name: str) -> Decimal:
    value = _amount(item, name)
    if value < 0:
        raise Unparsable(name)
    return value


def _positive(item: dict[str, Any], name: str) -> Decimal:
    value = _amount(item, name)
    if value <= 0:
        raise Unparsable(name)
    return value


def _positive_or_none(item: dict[str, Any], name: str) -> Decimal | None:
    value = _amount(item, name)
    return value if value > 0 else None


def moment(item: dict[str, Any], name: str) -> datetime:
    """Epoch ms as an aware UTC time, exact."""
    try:
        return _EPOCH + timedelta(milliseconds=_integer(item, name))
    except OverflowError:
        raise Unparsable(name) from None


def _order(item: dict[str, Any], client_order_id: str, as_of: datetime, source: str) -> OrderReport:
    raw_status = _text(item, "status")
    status = STATUSES.get(raw_status, ReportedStatus.UNRECOGNISED)
    executed = _not_negative(item, "executedQty")
    if status is ReportedStatus.OPEN and executed > 0:
        status = ReportedStatus.PARTIALLY_FILLED
    cumulative_quote = _amount(item, "cummulativeQuoteQty")
    reason = item.get("expiryReason")
    if not isinstance(reason, str) or not reason:
        named = status is ReportedStatus.UNRECOGNISED or raw_status == "EXPIRED_IN_MATCH"
        reason = raw_status if named else ""
    return OrderReport(
        symbol=_text(item, "symbol"),
        exchange_order_id=_identity(item, "orderId"),
        client_order_id=client_order_id,
        side=_text(item, "side"),
        type=_text(item, "type"),
        status=status,
        price=_positive_or_none(item, "price"),
        quantity=_positive_or_none(item, "origQty"),
        cumulative_quantity=executed,
        # Below zero means that the exchange does not know it any more (docs/binance.md §2.4).
        cumulative_quote=cumulative_quote if cumulative_quote >= 0 else None,
        as_of=as_of,
        source=source,
        reason=reason,
    )


def placed(body: Any) -> tuple[OrderReport, tuple[TradeReport, ...]]:
    """A placement answer of type FULL: order and first trades. The status need not be a fill (docs/binance.md §2.2)."""
    item = record(body)
    at = moment(item, "transactTime")
    order = _order(item, _text(item, "clientOrderId"), at, "rest.place")
    trades = []
    for fill in records(item.get("fills")):
        # Fills of smart order routing are allocations without a trade id; they are no trades of this book.
        if _integer(fill, "tradeId") < 0:
            continue
        price, quantity = _positive(fill, "price"), _positive(fill, "qty")
        trades.append(
            TradeReport(
                symbol=order.symbol,
                trade_id=_identity(fill, "tradeId"),
                exchange_order_id=order.exchange_order_id,
                client_order_id=order.client_order_id,
                side=order.side,
                price=price,
                quantity=quantity,
                quote_quantity=_EXACT.multiply(price, quantity),
                fees=_fees(fill),
                is_maker=False,  # what trades on arrival takes
                traded_at=at,
                source="rest.place",
            )
        )
    return order, tuple(trades)


def canceled(body: Any) -> OrderReport:
    """A cancel answer; ``clientOrderId`` in it is the cancel's own id (docs/binance.md §2.3)."""
    item = record(body)
    return _order(item, _text(item, "origClientOrderId"), moment(item, "transactTime"), "rest.cancel")


def queried(body: Any, source: str = "rest.query") -> OrderReport:
    """An order object of a read. ``as_of`` is its last update: a read may lag, so the time of asking proves nothing."""
    item = record(body)
    client_order_id = item.get("clientOrderId")
    if not isinstance(client_order_id, str):
        raise Unparsable("clientOrderId")
    return _order(item, client_order_id, moment(item, "updateTime"), source)


def open_orders(body: Any) -> tuple[OrderReport, ...]:
    """A list of order objects."""
    return tuple(queried(item, "rest.open_orders") for item in records(body))


def _fees(item: dict[str, Any]) -> tuple[Fee, ...]:
    amount = _amount(item, "commission")
    if amount == 0:
        return ()
    return (Fee(asset=_text(item, "commissionAsset"), amount=amount),)


def trades(body: Any) -> tuple[TradeReport, ...]:
    """A page of myTrades, in the order of the page (docs/binance.md §2.6)."""
    return tuple(
        TradeReport(
            symbol=_text(item, "symbol"),
            trade_id=_identity(item, "id"),
            exchange_order_id=_identity(item, "orderId"),
            client_order_id=None,
            side="BUY" if _flag(item, "isBuyer") else "SELL",
            price=_positive(item, "price"),
            quantity=_positive(item, "qty"),
            quote_quantity=_not_negative(item, "quoteQty"),  # may round to zero for dust
            fees=_fees(item),
            is_maker=_flag(item, "isMaker"),
            traded_at=moment(item, "time"),
            source="rest.trades",
        )
        for item in records(body)
    )


def balances(body: Any, as_of: datetime) -> tuple[BalanceReport, ...]:
    """The balances of an account answer that are not zero."""
    found = (
        BalanceReport(_text(item, "asset"), _amount(item, "free"), _amount(item, "locked"), as_of)
        for item in records(record(body).get("balances"))
    )
    return tuple(balance for balance in found if balance.free or balance.locked)


def instruments(body: Any) -> tuple[InstrumentReport, ...]:
    """The symbols of exchangeInfo. Any status but TRADING means "not trading" (docs/binance.md §2.5)."""
    return tuple(_instrument(item) for item in records(record(body).get("symbols")))


def _instrument(item: dict[str, Any]) -> InstrumentReport:
    status = _text(item, "status")
    order_types = item.get("orderTypes")
    if not isinstance(order_types, list):
        raise Unparsable("orderTypes")
    return InstrumentReport(
        symbol=_text(item, "symbol"),
        base_asset=_text(item, "baseAsset"),
        quote_asset=_text(item, "quoteAsset"),
        status=status,
        is_trading=status == "TRADING" and item.get("isSpotTradingAllowed", True) is True,
        base_precision=_integer(item, "baseAssetPrecision"),
        quote_precision=_integer(item, "quoteAssetPrecision"),
        order_types=tuple(str(name) for name in order_types),
        quote_quantity_allowed=item.get("quoteOrderQtyMarketAllowed") is True,
        filters=_filters(records(item.get("filters"))),
    )


def _filters(items: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        _text(item, "filterType"): {
            name: str(value) if isinstance(value, Decimal) else value
            for name, value in item.items()
            if name != "filterType"
        }
        for item in items
    }


def quotes(body: Any) -> tuple[QuoteReport, ...]:
    """bookTicker items; a price of zero stands for an empty side of the book."""
    return tuple(
        QuoteReport(_text(item, "symbol"), _positive_or_none(item, "bidPrice"), _positive_or_none(item, "askPrice"))
        for item in records(body)
    )


def server_ms(body: Any) -> int:
    """The exchange's time in epoch ms."""
    return _integer(record(body), "serverTime")
