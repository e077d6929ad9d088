"""The pre-trade controls, one small module each, in the order of evaluation; all run, all breaches are reported."""

from __future__ import annotations

from collections.abc import Callable

from risk.controls import funds, health, max_order_notional, reduce_only, trading_state, venue_filters
from risk.controls.result import ControlResult
from risk.inputs import GateInputs

CONTROLS: tuple[Callable[[GateInputs], ControlResult], ...] = (
    trading_state.evaluate,
    health.evaluate,
    venue_filters.evaluate,
    reduce_only.evaluate,
    max_order_notional.evaluate,
    funds.evaluate,
)

# Controls whose bound is a stored limit, by the name that limits carry.
LIMITED: tuple[str, ...] = (max_order_notional.CONTROL,)
