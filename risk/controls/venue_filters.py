"""Control 2, venue filters: what the exchange would refuse is denied here, with the filter's name."""

from __future__ import annotations

from datetime import timedelta

from exchanges.filters import check_order
from risk.controls.result import ControlOutcome, ControlResult
from risk.inputs import GateInputs

MAX_FILTER_AGE = timedelta(hours=24)
NUMBER = 2
CONTROL = "venue_filters"


def evaluate(inputs: GateInputs) -> ControlResult:
    """Trading status, filters of at most 24 h, precision, lot, price and notional; applies to reducing orders too."""
    intent = inputs.intent
    if not intent.is_trading:
        return ControlResult(
            NUMBER,
            CONTROL,
            ControlOutcome.BREACH,
            "INSTRUMENT_NOT_TRADING",
            f"{intent.symbol} is not trading at {intent.exchange}.",
        )
    if inputs.now - intent.filters_synced_at > MAX_FILTER_AGE:
        return ControlResult(
            NUMBER,
            CONTROL,
            ControlOutcome.BREACH,
            "FILTERS_STALE",
            f"The filters of {intent.symbol} were last read at {intent.filters_synced_at.isoformat()}.",
        )
    breaches = check_order(
        intent.filters,
        type_=intent.type if intent.protection_price is None else "LIMIT",
        quantity=intent.quantity,
        quote_quantity=intent.quote_quantity,
        price=intent.sent_price,
        stop_price=intent.stop_price,
        base_precision=intent.base_precision,
        quote_precision=intent.quote_precision,
        reference_price=inputs.price.mid if inputs.price.usable(inputs.now) else None,
    )
    if breaches:
        return ControlResult(
            NUMBER,
            CONTROL,
            ControlOutcome.BREACH,
            f"FILTER_{breaches[0].name}",
            "; ".join(breach.detail for breach in breaches),
            inputs={"filters": [breach.name for breach in breaches]},
        )
    return ControlResult(NUMBER, CONTROL, ControlOutcome.PASS)
