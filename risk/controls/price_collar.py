"""Control 5, price collar: how far a price may lie from the middle of the book, on either side."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal, localcontext

from execution_project.common.money import CONTEXT, plain, plain_or_none, round_up
from risk.controls.judging import Observation, judge, passed_over
from risk.controls.result import ControlResult
from risk.inputs import MAX_QUOTE_AGE, GateInputs, LimitVersion

NUMBER = 5
CONTROL = "price_collar"
PASSIVE = "passive_collar"
LAST_GOOD_WITHIN = timedelta(minutes=10)


def evaluate(inputs: GateInputs) -> tuple[ControlResult, ControlResult]:
    """``BUY price ≤ mid·(1+b)``, ``SELL price ≥ mid·(1−b)``; the other way round for the passive side.

    The reference is the mid of a usable price; for what reduces the last sane one of at most 10 min, so that an exit
    stays open while prices are late. Without one the order is denied. Applies to orders that reduce.
    """
    price = inputs.intent.price
    if price is None:
        return (
            passed_over(inputs, CONTROL, "The order has no price of its own."),
            passed_over(inputs, PASSIVE, "The order has no price of its own."),
        )
    within = LAST_GOOD_WITHIN if inputs.is_reducing else MAX_QUOTE_AGE
    reference = inputs.price.mid if inputs.price.usable(inputs.now, within) else None
    ahead = None if reference is None else _ahead(inputs, price, reference)
    seen = {"reference": plain_or_none(reference), "source": f"quote:{inputs.intent.exchange}"}

    def aggressive(limit: LimitVersion) -> Observation:
        return _said(ahead, "PRICE_COLLAR", f"beyond {plain(reference or Decimal(0))}", limit)

    def passive(limit: LimitVersion) -> Observation:
        return _said(
            None if ahead is None else -ahead, "PASSIVE_COLLAR", f"from {plain(reference or Decimal(0))}", limit
        )

    def _said(value: Decimal | None, code: str, where: str, limit: LimitVersion) -> Observation:
        if value is None:
            return Observation(None, "PRICE_UNAVAILABLE", "No price is fresh enough to judge this one by.", seen)
        detail = (
            f"The price {plain(price)} lies {plain(value)} {where}; {limit.scope} allows {plain_or_none(limit.value)}."
        )
        return Observation(value, code, detail, seen)

    return judge(inputs, CONTROL, aggressive), judge(inputs, PASSIVE, passive)


def _ahead(inputs: GateInputs, price: Decimal, reference: Decimal) -> Decimal:
    """By what fraction of the reference the price is worse for us than it; negative on the passive side."""
    with localcontext(CONTEXT):
        worse = price - reference if inputs.intent.side == "BUY" else reference - price
        return round_up(worse / reference)
