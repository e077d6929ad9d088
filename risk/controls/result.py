"""What a control says."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from execution_project.common.money import plain


class ControlOutcome(StrEnum):
    """PASS and NOT_APPLICABLE let the order on; BREACH denies it."""

    PASS = "pass"  # noqa: S105  not a password
    NOT_APPLICABLE = "not_applicable"
    BREACH = "breach"


@dataclass(frozen=True, slots=True)
class ControlResult:
    """One control's outcome with what it looked at; ``code`` is stable and only set on a breach."""

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
        body = {**asdict(self), "outcome": self.outcome.value, "headroom": self.headroom, "microseconds": microseconds}
        return {key: plain(value) if isinstance(value, Decimal) else value for key, value in body.items()}
