"""Control 1, permission: a scope may be closed for what increases exposure, or for MARKET orders alone.

That every mandatory limit is set is looked at by the control that the limit belongs to.
"""

from __future__ import annotations

from decimal import Decimal

from risk.controls.judging import Observation, judge, passed_over
from risk.controls.result import ControlResult
from risk.inputs import GateInputs, LimitVersion

NUMBER = 1
CONTROL = "permission"
MARKET_ORDERS = "market_orders"
NEEDED = Decimal(1)


def evaluate(inputs: GateInputs) -> tuple[ControlResult, ControlResult]:
    """A value of 0 anywhere in scope denies; unset permits. Never for orders that reduce: a closed market has exits."""
    intent = inputs.intent

    def closed(limit: LimitVersion) -> Observation:
        return Observation(NEEDED, "NOT_PERMITTED", f"{limit.scope} is closed for what increases exposure.")

    def no_market_orders(limit: LimitVersion) -> Observation:
        return Observation(NEEDED, "MARKET_NOT_PERMITTED", f"{limit.scope} takes no MARKET orders.")

    of_asset = f"asset:{inputs.gained_asset}"
    return (
        judge(inputs, CONTROL, closed, relevant=lambda row: row.scope in {of_asset} or not _is_asset(row)),
        judge(inputs, MARKET_ORDERS, no_market_orders)
        if intent.type == "MARKET"
        else passed_over(inputs, MARKET_ORDERS, f"A {intent.type} order."),
    )


def _is_asset(limit: LimitVersion) -> bool:
    return limit.scope.startswith("asset:")
