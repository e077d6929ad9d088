"""What the limits on losses have in common: which value of a scope's series each of them looks at.

Known, it is never below zero: a gain is no loss. A loss that equals its limit breaks it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal, localcontext

from execution_project.common.money import CONTEXT, plain, plain_or_none, round_up
from risk.controls.judging import Observation, judge
from risk.controls.result import ControlResult
from risk.facts import Losses
from risk.inputs import AHEAD, MAX_EQUITY_AGE, GateInputs, LimitVersion

ZERO = Decimal(0)
UNKNOWN = "EQUITY_UNKNOWN"


def _daily_fraction(seen: Losses) -> Decimal | None:
    if seen.daily_loss is None or seen.opening is None or seen.opening <= 0:
        return None
    with localcontext(CONTEXT):
        return round_up(seen.daily_loss / seen.opening)


MEASURES: Mapping[str, Callable[[Losses], Decimal | None]] = {
    "max_daily_loss": lambda seen: seen.daily_loss,
    "max_daily_loss_fraction": _daily_fraction,
    "max_drawdown": lambda seen: seen.drawdown,
    "max_drawdown_amount": lambda seen: seen.drawdown_amount,
}


def loss_of(name: str, scope: str, losses: Iterable[Losses], now: datetime) -> Decimal | None:
    """What a limit of this name looks at in a scope, or None: its equity was not known within the last 60 s, or a
    reference is not positive.

    Nothing is lost yet before the first confirmed valuation, and by a strategy that nothing is in the books of.
    """
    seen = next((each for each in losses if each.scope == scope), None)
    if seen is None:
        return ZERO if scope.startswith("strategy:") else None
    if seen.known_at is None or not -AHEAD <= now - seen.known_at <= MAX_EQUITY_AGE:
        return None
    if not seen.begun:
        return ZERO if seen.equity is not None and seen.equity >= 0 else None
    value = MEASURES[name](seen)
    return None if value is None else max(ZERO, value)


def met(value: Decimal | None, limit: Decimal) -> bool:
    """``value ≥ limit`` breaks; what is not known does too."""
    return value is None or value >= limit


def judge_loss(inputs: GateInputs, name: str, code: str, what: str) -> ControlResult:
    """Each scope's loss against its limit; ``what`` names it in a sentence."""

    def observe(limit: LimitVersion) -> Observation:
        value = loss_of(name, limit.scope, inputs.losses, inputs.now)
        if value is None:
            return Observation(None, UNKNOWN, f"Equity of {limit.scope} is not known: no {what} to measure.")
        detail = f"The {what} of {limit.scope} is {plain(value)}; {plain_or_none(limit.value)} stops it."
        return Observation(value, code, detail)

    return judge(inputs, name, observe, broken_by=met)
