"""Alerts: what somebody has to look at, from when it began until it was over, and who took it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from execution_project.common import ids


class AlertKind(models.TextChoices):
    """What it is about."""

    LIMIT = "limit", "limit"
    EQUITY_UNKNOWN = "equity_unknown", "equity unknown"
    TRIPPED = "tripped", "tripped"
    KILL_INCOMPLETE = "kill_incomplete", "kill incomplete"
    HALTED = "halted", "halted by the engine"
    PAUSED = "paused", "paused"
    WARNED = "warned", "warned by a monitor"


class AlertSeverity(models.TextChoices):
    """INFO is for the record alone: nobody is asked to acknowledge it."""

    INFO = "info", "info"
    WARNING = "warning", "warning"
    CRITICAL = "critical", "critical"


class Alert(models.Model):
    """One alert; never deleted, and changed only by being acknowledged, escalated and over.

    ``key``: what it is told once for while it stands. ``subject``: one sentence. ``scope``: as ``account:main``;
    ``mode``: empty where a scope is of all. ``told_at``: when it was last told; ``resolved_at``: when its cause was
    gone.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    kind = models.CharField(max_length=24, choices=AlertKind.choices)
    key = models.CharField(max_length=200)
    severity = models.CharField(max_length=8, choices=AlertSeverity.choices)
    scope = models.CharField(max_length=96)
    mode = models.CharField(max_length=8, blank=True, default="")
    subject = models.CharField(max_length=256)
    evidence = models.JSONField(default=dict)
    raised_at = models.DateTimeField()
    told_at = models.DateTimeField()
    acknowledged_by = models.CharField(max_length=200, blank=True, default="")
    acknowledged_at = models.DateTimeField(null=True)
    escalated_at = models.DateTimeField(null=True)
    resolved_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["key"], condition=Q(resolved_at__isnull=True), name="alert_once_while_it_stands"
            ),
            models.CheckConstraint(condition=Q(kind__in=AlertKind.values), name="alert_kind_known"),
            models.CheckConstraint(condition=Q(severity__in=AlertSeverity.values), name="alert_severity_known"),
            models.CheckConstraint(
                condition=Q(acknowledged_at__isnull=True, acknowledged_by="")
                | Q(acknowledged_at__isnull=False) & ~Q(acknowledged_by=""),
                name="alert_acknowledged_by_somebody",
            ),
        ]
        indexes = [
            models.Index(fields=["id"], name="alert_standing", condition=Q(resolved_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return self.subject
