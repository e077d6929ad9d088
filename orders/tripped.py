"""What a monitor's latch leaves working: in a scope that a monitor has latched, no order goes on that increases."""

from __future__ import annotations

from execution_project.common.actors import engine
from orders.canceling import ask_where_none_is_under_way, working_orders
from risk.inputs import CASH_ASSETS
from risk.models import TradingState


def cancel_what_increases() -> int:
    """Ask for the end of every order that increases exposure in a scope that a monitor has latched, also in one that
    was halted before.

    Rung by the ticker, so it goes on although whoever latched it died; returns how many were asked for. What sells for
    a cash asset goes on: closing is never blocked.
    """
    by, asked = engine("risk", "latched by a monitor"), 0
    for row in TradingState.objects.filter(latched=True).exclude(tripped_by="").order_by("pk"):
        orders = working_orders(row.scope_kind, row.scope_key)
        increasing = orders.exclude(side="SELL", instrument__quote_asset__in=CASH_ASSETS)
        asked += ask_where_none_is_under_way(increasing, by=by, reason=row.reason)
    return asked
