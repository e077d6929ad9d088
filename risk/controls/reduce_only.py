"""Reduce-only orders: an order so marked that would not reduce is denied, never flipped."""

from __future__ import annotations

from risk.controls.result import ControlOutcome, ControlResult
from risk.inputs import GateInputs

NUMBER = 29
CONTROL = "reduce_only"


def evaluate(inputs: GateInputs) -> ControlResult:
    """Applies only to orders that the client marked reduce-only."""
    if not inputs.intent.reduce_only:
        return ControlResult(NUMBER, CONTROL, ControlOutcome.NOT_APPLICABLE)
    if not inputs.is_reducing:
        return ControlResult(
            NUMBER,
            CONTROL,
            ControlOutcome.BREACH,
            "REDUCE_ONLY_WOULD_INCREASE",
            "A reduce-only order must sell, for a cash asset, no more than is available.",
        )
    return ControlResult(NUMBER, CONTROL, ControlOutcome.PASS)
