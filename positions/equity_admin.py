"""What the books were worth, in the admin: series, valuations with their marks, points, and minutes of marks."""

from __future__ import annotations

from execution_project.common.admin_filters import by_time
from execution_project.common.read_only_admin import show
from positions.models import EquityPoint, EquitySeries, Mark, Valuation

show(
    EquitySeries,
    *("scope", "mode", "account", "strategy", "last_at", "last_equity", "currency", "nav", "hwm_nav", "hwm_at"),
    *("last_drawdown", "last_daily_loss", "last_missing"),
    search=("account__name", "strategy__name"),
    hint="account or strategy",
    filters=("scope", "mode"),
    ordering=("mode", "scope", "id"),
    small=True,
)
show(
    Valuation,
    *("at", "series", "equity", "currency", "flows", "nav", "hwm_nav", "why", "missing"),
    search=("id",),
    hint="valuation id",
    filters=(by_time("id", "time"), "series"),
)
show(
    EquityPoint,
    *("at", "series", "equity", "nav", "drawdown_trailing", "daily_loss", "confirmed", "missing", "valuation"),
    filters=(by_time("at", "time"), "series"),
)
show(
    Mark,
    *("minute", "mode", "exchange", "asset", "bid", "mid", "currency", "quoted_at", "path"),
    filters=(by_time("minute", "minute"), "mode", "exchange"),
)
