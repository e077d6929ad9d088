"""What a control says."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from execution_project.common.money import plain_or_none


class ControlOutcome(StrEnum):
    """Only BREACH denies. WARNED and SHADOWED are breaches of limits that do not block, OVERRIDDEN ones that two
    persons let through for this order; NOT_SET: there is no limit."""

    PASS = "pass"  # noqa: S105  not a password
    NOT_APPLICABLE = "not_applicable"
    NOT_SET = "not_set"
    SHADOWED = "shadowed"
    WARNED = "warned"
    OVERRIDDEN = "overridden"
    BREACH = "breach"


@dataclass(frozen=True, slots=True)
class ControlResult:
    """One control's outcome with what it looked at; ``code`` is stable and set when a limit is broken."""

    number: int
    control: str
    outcome: ControlOutcome
    code: str = ""
    detail: str = ""
    observed: Decimal | None = None
    limit: Decimal | None = None
    inputs: dict[str, Any] = field(default_factory=dict)

    @property
    def headroom(self) -> Decimal | None:
        """What is left up to the limit; negative when it is broken."""
        return None if self.observed is None or self.limit is None else self.limit - self.observed

    def as_json(self, microseconds: int) -> dict[str, Any]:
        """Plain JSON for the stored decision."""
        return {
            "number": self.number,
            "control": self.control,
            "outcome": self.outcome.value,
            "code": self.code,
            "detail": self.detail,
            "observed": plain_or_none(self.observed),
            "limit": plain_or_none(self.limit),
            "headroom": plain_or_none(self.headroom),
            "inputs": self.inputs,
            "microseconds": microseconds,
        }
