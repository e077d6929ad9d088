"""Control 22, market data sanity: a price that is old, wide, crossed, far from the one before it or from another
exchange's is no market."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal, localcontext

from execution_project.common.money import CONTEXT, plain, plain_or_none, round_up
from risk.controls.judging import Observation, judge, passed_over
from risk.controls.result import ControlResult
from risk.inputs import MAX_QUOTE_AGE, GateInputs, LimitVersion

NUMBER = 22
AGE = "max_quote_age"
SPREAD = "max_spread"
JUMP = "max_mid_jump"
DIVERGENCE = "max_divergence"
PER = timedelta(seconds=1)


def evaluate(inputs: GateInputs) -> tuple[ControlResult, ...]:
    """``age ≤ limit``, ``(ask − bid) / mid ≤ limit``, ``|mid / mid before − 1| / max(1 s, time between) ≤ limit``,
    ``|mid / other mid − 1| ≤ limit``, each for itself; without a sane price each that is set denies. Orders with a
    price of their own that reduce pass, others that reduce do not."""
    if inputs.is_reducing and inputs.intent.type != "MARKET":
        why = "The order reduces exposure at a price of its own."
        return tuple(passed_over(inputs, name, why) for name in (AGE, SPREAD, JUMP, DIVERGENCE))
    return _age(inputs), _spread(inputs), _jump(inputs), _divergence(inputs)


def _unusable(inputs: GateInputs) -> Observation:
    detail = f"{inputs.price.symbol} has no price, or one that is crossed."
    return Observation(None, "MARKET_DATA_UNUSABLE", detail)


def _age(inputs: GateInputs) -> ControlResult:
    at = inputs.price.confirmed_at
    age = None if at is None else Decimal((inputs.now - at) // timedelta(microseconds=1)).scaleb(-6)

    def observe(limit: LimitVersion) -> Observation:
        if age is None or not inputs.price.sane:
            return _unusable(inputs)
        detail = f"The price of {inputs.price.symbol} is {plain(age)} s old; {limit.scope} allows"
        return Observation(age, "QUOTE_TOO_OLD", f"{detail} {plain_or_none(limit.value)}.")

    return judge(inputs, AGE, observe)


def _spread(inputs: GateInputs) -> ControlResult:
    def observe(limit: LimitVersion) -> Observation:
        bid, ask, mid = inputs.price.bid, inputs.price.ask, inputs.price.mid
        if bid is None or ask is None or mid is None or not inputs.price.sane:
            return _unusable(inputs)
        with localcontext(CONTEXT):
            spread = round_up((ask - bid) / mid)
        detail = f"The spread of {inputs.price.symbol} is {plain(spread)}; {limit.scope} allows"
        return Observation(spread, "SPREAD_TOO_WIDE", f"{detail} {plain_or_none(limit.value)}.")

    return judge(inputs, SPREAD, observe)


def _jump(inputs: GateInputs) -> ControlResult:
    """Without a quote before this one there is nothing that it can have jumped from."""
    price = inputs.price
    before, before_at = price.before_mid, price.before_at
    if before is None or before_at is None or before <= 0:
        return passed_over(inputs, JUMP, f"No earlier quote of {price.symbol} to compare with.")

    def observe(limit: LimitVersion) -> Observation:
        mid, at = price.mid, price.confirmed_at
        if mid is None or at is None or not price.sane:
            return _unusable(inputs)
        seconds = Decimal(max(at - before_at, PER) // timedelta(microseconds=1)).scaleb(-6)
        with localcontext(CONTEXT):
            jump = round_up(abs(mid / before - 1) / seconds)
        detail = f"The mid of {price.symbol} moved by {plain(jump)} a second from {plain(before)} to {plain(mid)};"
        seen = {"before": plain(before), "mid": plain(mid), "before_at": before_at.isoformat()}
        return Observation(jump, "PRICE_JUMPED", f"{detail} {limit.scope} allows {plain_or_none(limit.value)}.", seen)

    return judge(inputs, JUMP, observe)


def _divergence(inputs: GateInputs) -> ControlResult:
    """Without a fresh price of the same asset at another exchange there is nothing to compare with."""
    intent, own = inputs.intent, inputs.reported_mid
    others = [
        mark
        for mark in inputs.marks
        if mark.asset == intent.base_asset
        and mark.exchange != intent.exchange
        and inputs.now - mark.confirmed_at <= MAX_QUOTE_AGE
    ]
    if not others:
        return passed_over(inputs, DIVERGENCE, f"No other exchange shows a fresh price of {intent.base_asset}.")
    other = max(others, key=lambda mark: (mark.direct, mark.confirmed_at))

    def observe(limit: LimitVersion) -> Observation:
        if own is None:
            return _unusable(inputs)
        with localcontext(CONTEXT):
            apart = round_up(abs(own / other.price - 1))
        detail = f"{intent.base_asset} is priced {plain(apart)} away from {other.symbol} at {other.exchange};"
        seen = {"own": plain(own), "other": plain(other.price), "source": f"quote:{other.exchange}"}
        return Observation(
            apart, "PRICES_DIVERGE", f"{detail} {limit.scope} allows {plain_or_none(limit.value)}.", seen
        )

    return judge(inputs, DIVERGENCE, observe)
