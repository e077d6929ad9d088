"""What we own: the books (facts and their projections) and what is derived from them over time."""

from positions.models.books import (
    MOMENT,
    Allocation,
    Holding,
    HoldingCheckpoint,
    Inventory,
    Position,
    PositionCheckpoint,
    RealisedPnl,
    TradeCursor,
)
from positions.models.equity import EquityPoint, EquityScope, EquitySeries, Mark, Valuation
from positions.models.facts import (
    Book,
    BookedRate,
    Fill,
    FillCorrection,
    LedgerEntry,
    PendingRate,
    Posting,
    PostingKind,
)

__all__ = [
    "MOMENT",
    "Allocation",
    "Book",
    "BookedRate",
    "EquityPoint",
    "EquityScope",
    "EquitySeries",
    "Fill",
    "FillCorrection",
    "Holding",
    "HoldingCheckpoint",
    "Inventory",
    "LedgerEntry",
    "Mark",
    "PendingRate",
    "Position",
    "PositionCheckpoint",
    "Posting",
    "PostingKind",
    "RealisedPnl",
    "TradeCursor",
    "Valuation",
]
