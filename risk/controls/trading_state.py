"""Kill and halt: the strictest state of all scopes of the order decides (docs/risk-controls.md §2)."""

from __future__ import annotations

from risk.controls.result import ControlOutcome, ControlResult
from risk.inputs import GateInputs

NUMBER = 0
CONTROL = "trading_state"


def evaluate(inputs: GateInputs) -> ControlResult:
    """HALTED denies everything but what reduces by a flatten that was confirmed after the halt; REDUCE_ONLY denies what
    does not reduce. An unknown state counts as HALTED. A flatten that is over lets nothing pass."""
    if inputs.intent.flatten_over:
        said = "The flatten that it belongs to does not run any more."
        return ControlResult(NUMBER, CONTROL, ControlOutcome.BREACH, "TRADING_HALTED", said)
    stopping = [s for s in inputs.states if not s.lets_pass(inputs.intent.flatten_seq)]
    reducing_only = [s for s in inputs.states if s.state == "REDUCE_ONLY" or inputs.intent.flatten_seq is not None]
    seen = {state.scope: state.state for state in inputs.states}
    if stopping:
        where = ", ".join(state.scope for state in stopping)
        return ControlResult(
            NUMBER, CONTROL, ControlOutcome.BREACH, "TRADING_HALTED", f"Trading is halted for {where}.", inputs=seen
        )
    if reducing_only and not inputs.is_reducing:
        where = ", ".join(state.scope for state in reducing_only)
        return ControlResult(
            NUMBER,
            CONTROL,
            ControlOutcome.BREACH,
            "TRADING_REDUCE_ONLY",
            f"Only orders that reduce exposure pass for {where}.",
            inputs=seen,
        )
    return ControlResult(NUMBER, CONTROL, ControlOutcome.PASS, inputs=seen)
