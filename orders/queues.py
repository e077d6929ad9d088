"""Which queue carries what."""

from __future__ import annotations

HOUSEKEEPING_QUEUE = "housekeeping"


def submit_queue(exchange: str) -> str:
    """Submits have a queue per exchange: a hanging exchange holds up only its own."""
    return f"submit-{exchange}"


def cancel_queue(exchange: str) -> str:
    """Cancels, replaces and probes have one per exchange as well: those of one that hangs hold up no other's."""
    return f"cancel-{exchange}"
