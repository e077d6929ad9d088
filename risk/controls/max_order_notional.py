"""Control 4, maximum order notional: one order's worst value in the reporting currency against every limit in scope."""

from __future__ import annotations

from execution_project.common.money import plain, plain_or_none
from risk.controls.result import ControlOutcome, ControlResult
from risk.inputs import GateInputs

NUMBER = 4
CONTROL = "max_order_notional"
MANDATORY_SCOPE = "account"


def evaluate(inputs: GateInputs) -> ControlResult:
    """``value ≤ limit`` passes, the tightest of all scopes counts; unset or unpriced denies. Never for reducing orders.

    The account's own limit is mandatory: without one nothing that increases exposure passes.
    """
    if inputs.is_reducing:
        return ControlResult(NUMBER, CONTROL, ControlOutcome.NOT_APPLICABLE, detail="The order reduces exposure.")
    limits = [limit for limit in inputs.limits if limit.control == CONTROL and limit.value is not None]
    seen = {limit.scope: {"version": limit.version, "value": plain_or_none(limit.value)} for limit in limits}
    if not any(limit.scope.startswith(f"{MANDATORY_SCOPE}:") for limit in limits):
        return ControlResult(
            NUMBER,
            CONTROL,
            ControlOutcome.BREACH,
            "LIMIT_NOT_SET",
            f"No {CONTROL} limit is set for account {inputs.intent.account} in mode {inputs.intent.mode}.",
            inputs=seen,
        )
    tightest = min(limits, key=lambda limit: limit.value or 0)
    value = inputs.reported_notional
    context = {
        "limits": seen,
        "limit_scope": tightest.scope,
        "limit_version": tightest.version,
        "unit_price": plain_or_none(inputs.unit_price),
        "reporting_rate": plain_or_none(inputs.reporting_rate),
    }
    if value is None or inputs.unit_price is None:
        return ControlResult(
            NUMBER,
            CONTROL,
            ControlOutcome.BREACH,
            "PRICE_UNAVAILABLE",
            f"No fresh price values this order in {inputs.reporting_currency}.",
            limit=tightest.value,
            inputs=context,
        )
    if tightest.value is None or value > tightest.value:
        return ControlResult(
            NUMBER,
            CONTROL,
            ControlOutcome.BREACH,
            "MAX_ORDER_NOTIONAL",
            f"The order is worth up to {plain(value)} {inputs.reporting_currency};"
            f" {tightest.scope} allows {plain_or_none(tightest.value)}.",
            observed=value,
            limit=tightest.value,
            inputs=context,
        )
    return ControlResult(NUMBER, CONTROL, ControlOutcome.PASS, observed=value, limit=tightest.value, inputs=context)
