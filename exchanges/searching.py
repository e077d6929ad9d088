"""Searching an exchange for an order that nobody has an id of: what was placed in a stretch of time, and its trades.

Whoever looks asks for the open orders first: one that ends meanwhile is then seen in the lists that are asked after.
"""

from __future__ import annotations

from exchanges.adapters import ExchangeAdapter
from exchanges.binance.adapter import MAX_TIME_RANGE_MS, BinanceAdapter
from exchanges.btcturk.adapter import BtcturkAdapter
from exchanges.reports import OrderReport, TradeReport


def orders_placed(
    adapter: ExchangeAdapter, symbol: str, start_ms: int, end_ms: int, *, now_ms: int
) -> tuple[OrderReport, ...]:
    """Orders of any status placed between two moments (exchange time, ms, at most a day apart). Raises
    ``ReadFailed``; ``TypeError`` for an adapter without such a list."""
    if isinstance(adapter, BinanceAdapter):
        return adapter.order_history(symbol, now_ms=now_ms, start_ms=start_ms, end_ms=end_ms)
    if isinstance(adapter, BtcturkAdapter):
        return adapter.order_history(symbol, since_ms=start_ms, now_ms=now_ms)
    raise TypeError(f"{type(adapter).__name__} has no order history")


def trades_since(
    adapter: ExchangeAdapter, symbol: str, start_ms: int, end_ms: int, *, now_ms: int
) -> tuple[TradeReport, ...]:
    """The account's trades between two moments (exchange time, ms). Raises ``ReadFailed``, ``TypeError`` as above."""
    if isinstance(adapter, BtcturkAdapter):
        return adapter.trades_between(symbol, start_ms, end_ms, now_ms=now_ms)
    if not isinstance(adapter, BinanceAdapter):
        raise TypeError(f"{type(adapter).__name__} has no trades by time")
    found: list[TradeReport] = []
    while start_ms <= end_ms:
        until = min(end_ms, start_ms + MAX_TIME_RANGE_MS)
        found += adapter.trades_between(symbol, start_ms, until, now_ms=now_ms)
        start_ms = until + 1
    return tuple(found)
