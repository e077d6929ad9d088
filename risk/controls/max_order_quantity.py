"""Control 3, maximum order quantity: one order's base quantity, whatever it costs."""

from __future__ import annotations

from execution_project.common.money import plain, plain_or_none
from risk.controls.judging import Observation, judge
from risk.controls.result import ControlResult
from risk.inputs import GateInputs, LimitVersion

NUMBER = 3
CONTROL = "max_order_quantity"


def evaluate(inputs: GateInputs) -> ControlResult:
    """``quantity ≤ limit`` passes; a buy sized in quote is taken at the bid, the most that it can bring. Never for
    orders that reduce. No price is needed but for that."""
    intent = inputs.intent
    quantity = inputs.base_gained

    def observe(limit: LimitVersion) -> Observation:
        if quantity is None:
            return Observation(None, "PRICE_UNAVAILABLE", "No fresh price tells the quantity of this order.")
        detail = f"The order is for {plain(quantity)} {intent.base_asset}; {limit.scope} allows"
        return Observation(quantity, "MAX_ORDER_QUANTITY", f"{detail} {plain_or_none(limit.value)}.")

    own = {f"asset:{intent.base_asset}", f"symbol:{intent.symbol}"}
    return judge(inputs, CONTROL, observe, relevant=lambda limit: limit.scope in own)
