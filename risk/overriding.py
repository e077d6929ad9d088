"""What an override lets through: named limits for one order, once, as two persons decided.

Never what says whether the order may be sent at all: trading state, health, permission, the exchange's filters,
reduce-only, funds, output against input; and never a limit that is not set or whose value is not known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from execution_project.common.actors import Actor
from execution_project.common.approvals import use
from execution_project.common.models import Approval
from risk.controls.catalogue import CATALOGUE
from risk.controls.result import ControlOutcome, ControlResult

OVERRIDE_ORDER = "override_order"
STANDS_FOR = timedelta(minutes=10)
NEVER = frozenset({1, 7, 25})
"""Numbers of controls that nobody overrides, besides those that are no limits."""


@dataclass(frozen=True, slots=True)
class Override:
    """An approved override: of which denied order, of which limits, and who answers for it."""

    approval: Approval
    order_id: UUID
    controls: frozenset[str]
    approved_by: Actor

    def applied(self, result: ControlResult) -> ControlResult:
        """The result, let through where it is a breach that this override names and that may be overridden."""
        if result.outcome is not ControlOutcome.BREACH or result.control not in self.controls:
            return result
        if why_never(result.control, result.code, known=result.observed is not None) is not None:
            return result
        return replace(result, outcome=ControlOutcome.OVERRIDDEN)

    def spend(self) -> None:
        """Use it up, within the transaction of the placement. Raises ``Problem`` when it does not stand any more."""
        use(self.approval.id, OVERRIDE_ORDER, str(self.order_id), by=self.approved_by)

    def as_json(self) -> dict[str, Any]:
        """As the decision keeps it."""
        return {
            "order": str(self.order_id),
            "controls": sorted(self.controls),
            "approval": str(self.approval.id),
            "asked_by": self.approval.requested_by,
            "approved_by": self.approved_by.name,
            "reason": self.approval.reason,
        }


def why_never(control: str, code: str, *, known: bool) -> str | None:
    """Why a breach is never overridden, as a sentence, or None. ``known``: whether what it looks at has a value."""
    spec = CATALOGUE.get(control)
    if spec is None or spec.number in NEVER:
        return f"{control} ({code}) is never overridden."
    if code == "LIMIT_NOT_SET":
        return f"{control} is not set: set it instead."
    if not known:
        return f"{control} ({code}) could not be judged, and what is not known is never overridden."
    return None
