"""Control 3, maximum order quantity: one order's base quantity, whatever it costs, and beside what is usual."""

from __future__ import annotations

from decimal import Decimal, localcontext

from execution_project.common.money import CONTEXT, plain, plain_or_none, round_up
from risk.controls.judging import Observation, judge, passed_over
from risk.controls.result import ControlResult
from risk.inputs import GateInputs, LimitVersion

NUMBER = 3
CONTROL = "max_order_quantity"
MULTIPLE = "max_quantity_multiple"
FEWEST = 10
"""Of fewer orders no median is taken."""


def evaluate(inputs: GateInputs) -> tuple[ControlResult, ControlResult]:
    """``quantity ≤ limit`` passes, and ``quantity ≤ limit · median``; a buy sized in quote is taken at the bid, the
    most that it can bring. Never for orders that reduce. No price is needed but for that."""
    return _quantity(inputs), _multiple(inputs)


def _quantity(inputs: GateInputs) -> ControlResult:
    intent = inputs.intent
    quantity = inputs.base_gained

    def observe(limit: LimitVersion) -> Observation:
        if quantity is None:
            return Observation(None, "PRICE_UNAVAILABLE", "No fresh price tells the quantity of this order.")
        detail = f"The order is for {plain(quantity)} {intent.base_asset}; {limit.scope} allows"
        return Observation(quantity, "MAX_ORDER_QUANTITY", f"{detail} {plain_or_none(limit.value)}.")

    own = {f"asset:{intent.base_asset}", f"symbol:{intent.symbol}"}
    return judge(inputs, CONTROL, observe, relevant=lambda limit: limit.scope in own)


def _multiple(inputs: GateInputs) -> ControlResult:
    """Against the newest accepted orders of the same account, pair and strategy; of a replace there is no usual."""
    if inputs.replaces:
        return passed_over(inputs, MULTIPLE, "A replace.")
    if len(inputs.own_quantities) < FEWEST:
        known = len(inputs.own_quantities)
        return passed_over(inputs, MULTIPLE, f"Not judged: {known} earlier orders are its like, {FEWEST} are needed.")
    usual, quantity = median(inputs.own_quantities), inputs.base_gained
    seen = {"median": plain(usual), "orders": len(inputs.own_quantities)}

    def observe(limit: LimitVersion) -> Observation:
        if quantity is None:
            detail = "No fresh price tells the quantity of this order."
            return Observation(None, "PRICE_UNAVAILABLE", detail, seen)
        with localcontext(CONTEXT):
            times = round_up(quantity / usual)
        detail = f"The order is {plain(times)} times the usual {plain(usual)} {inputs.intent.base_asset};"
        allowed = f"{limit.scope} allows {plain_or_none(limit.value)}."
        return Observation(times, "UNUSUAL_QUANTITY", f"{detail} {allowed}", seen)

    return judge(inputs, MULTIPLE, observe)


def median(values: tuple[Decimal, ...]) -> Decimal:
    """The middle of at least one value, of an even number half way between the two in the middle."""
    ordered, middle = sorted(values), len(values) // 2
    if len(ordered) % 2:
        return ordered[middle]
    with localcontext(CONTEXT):
        return (ordered[middle - 1] + ordered[middle]) / 2
