"""Control 8, asset exposure: one asset over all its pairs, exchanges and live orders; splitting dodges nothing."""

from __future__ import annotations

from decimal import Decimal

from execution_project.common.money import plain, plain_or_none
from risk.controls.judging import Observation, judge, passed_over
from risk.controls.result import ControlResult
from risk.exposure import exposure_of, held, live_value
from risk.inputs import CASH_ASSETS, GateInputs, LimitVersion

NUMBER = 8
CONTROL = "max_asset_exposure"


def evaluate(inputs: GateInputs) -> ControlResult:
    """``held·mark + Σ live buys + this order ≤ limit`` of the asset that the order brings. Live orders count in full,
    also while their outcome is unknown; sells offset nothing. Unpriced denies. Never for orders that reduce."""
    asset = inputs.gained_asset
    if asset in CASH_ASSETS:
        return passed_over(inputs, CONTROL, f"The order brings cash ({asset}).")

    def observe(limit: LimitVersion) -> Observation:
        return with_this_order(inputs, asset, limit, "MAX_ASSET_EXPOSURE")

    return judge(inputs, CONTROL, observe, relevant=lambda limit: concerns(limit, asset))


def concerns(limit: LimitVersion, asset: str) -> bool:
    """Whether a row is about this asset, or about every one."""
    return not limit.scope.startswith("asset:") or limit.scope == f"asset:{asset}"


def with_this_order(inputs: GateInputs, asset: str, limit: LimitVersion, code: str) -> Observation:
    """The asset's exposure in the limit's scope once this order is live."""
    standing, added = exposure_of(inputs, limit.scope, asset), inputs.added_exposure
    where = "global" if limit.scope.startswith("asset:") else limit.scope
    seen = {
        "asset": asset,
        "held": plain(held(inputs, where, asset)),
        "mark": plain_or_none(inputs.mark(asset)),
        "live": plain(live_value(inputs, where, asset)),
        "added": plain_or_none(added),
    }
    if added is None:
        return Observation(None, "PRICE_UNAVAILABLE", f"No fresh price values this order in {unit(inputs)}.", seen)
    if standing is None:
        return Observation(None, "MARK_UNAVAILABLE", f"No price of at most 60 s values the {asset} that is held.", seen)
    total: Decimal = standing + added
    detail = f"With this order {asset} stands at {plain(total)} {unit(inputs)}; {limit.scope} allows"
    return Observation(total, code, f"{detail} {plain_or_none(limit.value)}.", seen)


def unit(inputs: GateInputs) -> str:
    """What exposures are counted in."""
    return inputs.reporting_currency
