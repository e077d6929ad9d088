"""The order of facts: by time, then by number of the trade. A moment is a text that sorts so, byte by byte.

Two trades of one millisecond are told apart by their trade id as a number, then by order and pair; postings of a time
come before its trades. What a moment is made of never changes, so every arrival gives the same order.
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

BEGINNING = ""


def moment_of_trade(traded_at: datetime, trade_id: str, exchange_order_id: str, instrument_id: int) -> str:
    """Where a trade stands; ids that are numbers sort as numbers."""
    return f"{_time(traded_at)}|1|{len(trade_id):02d}|{trade_id}|{exchange_order_id}|{instrument_id}"


def moment_of_posting(effective_at: datetime, posting_id: UUID) -> str:
    """Where a posting stands: before the trades of its time."""
    return f"{_time(effective_at)}|0|{posting_id}"


def moment_at(at: datetime) -> str:
    """The end of a time: every fact up to and with ``at`` sorts before it."""
    return f"{_time(at)}|9"


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
