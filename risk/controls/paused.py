"""Pauses of controls 21 and 23: for a while nothing that increases exposure passes, then it goes on by itself."""

from __future__ import annotations

from execution_project.common.clock import rfc3339
from risk.controls.result import ControlOutcome, ControlResult
from risk.inputs import GateInputs

NUMBER = 21
CONTROL = "paused"
CODES = {"max_range_1m": "VOLATILITY_PAUSE"}


def evaluate(inputs: GateInputs) -> ControlResult:
    """Deny what increases while ``now < until`` of a pause of one of the order's scopes; the one that ends last is
    reported. What reduces passes."""
    standing = [pause for pause in inputs.paused if inputs.now < pause.until]
    seen = {f"{pause.scope} {pause.control}": rfc3339(pause.until) for pause in standing}
    if not standing:
        return ControlResult(NUMBER, CONTROL, ControlOutcome.PASS)
    if inputs.is_reducing:
        return ControlResult(NUMBER, CONTROL, ControlOutcome.NOT_APPLICABLE, inputs=seen)
    last = max(standing, key=lambda pause: pause.until)
    code = CODES.get(last.control, "COOLING_DOWN")
    detail = f"{last.scope} is paused until {rfc3339(last.until)} ({last.reason}): only orders that reduce pass."
    return ControlResult(NUMBER, CONTROL, ControlOutcome.BREACH, code, detail, inputs=seen)
