"""Control 12, working orders: no more live ones than a kill can end in time."""

from __future__ import annotations

from decimal import Decimal

from execution_project.common.money import plain_or_none
from risk.controls.judging import Observation, judge
from risk.controls.result import ControlResult
from risk.exposure import live_orders
from risk.inputs import GateInputs, LimitVersion

NUMBER = 12
CONTROL = "max_working_orders"


def evaluate(inputs: GateInputs) -> ControlResult:
    """``live exchange orders + 1 ≤ limit``: accepted, working and unknown ones, a replaced one once. Never for orders
    that reduce, so that slots for exits need not be kept free."""

    def observe(limit: LimitVersion) -> Observation:
        count = live_orders(inputs, limit.scope) + 1
        detail = f"This would be live order {count} of {limit.scope}, which allows {plain_or_none(limit.value)}."
        return Observation(Decimal(count), "MAX_WORKING_ORDERS", detail)

    return judge(inputs, CONTROL, observe)
