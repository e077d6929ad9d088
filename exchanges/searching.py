"""Searching an exchange for an order that nobody has an id of: what was placed in a stretch of time, and its trades.

Whoever looks asks for the open orders first: one that ends meanwhile is then seen in the lists that are asked after.
"""

from __future__ import annotations

from collections.abc import Iterator

from exchanges.adapters import ExchangeAdapter
from exchanges.binance.adapter import MAX_TIME_RANGE_MS, BinanceAdapter
from exchanges.btcturk.adapter import MAX_CALLS, TRADES_SHORT, WINDOW_MS, BtcturkAdapter
from exchanges.paper.adapter import PaperAdapter
from exchanges.reports import OrderReport, ReadFailed, TradeReport

SHORTEST_SLICE_MS = 60_000


def orders_placed(
    adapter: ExchangeAdapter, symbol: str, start_ms: int, end_ms: int, *, now_ms: int
) -> tuple[OrderReport, ...]:
    """Orders of any status placed between two moments (exchange time, ms, at most a day apart). Raises
    ``ReadFailed``; ``TypeError`` for an adapter without such a list."""
    if isinstance(adapter, BinanceAdapter):
        return adapter.order_history(symbol, now_ms=now_ms, start_ms=start_ms, end_ms=end_ms)
    if isinstance(adapter, BtcturkAdapter):
        return adapter.order_history(symbol, since_ms=start_ms, now_ms=now_ms)
    if isinstance(adapter, PaperAdapter):
        return adapter.order_history(symbol, start_ms, end_ms)
    raise TypeError(f"{type(adapter).__name__} has no order history")


def trades_since(
    adapter: ExchangeAdapter, symbol: str, start_ms: int, end_ms: int, *, now_ms: int
) -> tuple[TradeReport, ...]:
    """The account's trades between two moments (exchange time, ms). Raises ``ReadFailed``, ``TypeError`` as above."""
    return tuple(trade for _, told in trade_slices(adapter, symbol, start_ms, end_ms, now_ms=now_ms) for trade in told)


def trade_slices(
    adapter: ExchangeAdapter, symbol: str, start_ms: int, end_ms: int, *, now_ms: int
) -> Iterator[tuple[int, tuple[TradeReport, ...]]]:
    """The same slice by slice, oldest first: up to when (exchange time, ms), and the trades until then, each once.

    Whoever stops, or is stopped by a ``ReadFailed``, has every trade of the slices so far.
    """
    if isinstance(adapter, BtcturkAdapter):
        yield from _btcturk_slices(adapter, symbol, start_ms, end_ms, now_ms)
        return
    if isinstance(adapter, PaperAdapter):
        yield end_ms, adapter.trades_between(symbol, start_ms, end_ms, now_ms=now_ms)
        return
    if not isinstance(adapter, BinanceAdapter):
        raise TypeError(f"{type(adapter).__name__} has no trades by time")
    while start_ms <= end_ms:
        until = min(end_ms, start_ms + MAX_TIME_RANGE_MS)
        yield until, adapter.trades_between(symbol, start_ms, until, now_ms=now_ms)
        start_ms = until + 1


def _btcturk_slices(
    adapter: BtcturkAdapter, symbol: str, start_ms: int, end_ms: int, now_ms: int
) -> Iterator[tuple[int, tuple[TradeReport, ...]]]:
    """One call a slice, of half the length while one answer does not hold it: few reads are granted a minute."""
    length = WINDOW_MS
    seen: set[tuple[str, str]] = set()
    while True:
        length = min(length, end_ms - start_ms)
        shortest = length <= SHORTEST_SLICE_MS
        until = start_ms + length
        try:
            told = adapter.trades_between(
                symbol, start_ms, until, now_ms=now_ms, max_calls=MAX_CALLS if shortest else 1
            )
        except ReadFailed as failure:
            if shortest or failure.outcome.reason != "too_long":
                raise
            length = max(length // 2, SHORTEST_SLICE_MS)
            continue
        # The moment between two slices is asked for with both: how the exchange counts the ends is not documented.
        yield until, tuple(trade for trade in told if (trade.trade_id, trade.exchange_order_id) not in seen)
        seen = {(trade.trade_id, trade.exchange_order_id) for trade in told}
        if until >= end_ms:
            return
        start_ms = until
        if len(told) < TRADES_SHORT // 2:
            length *= 2
