"""Control 13, message rate: how many orders and replaces were asked for lately, accepted or not."""

from __future__ import annotations

from decimal import Decimal

from execution_project.common.money import plain_or_none
from risk.controls.catalogue import CATALOGUE, OF_RATE
from risk.controls.judging import Observation, judge
from risk.controls.result import ControlResult
from risk.inputs import GateInputs, LimitVersion

NUMBER = 13
CONTROL = "order_rate"


def evaluate(inputs: GateInputs) -> tuple[ControlResult, ...]:
    """``decisions in (now − window, now] + 1 ≤ limit``; those that were denied count as well. Orders that reduce have a
    budget of their own; cancels pass no gate. A count that is missing denies."""
    return tuple(_judge(inputs, name) for name in OF_RATE)


def _judge(inputs: GateInputs, name: str) -> ControlResult:
    window = CATALOGUE[name].window

    def observe(limit: LimitVersion) -> Observation:
        found = next((row for row in inputs.counted if row.control == name and row.scope == limit.scope), None)
        if found is None:
            return Observation(None, "RATE_UNKNOWN", f"What {limit.scope} asked for lately is not known.")
        count = (found.reducing if inputs.is_reducing else found.increasing) + 1
        seconds = 0 if window is None else int(window.total_seconds())
        detail = f"{count} orders within {seconds} s for {limit.scope}, which allows {plain_or_none(limit.value)}."
        return Observation(Decimal(count), "ORDER_RATE", detail)

    return judge(inputs, name, observe)
