"""The pre-trade controls, one small module each, in the order of evaluation; all run, all breaches are reported."""

from __future__ import annotations

from collections.abc import Callable

from risk.controls import (
    asset_exposure,
    book_exposure,
    concentration,
    counterparty,
    daily_loss,
    drawdown,
    duplicates,
    funds,
    health,
    market_data,
    market_depth,
    max_order_notional,
    max_order_quantity,
    order_rate,
    paused,
    permission,
    price_collar,
    ramp,
    reduce_only,
    self_match,
    trading_state,
    turnover,
    venue_filters,
    working_orders,
)
from risk.controls.catalogue import CATALOGUE
from risk.controls.result import ControlResult
from risk.inputs import GateInputs

CONTROLS: tuple[Callable[[GateInputs], ControlResult | tuple[ControlResult, ...]], ...] = (
    trading_state.evaluate,
    paused.evaluate,
    health.evaluate,
    permission.evaluate,
    venue_filters.evaluate,
    reduce_only.evaluate,
    duplicates.evaluate,
    self_match.evaluate,
    order_rate.evaluate,
    max_order_quantity.evaluate,
    max_order_notional.evaluate,
    market_data.evaluate,
    price_collar.evaluate,
    market_depth.evaluate,
    funds.evaluate,
    asset_exposure.evaluate,
    book_exposure.evaluate,
    concentration.evaluate,
    counterparty.evaluate,
    working_orders.evaluate,
    turnover.evaluate,
    daily_loss.evaluate,
    drawdown.evaluate,
    ramp.evaluate,
)

# Every bound that is a stored limit, by the name that limits carry.
LIMITED: tuple[str, ...] = tuple(CATALOGUE)
