"""Control 18, self-match: an order that could trade with a live one of our own would be a wash trade."""

from __future__ import annotations

from decimal import Decimal

from execution_project.common.money import plain_or_none
from risk.controls.judging import Observation, judge, passed_over
from risk.controls.result import ControlResult
from risk.facts import Resting
from risk.inputs import GateInputs, LimitVersion

NUMBER = 18
CONTROL = "self_match"


def evaluate(inputs: GateInputs) -> ControlResult:
    """Counts own live orders of the other side at the same exchange, of any account and strategy, that are priced at or
    through this one; MARKET meets every one. A stop that the market has not reached stands in no book. Applies to
    orders that reduce: cancel the own order first."""
    if inputs.intent.type == "STOP_LOSS_LIMIT":
        return passed_over(inputs, CONTROL, "A stop stands in no book until it is triggered.")
    met = [row for row in inputs.opposite if _meets(inputs, row)]
    seen = {"orders": [str(row.order_id) for row in met[:5]]}

    def observe(limit: LimitVersion) -> Observation:
        first = "" if not met else f"order {met[0].order_id} at {plain_or_none(met[0].price) or 'market'}"
        detail = f"The order could trade with {len(met)} of our own, {first}: cancel it first."
        return Observation(Decimal(len(met)), "SELF_MATCH", detail, seen)

    return judge(inputs, CONTROL, observe)


def _meets(inputs: GateInputs, row: Resting) -> bool:
    buying = inputs.intent.side == "BUY"
    if row.stop_price is not None and inputs.price.usable(inputs.now):
        bid, ask = inputs.price.bid or Decimal(0), inputs.price.ask or Decimal(0)
        if (buying and bid > row.stop_price) or (not buying and ask < row.stop_price):
            return False
    price = inputs.intent.price
    if price is None or row.price is None:
        return True
    return row.price <= price if buying else row.price >= price
