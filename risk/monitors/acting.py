"""What monitors share: which limits count, when one is broken, and what that does by its enforcement.

BLOCK latches or pauses; WARN and SHADOW write an event when the limit is met and another when it no longer is, once per
crossing. The events are the memory, so a restart repeats nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.models import Event
from execution_project.common.money import plain, plain_or_none
from risk.intent import scope_name
from risk.limits import in_force
from risk.models import Enforcement, Limit, TradingState
from risk.tripping import controls_of, trip

WARNED, SHADOWED, CLEARED = "monitor.warned", "monitor.shadowed", "monitor.cleared"

Scope = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one limit sees in one scope: the scope is what would be latched, which may be narrower than the limit's."""

    limit: Limit
    scope: Scope
    observed: Decimal
    broken: bool
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """As the events of its crossings name it."""
        own = scope_name(self.limit.scope_kind, self.limit.scope_key)
        where = scope_name(*self.scope)
        return "/".join([self.limit.control, self.limit.mode, own, *([] if where == own else [where])])

    @property
    def seen(self) -> dict[str, Any]:
        """Observed and limit with their version, as plain JSON."""
        return {
            "observed": plain(self.observed),
            "limit": plain_or_none(self.limit.value),
            "limit_scope": scope_name(self.limit.scope_kind, self.limit.scope_key),
            "limit_version": self.limit.version,
            "mode": self.limit.mode,
            **self.evidence,
        }


def limits_of(*controls: str) -> list[Limit]:
    """The versions of these limits that count now and are not switched off, in one statement."""
    return list(in_force().filter(control__in=controls, value__isnull=False).order_by("pk"))


def reached(observed: int | Decimal, limit: Decimal) -> bool:
    """``observed ≥ limit`` breaks; with a limit of 0 the first one does, and nothing at all does not."""
    return observed > 0 and observed >= limit


def act_on(findings: Sequence[Finding], *, by: Actor, block: Callable[[Finding], object]) -> int:
    """Let every broken limit do what its enforcement says; returns how many that block were acted on."""
    blocking = [finding for finding in findings if finding.limit.enforcement == Enforcement.BLOCK]
    _note_crossings([finding for finding in findings if finding.limit.enforcement != Enforcement.BLOCK], by)
    return sum(block(finding) is not None for finding in blocking if finding.broken)


def latching(by: Actor) -> Callable[[Finding], TradingState | None]:
    """What latches a finding's scope. Looks before it takes the scope's lock: what has tripped is left alone."""
    tripped = {
        (row.scope_kind, row.scope_key): set(controls_of(row)) for row in TradingState.objects.filter(latched=True)
    }

    def latch(finding: Finding) -> TradingState | None:
        kind, key = finding.scope
        if finding.limit.control in tripped.get((kind, key), ()):
            return None
        return trip(kind, key, control=finding.limit.control, reason=finding.reason, evidence=finding.seen, by=by)

    return latch


def against_lifting(findings: Iterable[Finding]) -> list[str]:
    """What speaks against lifting a latch: the limits that block and are met still."""
    return [f.reason for f in findings if f.broken and f.limit.enforcement == Enforcement.BLOCK]


def _note_crossings(findings: Sequence[Finding], by: Actor) -> None:
    if not findings:
        return
    known = dict(
        Event.objects.filter(
            subject_type="monitor",
            subject_id__in=[finding.subject for finding in findings],
            kind__in=[WARNED, SHADOWED, CLEARED],
        )
        .order_by("subject_id", "-id")
        .distinct("subject_id")
        .values_list("subject_id", "kind")
    )
    for finding in findings:
        crossed = known.get(finding.subject, CLEARED) != CLEARED
        if finding.broken == crossed:
            continue
        met = WARNED if finding.limit.enforcement == Enforcement.WARN else SHADOWED
        kind = met if finding.broken else CLEARED
        record(kind, "monitor", finding.subject, by, evidence={"reason": finding.reason, **finding.seen})
