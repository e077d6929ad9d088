"""Control 14, turnover over time: many small orders that are each within bounds."""

from __future__ import annotations

from decimal import Decimal

from execution_project.common.money import plain, plain_or_none
from risk.controls.catalogue import OF_TURNOVER
from risk.controls.judging import Observation, judge
from risk.controls.result import ControlResult
from risk.inputs import GateInputs, LimitVersion

NUMBER = 14
CONTROL = "turnover"


def evaluate(inputs: GateInputs) -> tuple[ControlResult, ...]:
    """``Σ worst values accepted in (now − window, now] + this order ≤ limit``; of a replace what it adds. Counted when
    accepted, buys and sells; what is canceled later stays counted. Unpriced denies. Never for orders that reduce."""
    return tuple(_judge(inputs, name) for name in OF_TURNOVER)


def _judge(inputs: GateInputs, name: str) -> ControlResult:
    value = inputs.turnover

    def observe(limit: LimitVersion) -> Observation:
        found = next((row for row in inputs.counted if row.control == name and row.scope == limit.scope), None)
        if value is None:
            detail = f"No fresh price values this order in {inputs.reporting_currency}."
            return Observation(None, "PRICE_UNAVAILABLE", detail)
        if found is None:
            return Observation(None, "TURNOVER_UNKNOWN", f"What {limit.scope} turned over lately is not known.")
        total: Decimal = found.increasing + value
        detail = (
            f"{limit.scope} would turn over {plain(total)} {inputs.reporting_currency}; {plain_or_none(limit.value)}"
        )
        return Observation(total, "MAX_TURNOVER", f"{detail} is allowed.", {"before": plain(found.increasing)})

    return judge(inputs, name, observe)
