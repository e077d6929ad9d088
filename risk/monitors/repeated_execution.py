"""Control 16, repeated execution: how often a strategy went in again since people last looked at it."""

from __future__ import annotations

from decimal import Decimal

from risk.monitors.acting import reached

NUMBER = 16
LIMIT = "max_repeated_executions"


def evaluate(entries: int, limit: Decimal) -> bool:
    """``entries ≥ limit`` latches; entries: increasing orders that filled, in part or whole, since the last lift."""
    return reached(entries, limit)
