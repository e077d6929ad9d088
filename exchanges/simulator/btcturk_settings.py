"""What the documents leave open about BTCTurk, and what varies over time: switches of the control API."""

from __future__ import annotations

from dataclasses import dataclass, field

PERMISSIONS = ("total_funds", "trade", "account", "websocket")
"""Rights of an API key (docs/btcturk.md §1)."""
METHODS = ("MARKET", "LIMIT", "STOP_MARKET", "STOP_LIMIT")

LIMITS: dict[str, list[tuple[int, int]]] = {
    "balances": [(120, 60)],
    "order": [(300, 60), (10, 1)],
    "order_query": [(900, 60), (30, 1)],
    "open_orders": [(300, 60)],
    "all_orders": [(300, 60)],
    "trades": [(120, 60)],
    "transfers": [(90, 60)],
    "ticker": [(600, 60)],
    "orderbook": [(180, 60)],
    "ohlcs": [(120, 60)],
    "graph": [(600, 600)],
    "public": [(60, 60)],
    "websocket": [(15, 60)],
}
"""Calls per seconds by group of endpoints (docs/btcturk.md §2.1). `order` is shared by POST and DELETE."""


@dataclass(slots=True)
class PairState:
    """What BTCTurk changes about a pair at runtime."""

    status: str = "TRADING"
    order_methods: tuple[str, ...] = METHODS
    cancel_blocked: bool = False


@dataclass(slots=True)
class BtcturkSettings:
    """Times in ms. `auth_answer` is "empty" or "body", `stamps` one of "unique", "increasing", "any"."""

    auth_answer: str = "empty"
    stamps: str = "unique"
    stamp_window_ms: int = 5_000
    comma_balances: bool = False
    legacy_codes: bool = False
    cancel_delay_ms: int = 200
    release_lag_ms: int = 0
    limits_on: bool = True
    login_nonce: str = "any"
    delete_on_fill: bool = False
    limits: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: dict(LIMITS))
    pairs: dict[str, PairState] = field(default_factory=dict)

    def pair(self, symbol: str) -> PairState:
        """The state of a pair, as it is without any change."""
        return self.pairs.setdefault(symbol, PairState())
