"""The operations of exchanges as the API's schema shows them."""

from __future__ import annotations

from exchanges.api.documents import InstrumentsSerializer
from exchanges.models import Exchange, Mode
from execution_project.common.api.schema import AFTER, LIMIT, WITH_PAGES, operation, parameter

INSTRUMENTS = operation(
    "listInstruments",
    "Instruments with filters and capabilities",
    tag="Market",
    parameters=(
        parameter("account", "Of this account's exchange and mode only."),
        parameter("exchange", "At this exchange only.", enum=Exchange.values),
        parameter("mode", "As shown to accounts of this mode.", enum=Mode.values),
        parameter("symbol", "This symbol only, as the exchange writes it."),
        parameter("base", "With this base asset only."),
        parameter("quote", "With this quote asset only."),
        parameter("trading", "Only those that trade, or that do not.", enum=["true", "false"]),
        LIMIT,
        AFTER,
    ),
    answers={200: (InstrumentsSerializer, "A page of instruments.")},
    problems=(*WITH_PAGES, "UNKNOWN_ACCOUNT"),
)
