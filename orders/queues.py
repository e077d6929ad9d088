"""Which queue carries what."""

from __future__ import annotations

CANCEL_QUEUE = "cancel"
HOUSEKEEPING_QUEUE = "housekeeping"


def submit_queue(exchange: str) -> str:
    """Submits have a queue per exchange: a hanging exchange holds up only its own."""
    return f"submit-{exchange}"
