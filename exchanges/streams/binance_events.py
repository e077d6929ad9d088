"""Binance's stream events as reports, by the parsers of the REST answers (docs/binance.md §7). Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from exchanges.binance import parsing
from exchanges.http.decoding import Unparsable, record
from exchanges.reports import OrderReport, Report, TradeReport

SOURCE = "stream"

# An execution report's letters as the fields of a REST order and of a REST trade.
_ORDER = {
    "symbol": "s",
    "orderId": "i",
    "side": "S",
    "type": "o",
    "status": "X",
    "price": "p",
    "origQty": "q",
    "executedQty": "z",
    "cummulativeQuoteQty": "Z",
    "updateTime": "T",
    "expiryReason": "eR",
}
_TRADE = {
    "symbol": "s",
    "id": "t",
    "orderId": "i",
    "price": "L",
    "qty": "l",
    "quoteQty": "Y",
    "commission": "n",
    "commissionAsset": "N",
    "isMaker": "m",
    "time": "T",
}


def execution_report(event: Any) -> tuple[Report, ...]:
    """The order, and the trade if the event is one. Raises ``Unparsable``.

    On a cancel ``c`` is the cancel's own id and ``C`` the order's; anywhere else ``C`` is empty, or the id that the
    order had before.
    """
    item = record(event)
    own = item.get("C") or item.get("c")
    order = parsing.queried({name: item.get(letter) for name, letter in _ORDER.items()} | {"clientOrderId": own})
    order = replace(order, source=SOURCE)
    trade_id = item.get("t")
    if item.get("x") != "TRADE" or (isinstance(trade_id, int) and trade_id < 0):
        return (order,)
    return order, _trade(item, order)


def _trade(item: dict[str, Any], order: OrderReport) -> TradeReport:
    if order.side not in {"BUY", "SELL"}:
        raise Unparsable("S")
    fields = {name: item.get(letter) for name, letter in _TRADE.items()}
    (trade,) = parsing.trades([{**fields, "isBuyer": order.side == "BUY"}])
    return replace(trade, source=SOURCE, client_order_id=order.client_order_id)
