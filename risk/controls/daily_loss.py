"""Control 19, daily loss: what a scope's equity has lost since 00:00 UTC, flows apart, realised or not."""

from __future__ import annotations

from risk.controls.losing import judge_loss
from risk.controls.result import ControlResult
from risk.inputs import GateInputs

NUMBER = 19
CONTROLS = ("max_daily_loss", "max_daily_loss_fraction")


def evaluate(inputs: GateInputs) -> tuple[ControlResult, ...]:
    """``loss < limit``, as an amount and as a fraction of the equity with which the day began.

    Equity that was not known for 60 s denies. The monitor latches the scope (``risk.monitors.losses``); this one denies
    before it has looked. Never for orders that reduce.
    """
    return tuple(judge_loss(inputs, name, "MAX_DAILY_LOSS", "daily loss") for name in CONTROLS)
