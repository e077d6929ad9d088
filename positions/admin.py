"""What we own, in the admin."""

from __future__ import annotations

from execution_project.common.read_only_admin import show
from positions.models import Fill, Holding, LedgerEntry, Position, TradeCursor

show(
    Fill,
    *("traded_at", "account", "instrument", "side", "quantity", "price", "trade_id", "order_id"),
    search=("trade_id", "order_id", "client_order_id"),
)
show(LedgerEntry, "posted_at", "account", "asset", "book", "amount", "kind", "reference", search=("reference",))
show(Holding, "account", "asset", "strategy", "quantity", "updated_at", search=("asset",))
show(Position, "account", "instrument", "strategy", "net_quantity", "average_price", "realised_pnl", "updated_at")
show(TradeCursor, "account", "instrument", "opened_after_trade_id", "last_trade_id")
