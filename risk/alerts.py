"""Alerts: raised once while their cause stands, acknowledged by name, escalated when nobody does, over with the cause.

An alert changes nothing: what it is about was done by whoever raised it (docs/risk-controls.md, alerts).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import QuerySet

from execution_project.common import clock
from execution_project.common.actors import Actor, engine
from execution_project.common.events import record
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from execution_project.common.writing import insert_new
from risk.models import Alert, AlertKind, AlertSeverity

ESCALATED_AFTER = timedelta(minutes=5)
"""Unacknowledged for so long an alert is told again, and again after as long (docs/risk-controls.md, control 27)."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Alarm:
    """What an alert is to say. ``key``: while an alert with it stands, no other is raised."""

    kind: AlertKind
    key: str
    severity: AlertSeverity
    scope: str
    subject: str
    mode: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)


def raise_alert(alarm: Alarm, *, by: Actor) -> Alert | None:
    """Raise it and record that, or None when it stands already."""
    now = clock.now()
    row = Alert(
        kind=alarm.kind.value,
        key=alarm.key,
        severity=alarm.severity.value,
        scope=alarm.scope,
        mode=alarm.mode,
        subject=alarm.subject[:256],
        evidence=alarm.evidence,
        raised_at=now,
        told_at=now,
    )
    with transaction.atomic():
        if not insert_new([row]):
            return None
        _record("alert.raised", row, by, {"subject": row.subject, **alarm.evidence})
    log.warning("alert", kind=row.kind, severity=row.severity, scope=row.scope, mode=row.mode, subject=row.subject)
    return row


def keep_alerts(
    kinds: Collection[AlertKind], wanted: Sequence[Alarm], *, by: Actor, untouched: Collection[str] = ()
) -> int:
    """Let just these alerts of these kinds stand: raise what is missing, end what has no cause any more but what is
    ``untouched``. Returns how many were raised."""
    rows = Alert.objects.filter(kind__in=kinds, resolved_at__isnull=True).exclude(key__in=untouched)
    standing = {row.key: row for row in rows}
    raised = sum(raise_alert(alarm, by=by) is not None for alarm in wanted if alarm.key not in standing)
    for key in standing.keys() - {alarm.key for alarm in wanted}:
        end_alert(standing[key], by=by)
    return raised


def end_alert(row: Alert, *, by: Actor) -> None:
    """Its cause is gone; what is over already stays as it was."""
    with transaction.atomic():
        if Alert.objects.filter(id=row.id, resolved_at__isnull=True).update(resolved_at=clock.now()):
            _record("alert.resolved", row, by)


def standing_alerts() -> QuerySet[Alert]:
    """Alerts whose cause is there, newest first; not those that are for the record alone."""
    return Alert.objects.filter(resolved_at__isnull=True).exclude(severity=AlertSeverity.INFO).order_by("-id")


def acknowledge(alert_id: UUID, *, by: Actor) -> Alert:
    """Put the actor's name on an alert: somebody looks after it. It stands until its cause is gone.

    The first name stays; another one after it is recorded. Raises ``Problem``: 403 without the right to halt, 404.
    """
    by.require(Right.HALT)
    with transaction.atomic():
        row = Alert.objects.select_for_update(no_key=True).filter(id=alert_id).first()
        if row is None:
            raise Problem(404, "UNKNOWN_ALERT", f"There is no alert {alert_id}.")
        if row.acknowledged_at is None:
            row.acknowledged_by, row.acknowledged_at = by.name, clock.now()
            row.save(update_fields=["acknowledged_by", "acknowledged_at"])
        _record("alert.acknowledged", row, by)
    return row


def escalate_unacknowledged() -> int:
    """Tell every alert again that stands and that nobody has taken for 5 minutes, as critical; returns how many.

    Called by the ticker.
    """
    now, by = clock.now(), engine("alerts", "nobody has acknowledged it")
    late = standing_alerts().filter(acknowledged_at__isnull=True, told_at__lte=now - ESCALATED_AFTER)
    told = 0
    for row in late:
        with transaction.atomic():
            mine = late.filter(id=row.id).update(
                severity=AlertSeverity.CRITICAL, told_at=now, escalated_at=row.escalated_at or now
            )
            if not mine:
                continue
            _record("alert.escalated", row, by, {"subject": row.subject, "was": row.severity})
        log.error("alert is not acknowledged", kind=row.kind, scope=row.scope, mode=row.mode, subject=row.subject)
        told += 1
    return told


def _record(kind: str, row: Alert, by: Actor, evidence: dict[str, Any] | None = None) -> None:
    told = {"kind": row.kind, "scope": row.scope, "mode": row.mode, **(evidence or {})}
    record(kind, "alert", row.id, by, to_status=row.severity, evidence=told)
