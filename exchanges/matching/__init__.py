"""Order book and matching rules shared by the exchange simulator and paper trading.

Pure: no clock, no I/O, no framework, `Decimal` only. The same calls in the same order give the same fills.
"""

from exchanges.matching.book import Book
from exchanges.matching.sizing import Sizing, cost_of, quantity_for_quote
from exchanges.matching.types import (
    EndReason,
    Fill,
    Incoming,
    Level,
    Outcome,
    Resting,
    SelfTrade,
    Side,
    TimeInForce,
)

__all__ = [
    "Book",
    "EndReason",
    "Fill",
    "Incoming",
    "Level",
    "Outcome",
    "Resting",
    "SelfTrade",
    "Side",
    "Sizing",
    "TimeInForce",
    "cost_of",
    "quantity_for_quote",
]
