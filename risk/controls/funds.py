"""Control 7, funds and no short: an order may consume only what is ours, there, and not reserved for another order."""

from __future__ import annotations

from execution_project.common.money import plain, plain_or_none
from risk.controls.result import ControlOutcome, ControlResult
from risk.inputs import MAX_BALANCE_AGE, GateInputs

NUMBER = 7
CONTROL = "funds"


def evaluate(inputs: GateInputs) -> ControlResult:
    """``needed ≤ available`` passes. A buy also needs a balance report of at most 60 s; applies to reducing orders."""
    needed, available, asset = inputs.funds_needed, inputs.available, inputs.spent_asset
    seen = {
        "asset": asset,
        "ledger": plain_or_none(inputs.ledger_balance),
        "exchange": plain_or_none(inputs.exchange_balance),
        "reserved": plain(inputs.reserved),
        "balance_as_of": inputs.balance_as_of.isoformat() if inputs.balance_as_of else None,
    }
    if needed is None:
        return ControlResult(
            NUMBER, CONTROL, ControlOutcome.BREACH, "PRICE_UNAVAILABLE", "No fresh price sizes this order.", inputs=seen
        )
    if available is None or inputs.balance_as_of is None:
        return ControlResult(
            NUMBER,
            CONTROL,
            ControlOutcome.BREACH,
            "BALANCE_UNKNOWN",
            f"The balance of {asset} on {inputs.intent.account} is not known.",
            observed=needed,
            inputs=seen,
        )
    if inputs.intent.side == "BUY" and inputs.now - inputs.balance_as_of > MAX_BALANCE_AGE:
        return ControlResult(
            NUMBER,
            CONTROL,
            ControlOutcome.BREACH,
            "BALANCE_STALE",
            f"The balance of {asset} was last reported at {inputs.balance_as_of.isoformat()}.",
            observed=needed,
            limit=available,
            inputs=seen,
        )
    if needed > available:
        return ControlResult(
            NUMBER,
            CONTROL,
            ControlOutcome.BREACH,
            "INSUFFICIENT_FUNDS",
            f"The order needs {plain(needed)} {asset}; {plain(available)} is available.",
            observed=needed,
            limit=available,
            inputs=seen,
        )
    return ControlResult(NUMBER, CONTROL, ControlOutcome.PASS, observed=needed, limit=available, inputs=seen)
