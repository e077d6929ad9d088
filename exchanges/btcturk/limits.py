"""What calls take from BTCTurk's rate limits (docs/btcturk.md §2.1).

No header tells what is left, so every call is counted before it is made.
"""

from __future__ import annotations

from collections.abc import Mapping

from exchanges.adapters import CallWindow
from exchanges.http.calls import retry_after_ms

_ORDERS = (
    CallWindow("btcturk_orders_60s", 60, 300, per_account=True),
    CallWindow("btcturk_orders_1s", 1, 10, per_account=True),
)
_ORDER = (
    CallWindow("btcturk_order_60s", 60, 900, per_account=True),
    CallWindow("btcturk_order_1s", 1, 30, per_account=True),
)
_OPEN_ORDERS = (CallWindow("btcturk_open_orders_60s", 60, 300),)
_TRADES = (CallWindow("btcturk_trades_60s", 60, 120),)
_UNPUBLISHED = 60

# Every HTTP call takes one from each of its windows. Calls of one endpoint share its windows; whether placing and
# canceling do is not documented, and both are counted together.
COSTS: dict[str, tuple[CallWindow, ...]] = {
    "place": _ORDERS,
    "cancel": _ORDERS,
    "query_order": _ORDER,
    "open_orders": _OPEN_ORDERS,
    "open_orders_all": _OPEN_ORDERS,
    "order_history": (CallWindow("btcturk_order_history_60s", 60, 300),),
    "order_trades": _TRADES,
    "trades_from": _TRADES,
    "trades_between": _TRADES,
    "balances": (CallWindow("btcturk_balances_60s", 60, 120),),
    "instruments": (CallWindow("btcturk_instruments_60s", 60, _UNPUBLISHED),),
    "quotes": (CallWindow("btcturk_ticker_60s", 60, 600),),
    "server_time": (CallWindow("btcturk_server_time_60s", 60, _UNPUBLISHED),),
}

_KEPT = ("retry-after", "x-retry-after", "date", "cf-ray", "www-authenticate")
_KEPT_CHARACTERS = 64


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that belong into evidence. Names in lower case."""
    return {name: headers[name][:_KEPT_CHARACTERS] for name in _KEPT if name in headers}


def wait_ms(headers: Mapping[str, str]) -> int | None:
    """How long the exchange wants to be left alone, in ms; None when it did not say. Old gateways name it with x-."""
    found = retry_after_ms(headers.get("retry-after"))
    return found if found is not None else retry_after_ms(headers.get("x-retry-after"))
