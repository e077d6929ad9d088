"""What calls take from the exchange's rate limits, and what its answers say about them (docs/binance.md §2, §6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from exchanges.adapters import Cost
from exchanges.reports import Evidence

# Per HTTP call; paged reads (trades, order history) take it once per page. Writes are charged what they cost when
# they fail: a success gives the weight back (docs/binance.md §6), but that is known only afterwards.
COSTS: dict[str, Cost] = {
    "place": Cost(weight=1, orders=1),
    "cancel": Cost(weight=1),
    "amend": Cost(weight=4),
    "replace": Cost(weight=1, orders=1),
    "query_order": Cost(weight=4),
    "open_orders": Cost(weight=6),
    "open_orders_all": Cost(weight=80),
    "order_trades": Cost(weight=5),
    "trades_from": Cost(weight=20),
    "trades_between": Cost(weight=20),
    "order_history": Cost(weight=20),
    "balances": Cost(weight=20),
    "instruments": Cost(weight=20),
    "quotes": Cost(weight=4),
    "depth": Cost(weight=5),
    "depth_500": Cost(weight=25),
    "depth_1000": Cost(weight=50),
    "depth_5000": Cost(weight=250),
    "commission": Cost(weight=20),
    "order_counts": Cost(weight=40),
    "server_time": Cost(weight=1),
}

_KEPT = ("x-mbx-used-weight", "x-mbx-order-count", "retry-after")
_KEPT_CHARACTERS = 64


class Usage(NamedTuple):
    """Counters of one answer: weight of the host in this minute, orders of the account in 10 s and in the day (UTC)."""

    used_weight_1m: int | None
    order_count_10s: int | None
    order_count_1d: int | None


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that belong into evidence: counters and Retry-After. Names in lower case."""
    return {name: value[:_KEPT_CHARACTERS] for name, value in headers.items() if name.startswith(_KEPT)}


def usage_headers(evidence: Evidence) -> Usage:
    """The counters that the answer carried; None where it carried none or no number."""
    return Usage(
        _count(evidence, "x-mbx-used-weight-1m"),
        _count(evidence, "x-mbx-order-count-10s"),
        _count(evidence, "x-mbx-order-count-1d"),
    )


def _count(evidence: Evidence, name: str) -> int | None:
    text = evidence.headers.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None
