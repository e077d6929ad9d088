"""What monitors share: which limits count, when one is broken, and what that does by its enforcement.

BLOCK latches or pauses; WARN and SHADOW write an event when the limit is met and another when it no longer is, once per
crossing. The events are the memory, so a restart repeats nothing. While a limit that warns is met an alert stands.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from execution_project.common.actors import Actor, engine
from execution_project.common.events import record
from execution_project.common.models import Event
from execution_project.common.money import plain, plain_or_none
from risk.alerts import Alarm, end_alert, raise_alert
from risk.intent import scope_name
from risk.limits import in_force
from risk.models import Alert, AlertKind, AlertSeverity, Enforcement, Limit, TradingState
from risk.tripping import controls_of, trip

WARNED, SHADOWED, CLEARED = "monitor.warned", "monitor.shadowed", "monitor.cleared"

Scope = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one limit sees in one scope: the scope is what would be latched, which may be narrower than the limit's.

    ``about``: what tells it from other findings of the same limit in the same scope.
    """

    limit: Limit
    scope: Scope
    observed: Decimal
    broken: bool
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)
    about: str = ""

    @property
    def subject(self) -> str:
        """As the events of its crossings name it."""
        own = scope_name(self.limit.scope_kind, self.limit.scope_key)
        where = scope_name(*self.scope)
        narrower = [] if where == own else [where]
        return "/".join([self.limit.control, self.limit.mode, own, *narrower, *filter(None, [self.about])])

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


def act_on(findings: Sequence[Finding], *, of: Collection[str], by: Actor, block: Callable[[Finding], object]) -> int:
    """Let every broken limit do what its enforcement says; returns how many that block were acted on.

    ``of``: the limits that were looked at, also those that nothing was found for.
    """
    blocking = [finding for finding in findings if finding.limit.enforcement == Enforcement.BLOCK]
    _note_crossings([finding for finding in findings if finding.limit.enforcement != Enforcement.BLOCK], by)
    _keep_warnings([finding for finding in findings if finding.broken], of, by)
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


def end_warnings_without_limit() -> int:
    """End the alerts of limits that warn no longer: switched off, expired or blocking now; returns how many."""
    standing = _warnings()
    if not standing:
        return 0
    warning = in_force().filter(enforcement=Enforcement.WARN, value__isnull=False)
    named = {f"{row.control}/{row.mode}/{scope_name(row.scope_kind, row.scope_key)}" for row in warning}
    over = [
        row for row in standing if f"{row.evidence['control']}/{row.mode}/{row.evidence['limit_scope']}" not in named
    ]
    for row in over:
        end_alert(row, by=engine("alerts", "the limit warns no longer"))
    return len(over)


def _keep_warnings(broken: Sequence[Finding], of: Collection[str], by: Actor) -> None:
    """Let an alert stand for every limit of these that warns and is met, and for no other of these."""
    wanted = [
        Alarm(
            AlertKind.WARNED,
            f"warned:{finding.subject}",
            AlertSeverity.WARNING,
            scope_name(*finding.scope),
            f"{finding.reason.rstrip('.')}: {finding.limit.control} warns and stops nothing",
            finding.limit.mode,
            {"control": finding.limit.control, **finding.seen},
        )
        for finding in broken
        if finding.limit.enforcement == Enforcement.WARN
    ]
    standing = {row.key: row for row in _warnings() if row.evidence["control"] in of}
    for alarm in wanted:
        if alarm.key not in standing:
            raise_alert(alarm, by=by)
    for key in standing.keys() - {alarm.key for alarm in wanted}:
        end_alert(standing[key], by=by)


def _warnings() -> list[Alert]:
    return list(Alert.objects.filter(kind=AlertKind.WARNED, resolved_at__isnull=True))


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
