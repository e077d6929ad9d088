"""Binance's JSON as reports. Unknown fields are ignored, unknown enum values are kept apart, numbers are never guessed.

Pure: no clock, no I/O. Everything that does not have the documented shape (docs/binance.md §2, §3) raises
``Unparsable``; the caller turns that into "not known".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from typing import Any

from exchanges.http.decoding import Unparsable, decode, record, records
from exchanges.reports import (
    BalanceReport,
    CommissionReport,
    DepthReport,
    Fee,
    FeeRates,
    InstrumentReport,
    OrderCountReport,
    OrderReport,
    PublicTrade,
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


def _order(
    item: dict[str, Any],
    client_order_id: str,
    as_of: datetime,
    source: str,
    *,
    quantity_name: str = "origQty",
    quote_name: str = "cummulativeQuoteQty",
) -> OrderReport:
    raw_status = _text(item, "status")
    status = STATUSES.get(raw_status, ReportedStatus.UNRECOGNISED)
    executed = _not_negative(item, "executedQty")
    if status is ReportedStatus.OPEN and executed > 0:
        status = ReportedStatus.PARTIALLY_FILLED
    cumulative_quote = _amount(item, quote_name)
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
        quantity=_positive_or_none(item, quantity_name),
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


def amended(body: Any) -> OrderReport:
    """An answer of an amendment; its order has names of its own for quantity and quote (docs/binance.md §2.3)."""
    item = record(body)
    order = record(item.get("amendedOrder"))
    at = moment(item, "transactTime")
    return _order(
        order,
        _text(order, "clientOrderId"),
        at,
        "rest.amend",
        quantity_name="qty",
        quote_name="cumulativeQuoteQty",
    )


SUCCESS, FAILURE, NOT_ATTEMPTED = "SUCCESS", "FAILURE", "NOT_ATTEMPTED"

# Every way in which a replace may end, by status and code (docs/binance.md §2.3).
_SPLITS: dict[tuple[int, int | None], frozenset[tuple[str, str]]] = {
    (200, None): frozenset({(SUCCESS, SUCCESS)}),
    (409, -2021): frozenset({(SUCCESS, FAILURE), (FAILURE, SUCCESS)}),
    (400, -2022): frozenset({(FAILURE, NOT_ATTEMPTED), (FAILURE, FAILURE)}),
    (429, -2021): frozenset({(SUCCESS, FAILURE)}),
    (429, -2022): frozenset({(FAILURE, NOT_ATTEMPTED)}),
}


@dataclass(frozen=True, slots=True)
class Split:
    """The halves of a replace answer, each with SUCCESS, FAILURE or NOT_ATTEMPTED and what stands behind it."""

    cancel_result: str
    cancel_answer: Any
    place_result: str
    place_answer: Any


def replaced(status: int, content: bytes) -> Split | None:
    """The halves of a replace answer; None when it has none, so that status and code alone have to do.

    Raises ``Unparsable`` when it has halves that the exchange's table does not know under this status and code.
    """
    try:
        item = record(decode(content))
    except Unparsable:
        return None
    success = 200 <= status < 300
    halves = item if success else item.get("data")
    if not isinstance(halves, dict) or "cancelResult" not in halves:
        return None
    results = (_text(halves, "cancelResult"), _text(halves, "newOrderResult"))
    code = None if success else _integer(item, "code")
    if results not in _SPLITS.get((status, code), ()):
        raise Unparsable("cancelResult")
    return Split(results[0], halves.get("cancelResponse"), results[1], halves.get("newOrderResponse"))


def error_in(body: Any) -> tuple[int, str]:
    """Code and message of an error object inside an answer."""
    item = record(body)
    message = item.get("msg")
    return _integer(item, "code"), message if isinstance(message, str) else ""


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


def history(body: Any) -> tuple[OrderReport, ...]:
    """A page of allOrders, in the order of the page."""
    return tuple(queried(item, "rest.order_history") for item in records(body))


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


def depth(body: Any, symbol: str) -> DepthReport:
    """A depth answer; it does not name its symbol."""
    item = record(body)
    return DepthReport(symbol, _levels(item, "bids"), _levels(item, "asks"))


def _levels(item: dict[str, Any], name: str) -> tuple[tuple[Decimal, Decimal], ...]:
    levels = item.get(name)
    if not isinstance(levels, list):
        raise Unparsable(name)
    found = []
    for level in levels:
        if not isinstance(level, list) or len(level) != 2:
            raise Unparsable(name)
        pair = {"price": level[0], "quantity": level[1]}
        found.append((_positive(pair, "price"), _positive(pair, "quantity")))
    return tuple(found)


def public_trade(body: Any) -> PublicTrade:
    """An event of the trade stream. ``m`` says that the buyer had waited, so that the seller took."""
    item = record(body)
    return PublicTrade(
        symbol=_text(item, "s"),
        trade_id=_identity(item, "t"),
        price=_positive(item, "p"),
        quantity=_positive(item, "q"),
        aggressor="SELL" if _flag(item, "m") else "BUY",
        traded_at=moment(item, "T"),
    )


def commission(body: Any) -> CommissionReport:
    """The fee rates of one symbol."""
    item = record(body)
    discount = record(item.get("discount"))
    in_force = _flag(discount, "enabledForAccount") and _flag(discount, "enabledForSymbol")
    return CommissionReport(
        symbol=_text(item, "symbol"),
        standard=_rates(item, "standardCommission"),
        special=_rates(item, "specialCommission"),
        tax=_rates(item, "taxCommission"),
        discount_asset=_text(discount, "discountAsset") if in_force else None,
        discount=_not_negative(discount, "discount") if in_force else None,
    )


def _rates(item: dict[str, Any], name: str) -> FeeRates:
    rates = record(item.get(name))
    return FeeRates(*(_not_negative(rates, kind) for kind in ("maker", "taker", "buyer", "seller")))


_INTERVAL_MS = {"SECOND": 1_000, "MINUTE": 60_000, "HOUR": 3_600_000, "DAY": 86_400_000}


def order_counts(body: Any) -> tuple[OrderCountReport, ...]:
    """The windows of the unfilled-order count."""
    found = []
    for item in records(body):
        interval = _INTERVAL_MS.get(_text(item, "interval"))
        if interval is None:
            raise Unparsable("interval")
        window_ms = interval * _integer(item, "intervalNum")
        found.append(OrderCountReport(window_ms, _integer(item, "limit"), _integer(item, "count")))
    return tuple(found)


def server_ms(body: Any) -> int:
    """The exchange's time in epoch ms."""
    return _integer(record(body), "serverTime")
