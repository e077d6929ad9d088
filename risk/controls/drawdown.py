"""Control 20, drawdown: how far a scope's NAV or equity has fallen from its highest (trailing, mark to market)."""

from __future__ import annotations

from risk.controls.losing import judge_loss
from risk.controls.result import ControlResult
from risk.inputs import GateInputs

NUMBER = 20
CONTROLS = ("max_drawdown", "max_drawdown_amount")


def evaluate(inputs: GateInputs) -> tuple[ControlResult, ...]:
    """``drawdown < limit``, as a fraction of the highest NAV and as an amount.

    Equity that was not known for 60 s denies. The monitor latches the scope (``risk.monitors.losses``); this one denies
    before it has looked. Never for orders that reduce.
    """
    return tuple(judge_loss(inputs, name, "MAX_DRAWDOWN", "drawdown") for name in CONTROLS)
