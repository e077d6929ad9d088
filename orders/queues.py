"""Which queue carries what."""

from __future__ import annotations

from execution_project.common.chores import ring_chore


def submit_queue(exchange: str) -> str:
    """Submits have a queue per exchange: a hanging exchange holds up only its own."""
    return f"submit-{exchange}"


def cancel_queue(exchange: str) -> str:
    """Cancels and replaces have one per exchange as well: those of one that hangs hold up no other's. Nothing else is
    in it, so that no question that is not answered stands before a cancel."""
    return f"cancel-{exchange}"


def probe_queue(exchange: str) -> str:
    """What is asked about single orders: probes of unknown ones, looks after cancels and replaces, the sweeps of kills,
    the steps of flattens."""
    return f"probe-{exchange}"


def housekeeping_queue(exchange: str) -> str:
    """And so has whatever is read from it: one that hangs lets no other's books and prices grow old. The queue
    ``housekeeping`` is for what asks no exchange."""
    return f"housekeeping-{exchange}"


def ring_reading(exchange: str, name: str, task: str, *arguments: int | str) -> bool:
    """Ring a chore that reads from an exchange (``ring_chore``); whether it rang."""
    return ring_chore(housekeeping_queue(exchange), name, task, *arguments)
