"""Control 11, counterparty and currency: what stands at one exchange, and in one cash asset but the reporting one."""

from __future__ import annotations

from decimal import Decimal, localcontext

from execution_project.common.money import CONTEXT, plain, plain_or_none, round_up
from risk.controls.judging import Observation, judge, passed_over
from risk.controls.result import ControlResult
from risk.exposure import exposure_of, standing_at
from risk.inputs import CASH_ASSETS, GateInputs, LimitVersion

NUMBER = 11
EXCHANGE = "max_exchange_exposure"
SHARE = "max_exchange_share"
CURRENCY = "max_currency_exposure"


def evaluate(inputs: GateInputs) -> tuple[ControlResult, ControlResult, ControlResult]:
    """Exchange: ``cash + assets + live buys + this buy ≤ limit``, also as a share of equity. Currency: what is held of
    a cash asset, live purchases of it and this one. Unpriced denies. Selling an asset for cash is an exit: passes."""
    return *_of_exchange(inputs), _of_currency(inputs)


def _of_exchange(inputs: GateInputs) -> tuple[ControlResult, ControlResult]:
    if inputs.intent.side != "BUY":
        return passed_over(inputs, EXCHANGE, "Not a buy."), passed_over(inputs, SHARE, "Not a buy.")

    def total(limit: LimitVersion) -> Observation:
        return _with_this(inputs, limit, standing_at(inputs, limit.scope), "MAX_EXCHANGE_EXPOSURE")

    def share(limit: LimitVersion) -> Observation:
        whole = _with_this(inputs, limit, standing_at(inputs, limit.scope), "MAX_EXCHANGE_SHARE")
        if whole.value is None:
            return whole
        if inputs.equity is None or inputs.equity <= 0:
            return Observation(None, "EQUITY_UNKNOWN", "No equity to measure this order against.", whole.seen)
        with localcontext(CONTEXT):
            part = round_up(whole.value / inputs.equity)
        detail = (
            f"With this order {limit.scope} holds {plain(part)} of equity; {plain_or_none(limit.value)} is allowed."
        )
        return Observation(part, "MAX_EXCHANGE_SHARE", detail, whole.seen)

    return judge(inputs, EXCHANGE, total), judge(inputs, SHARE, share)


def _of_currency(inputs: GateInputs) -> ControlResult:
    asset = inputs.gained_asset
    if asset == inputs.reporting_currency or asset not in CASH_ASSETS or inputs.spent_asset not in CASH_ASSETS:
        return passed_over(inputs, CURRENCY, "The order does not change one cash asset into another.")

    def observe(limit: LimitVersion) -> Observation:
        return _with_this(inputs, limit, exposure_of(inputs, limit.scope, asset), "MAX_CURRENCY_EXPOSURE")

    return judge(inputs, CURRENCY, observe, relevant=lambda limit: limit.scope == f"asset:{asset}")


def _with_this(inputs: GateInputs, limit: LimitVersion, standing: Decimal | None, code: str) -> Observation:
    added = inputs.added_exposure
    seen = {"standing": plain_or_none(standing), "added": plain_or_none(added)}
    if added is None:
        detail = f"No fresh price values this order in {inputs.reporting_currency}."
        return Observation(None, "PRICE_UNAVAILABLE", detail, seen)
    if standing is None:
        return Observation(None, "MARK_UNAVAILABLE", "No price of at most 60 s values what is held.", seen)
    total = standing + added
    detail = f"With this order {limit.scope} stands at {plain(total)} {inputs.reporting_currency};"
    return Observation(total, code, f"{detail} {plain_or_none(limit.value)} is allowed.", seen)
