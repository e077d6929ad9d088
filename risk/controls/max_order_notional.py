"""Control 4, maximum order notional: one order's worst value in the reporting currency against every limit in scope."""

from __future__ import annotations

from execution_project.common.money import plain, plain_or_none
from risk.controls.judging import Observation, judge
from risk.controls.result import ControlResult
from risk.inputs import GateInputs, LimitVersion

NUMBER = 4
CONTROL = "max_order_notional"


def evaluate(inputs: GateInputs) -> ControlResult:
    """``value ≤ limit`` passes, the tightest of all scopes counts; unset or unpriced denies. Never for reducing orders.

    The account's own limit is mandatory: without one nothing that increases exposure passes.
    """
    value = None if inputs.unit_price is None else inputs.reported_notional
    seen = {
        "unit_price": plain_or_none(inputs.unit_price),
        "reporting_rate": plain_or_none(inputs.reporting_rate),
    }

    def observe(limit: LimitVersion) -> Observation:
        if value is None:
            unknown = f"No fresh price values this order in {inputs.reporting_currency}."
            return Observation(None, "PRICE_UNAVAILABLE", unknown, seen)
        detail = (
            f"The order is worth up to {plain(value)} {inputs.reporting_currency};"
            f" {limit.scope} allows {plain_or_none(limit.value)}."
        )
        return Observation(value, "MAX_ORDER_NOTIONAL", detail, seen)

    return judge(inputs, CONTROL, observe)
