"""Control 10, concentration: one asset's exposure as a share of equity."""

from __future__ import annotations

from dataclasses import replace
from decimal import localcontext

from execution_project.common.money import CONTEXT, plain, plain_or_none, round_up
from risk.controls.asset_exposure import concerns, with_this_order
from risk.controls.judging import Observation, judge, passed_over
from risk.controls.result import ControlResult
from risk.inputs import CASH_ASSETS, GateInputs, LimitVersion

NUMBER = 10
CONTROL = "max_concentration"


def evaluate(inputs: GateInputs) -> ControlResult:
    """``exposure / equity ≤ limit``; equity that is unknown or not positive denies. Never for orders that reduce."""
    asset = inputs.gained_asset
    if asset in CASH_ASSETS:
        return passed_over(inputs, CONTROL, f"The order brings cash ({asset}).")

    def observe(limit: LimitVersion) -> Observation:
        seen = with_this_order(inputs, asset, limit, "MAX_CONCENTRATION")
        if seen.value is None:
            return seen
        if inputs.equity is None or inputs.equity <= 0:
            return replace(seen, value=None, code="EQUITY_UNKNOWN", detail="No equity to measure this order against.")
        with localcontext(CONTEXT):
            share = round_up(seen.value / inputs.equity)
        detail = (
            f"With this order {asset} is {plain(share)} of equity; {limit.scope} allows {plain_or_none(limit.value)}."
        )
        return replace(seen, value=share, detail=detail, seen={**seen.seen, "equity": plain(inputs.equity)})

    return judge(inputs, CONTROL, observe, relevant=lambda limit: concerns(limit, asset))
