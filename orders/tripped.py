"""What a monitor's latch leaves working: in a scope that only takes what reduces, no order goes on that increases."""

from __future__ import annotations

from execution_project.common.actors import engine
from orders.canceling import ask_where_none_is_under_way, working_orders
from risk.inputs import CASH_ASSETS
from risk.models import State, TradingState


def cancel_what_increases() -> int:
    """Ask for the end of every order that increases exposure in a scope that was latched to REDUCE_ONLY.

    Rung by the ticker, so it goes on although whoever latched it died; returns how many were asked for. What sells for
    a cash asset goes on: closing is never blocked.
    """
    by, asked = engine("risk", "latched to REDUCE_ONLY"), 0
    for row in TradingState.objects.filter(state=State.REDUCE_ONLY, latched=True).order_by("pk"):
        orders = working_orders(row.scope_kind, row.scope_key)
        increasing = orders.exclude(side="SELL", instrument__quote_asset__in=CASH_ASSETS)
        asked += ask_where_none_is_under_way(increasing, by=by, reason=row.reason)
    return asked
