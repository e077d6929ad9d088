"""BTCTurk's stream events as reports, by the parsers of the REST answers (docs/btcturk.md §6). Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from exchanges.btcturk import parsing
from exchanges.http.decoding import Unparsable, record, records
from exchanges.reports import DepthReport, OrderReport, PublicTrade, TradeReport
from execution_project.common import clock

SOURCE = "stream"
DEPTH_LEVELS = 20
_METHODS = {0: "limit", 1: "market", 2: "stoplimit", 3: "stopmarket"}
_SIDES = {0: "buy", 1: "sell"}


def user_trade(body: Any) -> TradeReport:
    """423: one trade of ours, with the id that the list of trades shows. Raises ``Unparsable``."""
    (trade,) = parsing.trades({"success": True, "data": [record(body)]})
    return replace(trade, source=SOURCE)


def order_inserted(body: Any, heard_at: datetime) -> OrderReport:
    """451: an order that is there. It carries no time; when it was heard stands in. Raises ``Unparsable``.

    What it says is left may be stale, and of a market order is in doubtful units: nothing counts as executed.
    """
    item = record(body)
    method, side = _METHODS.get(_number(item, "method")), _SIDES.get(_number(item, "orderType"))
    if method is None or side is None:
        raise Unparsable("method or orderType")
    heard_ms = clock.to_ms(heard_at)
    order = {
        "id": item.get("id"),
        "pairSymbol": item.get("symbol"),
        "method": method,
        "type": side,
        "price": item.get("price"),
        "amount": item.get("amount"),
        "leftAmount": item.get("amount"),
        "orderClientId": item.get("newOrderClientId"),
        "status": "Untouched",
        "time": heard_ms,
        "updateTime": heard_ms,
    }
    report = parsing.order({"success": True, "data": order}).report
    return replace(report, source=SOURCE)


def full_book(body: Any) -> DepthReport:
    """431: the whole book of a pair, of which the best levels count. Raises ``Unparsable``."""
    item = record(body)
    symbol = item.get("PS")
    if not isinstance(symbol, str) or not symbol:
        raise Unparsable("PS")
    bids = sorted(_levels(item, "BO"), reverse=True)
    return DepthReport(symbol, tuple(bids[:DEPTH_LEVELS]), tuple(sorted(_levels(item, "AO"))[:DEPTH_LEVELS]))


def public_trade(body: Any, book: DepthReport | None) -> PublicTrade | None:
    """422: a trade of everybody's. Raises ``Unparsable``.

    What it says of the side is not to be trusted (docs/btcturk.md §6): at or beyond the best price of the book last
    heard, whoever took is known; inside the spread, or without a book, it is None.
    """
    item = record(body)
    symbol, trade_id, at = item.get("PS"), item.get("I"), item.get("D")
    price, amount = parsing.decimal(item.get("P"), "P"), parsing.decimal(item.get("A"), "A")
    if not isinstance(symbol, str) or not isinstance(trade_id, str | int) or not str(at).isdecimal():
        raise Unparsable("PS, I or D")
    if price <= 0 or amount <= 0:
        raise Unparsable("P or A")
    if book is not None and book.asks and price >= book.asks[0][0]:
        side = "BUY"
    elif book is not None and book.bids and price <= book.bids[0][0]:
        side = "SELL"
    else:
        return None
    try:
        return PublicTrade(symbol, str(trade_id), price, amount, side, clock.from_ms(int(str(at))))
    except OverflowError:
        raise Unparsable("D") from None


def _levels(item: dict[str, Any], name: str) -> list[tuple[Any, Any]]:
    levels = [
        (parsing.decimal(level.get("P"), "P"), parsing.decimal(level.get("A"), "A"))
        for level in records(item.get(name))
    ]
    if any(price <= 0 or amount < 0 for price, amount in levels):
        raise Unparsable(name)
    return [level for level in levels if level[1]]


def _number(item: dict[str, Any], name: str) -> int:
    value = item.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Unparsable(name)
    return value
