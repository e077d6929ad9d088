"""Control 28, ramp limits: which ramps cut the money limits of this order down; it denies nothing itself."""

from __future__ import annotations

from execution_project.common.money import plain
from risk.controls.catalogue import BLOCK, RAMP
from risk.controls.result import ControlOutcome, ControlResult
from risk.inputs import GateInputs

NUMBER = 28
CONTROL = RAMP


def evaluate(inputs: GateInputs) -> ControlResult:
    """Passes with the fraction of each scope; the limits that other controls judge by are cut down already."""
    counting = [row for row in inputs.limits if row.control == RAMP and row.enforcement == BLOCK]
    seen = {row.scope: plain(row.value) for row in counting if row.value is not None}
    return ControlResult(NUMBER, CONTROL, ControlOutcome.PASS if seen else ControlOutcome.NOT_SET, inputs=dict(seen))
