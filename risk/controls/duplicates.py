"""Control 15, duplicates: the same order again, while the first is live or has just filled.

The idempotency key is the client's own guard; this one is for a double click and for a program that makes new keys.
"""

from __future__ import annotations

from decimal import Decimal

from execution_project.common.money import plain
from risk.controls.judging import Observation, judge, passed_over
from risk.controls.result import ControlResult
from risk.inputs import GateInputs, LimitVersion

NUMBER = 15
CONTROL = "duplicate_window"
FILLED_ALIKE = 1
"""So many of the same that filled within the window are not yet a pattern."""


def evaluate(inputs: GateInputs) -> ControlResult:
    """Denies when an accepted order of the same account, strategy, symbol, side, type, sizes and prices is at most the
    limit's seconds old and live, or when more than one such order filled. Applies to orders that reduce."""
    if inputs.replaces or inputs.intent.flatten_seq is not None:
        return passed_over(inputs, CONTROL, "A replace, or a part of a flatten.")

    def observe(limit: LimitVersion) -> Observation:
        within = [prior for prior in inputs.priors if prior.age_s <= (limit.value or Decimal(0))]
        live = [prior for prior in within if prior.live]
        filled = [prior for prior in within if prior.filled and not prior.live]
        alike = live or (filled if len(filled) > FILLED_ALIKE else [])
        if not alike:
            return Observation(None, "", "")
        youngest = min(alike, key=lambda prior: prior.age_s)
        state = "is live" if youngest.live else "filled"
        detail = f"Order {youngest.order_id} of {plain(youngest.age_s)} s ago looks the same and {state}."
        return Observation(youngest.age_s, "DUPLICATE_ORDER", detail, {"order": str(youngest.order_id)})

    return judge(inputs, CONTROL, observe, broken_by=lambda age, limit: age is not None and age <= limit)
