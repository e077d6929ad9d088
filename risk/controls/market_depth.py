"""Control 6, market order protection: the stored book must cover a MARKET order without reaching too deep."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

from execution_project.common.money import CONTEXT, plain, plain_or_none, round_up
from risk.controls.judging import Observation, judge, passed_over
from risk.controls.result import ControlOutcome, ControlResult
from risk.facts import MAX_DEPTH_AGE, Level
from risk.inputs import GateInputs, LimitVersion

NUMBER = 6
CONTROL = "market_slippage"
EXIT = "market_slippage_exit"
AS_LIMIT = "market_as_limit_ioc"


def evaluate(inputs: GateInputs) -> tuple[ControlResult, ...]:
    """The last level that the order needs lies at most the limit's fraction behind the best one; depth of at most 2 s.

    Orders that reduce have a limit of their own, ``market_slippage_exit``, which may be wider. Where the account's
    MARKET orders are sent as LIMIT IOC, one whose price no usable quote tells is denied.
    """
    return (*_depth(inputs), _as_limit(inputs)) if inputs.intent.as_limit_ioc else _depth(inputs)


def _as_limit(inputs: GateInputs) -> ControlResult:
    if inputs.intent.protection_price is None:
        said = "No fresh price tells at which limit this MARKET order would be sent."
        return ControlResult(NUMBER, AS_LIMIT, ControlOutcome.BREACH, "PRICE_UNAVAILABLE", said)
    seen = {"protection_price": plain(inputs.intent.protection_price), "source": f"quote:{inputs.intent.exchange}"}
    return ControlResult(NUMBER, AS_LIMIT, ControlOutcome.PASS, inputs=seen)


def _depth(inputs: GateInputs) -> tuple[ControlResult, ControlResult]:
    if inputs.intent.type != "MARKET":
        why = f"A {inputs.intent.type} order."
        return passed_over(inputs, CONTROL, why), passed_over(inputs, EXIT, why)
    depth = inputs.depth
    fresh = depth is not None and inputs.now - depth.confirmed_at <= MAX_DEPTH_AGE
    levels = () if depth is None else depth.asks if inputs.intent.side == "BUY" else depth.bids
    reach, average = walk(levels, inputs.intent.quantity, inputs.intent.quote_quantity) if fresh else (None, None)
    seen: dict[str, Any] = {
        "expected_average": plain_or_none(average),
        "depth_as_of": None if depth is None else depth.confirmed_at.isoformat(),
        "levels": len(levels),
    }

    def observe(limit: LimitVersion) -> Observation:
        if not fresh or not levels:
            return Observation(None, "DEPTH_UNAVAILABLE", f"No book of {inputs.intent.symbol} of at most 2 s.", seen)
        if reach is None:
            return Observation(None, "DEPTH_INSUFFICIENT", "The visible book does not cover this order.", seen)
        detail = f"The order reaches {plain(reach)} behind the best price; {limit.scope} allows"
        return Observation(reach, "DEPTH_INSUFFICIENT", f"{detail} {plain_or_none(limit.value)}.", seen)

    if inputs.is_reducing:
        return passed_over(inputs, CONTROL, "The order reduces exposure."), judge(inputs, EXIT, observe)
    return judge(inputs, CONTROL, observe), passed_over(inputs, EXIT, "The order does not reduce exposure.")


def walk(
    levels: tuple[Level, ...], quantity: Decimal | None, quote: Decimal | None
) -> tuple[Decimal | None, Decimal | None]:
    """(how far behind the best price the last level needed lies, average price), None where levels do not suffice."""
    base, paid = Decimal(0), Decimal(0)
    with localcontext(CONTEXT):
        for price, size in levels:
            left = (quantity - base) if quantity is not None else ((quote or Decimal(0)) - paid) / price
            taken = min(size, left)
            base += taken
            paid += taken * price
            if taken == left:
                return round_up(abs(price / levels[0][0] - 1)), round_up(paid / base) if base else price
    return None, None
