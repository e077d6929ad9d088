"""Who acts, and why: every write names both."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody or something that acts: ``key:<name>``, ``user:<name>``, ``command:<user>``, ``engine:<part>``."""

    name: str
    cause: str
    request_id: str = ""


def engine(part: str, cause: str) -> Actor:
    """The engine itself, by the part that acts."""
    return Actor(f"engine:{part}", cause)
