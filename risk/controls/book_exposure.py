"""Control 9, gross and net exposure: the whole book, so that many small limits do not add up to a large one."""

from __future__ import annotations

from decimal import Decimal

from execution_project.common.money import plain, plain_or_none
from risk.controls.judging import Observation, judge, passed_over
from risk.controls.result import ControlResult
from risk.exposure import gross, net, risky_assets, unpriced
from risk.inputs import CASH_ASSETS, GateInputs, LimitVersion

NUMBER = 9
GROSS = "max_gross_exposure"
NET = "max_net_exposure"


def evaluate(inputs: GateInputs) -> tuple[ControlResult, ControlResult]:
    """Gross: ``Σ assets (held·mark + live buys) + this order ≤ limit``; net leaves live orders out. Cash counts not.
    Anything unpriced denies. Never for orders that reduce."""
    if inputs.gained_asset in CASH_ASSETS:
        why = f"The order brings cash ({inputs.gained_asset})."
        return passed_over(inputs, GROSS, why), passed_over(inputs, NET, why)
    added = inputs.added_exposure

    def observation(standing: Decimal | None, what: str, code: str, limit: LimitVersion) -> Observation:
        seen = {"added": plain_or_none(added), "standing": plain_or_none(standing)}
        if added is None:
            detail = f"No fresh price values this order in {inputs.reporting_currency}."
            return Observation(None, "PRICE_UNAVAILABLE", detail, seen)
        if standing is None:
            missing = ", ".join(unpriced(inputs, limit.scope, risky_assets(inputs)))
            return Observation(
                None, "MARK_UNAVAILABLE", f"No price of at most 60 s values what is held: {missing}.", seen
            )
        total = standing + added
        detail = f"With this order {what} exposure is {plain(total)} {inputs.reporting_currency};"
        return Observation(total, code, f"{detail} {limit.scope} allows {plain_or_none(limit.value)}.", seen)

    return (
        judge(inputs, GROSS, lambda row: observation(gross(inputs, row.scope), "gross", "MAX_GROSS_EXPOSURE", row)),
        judge(inputs, NET, lambda row: observation(net(inputs, row.scope), "net", "MAX_NET_EXPOSURE", row)),
    )
