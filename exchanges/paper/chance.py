"""Chance that can be repeated: every draw is a function of the account's seed and a running number. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

WRITES = ("place", "cancel", "amend", "replace")
FAULTS = ("lost_request", "lost_answer", "reject", "throttled", "busy")
"""``lost_request``: no answer, and nothing was executed. ``lost_answer``: no answer, and it was. ``reject``: refused.
``throttled``: 429. ``busy``: a 5xx although it was executed."""
_SPAN = 2**64


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds one call takes on its way there and back."""

    there_ms: int
    back_ms: int


def draw(seed: int, number: int, label: str) -> Decimal:
    """A number from 0 on and below 1, always the same for the same three."""
    digest = hashlib.sha256(f"{seed}:{number}:{label}".encode()).digest()
    return Decimal(int.from_bytes(digest[:8], "big")) / _SPAN


def latency_of(seed: int, number: int, there_ms: int, back_ms: int, jitter_ms: int) -> Latency:
    """The model's times, each lengthened by up to ``jitter_ms``."""
    return Latency(
        there_ms + int(draw(seed, number, "there") * (jitter_ms + 1)),
        back_ms + int(draw(seed, number, "back") * (jitter_ms + 1)),
    )


def armed_fault(faults: Sequence[Mapping[str, Any]], call: str) -> tuple[str, list[dict[str, Any]]]:
    """The fault that was armed for this call, empty for none, and what stays armed."""
    left = [dict(fault) for fault in faults]
    for fault in left:
        if fault["call"] in {call, "any"} and fault["times"] > 0:
            fault["times"] -= 1
            return str(fault["kind"]), [each for each in left if each["times"] > 0]
    return "", left


def random_fault(rates: Mapping[str, str], seed: int, number: int) -> str:
    """A fault by its rate (kind to probability), empty for none; one draw decides for all kinds."""
    at = draw(seed, number, "fault")
    bound = Decimal(0)
    for kind in sorted(rates):
        bound += Decimal(rates[kind])
        if at < bound:
            return kind
    return ""
