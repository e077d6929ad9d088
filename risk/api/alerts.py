"""Alerts at the API: the list, and who takes one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from exchanges.models import Mode
from execution_project.common.api.authentication import Principal, actor_of, principal_of
from execution_project.common.api.paging import page
from execution_project.common.api.query import PAGING, choice_of, flag_of, read_query
from execution_project.common.api.schema import AFTER, LIMIT, WITH_PAGES, operation, parameter
from execution_project.common.clock import rfc3339
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from risk.alerts import acknowledge
from risk.api.documents import time_or_none
from risk.models import Alert, AlertKind, AlertSeverity


class AlertSerializer(serializers.Serializer[Any]):
    """Something that somebody has to look at."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=AlertKind.values)
    severity = serializers.ChoiceField(
        choices=AlertSeverity.values, help_text="info: for the record; nobody has to acknowledge it."
    )
    scope = serializers.CharField(help_text="`global`, or kind and name as in `account:main`.")
    mode = serializers.CharField(allow_blank=True, help_text="Empty: the scope is of all modes.")
    subject = serializers.CharField(help_text="What it is about, in a sentence.")
    raised_at = serializers.DateTimeField()
    acknowledged_by = serializers.CharField(allow_null=True)
    acknowledged_at = serializers.DateTimeField(allow_null=True)
    escalated_at = serializers.DateTimeField(
        allow_null=True, help_text="When nobody had acknowledged it for 5 minutes."
    )
    resolved_at = serializers.DateTimeField(allow_null=True, help_text="When its cause was gone; null: it stands.")
    evidence = serializers.DictField()


class AlertsSerializer(serializers.Serializer[Any]):
    """A page of alerts."""

    alerts = AlertSerializer(many=True)
    next = serializers.CharField(allow_null=True, help_text="Send it as `after` for the next page; null at the end.")


LIST_ALERTS = operation(
    "listAlerts",
    "Alerts, newest first",
    tag="Risk",
    parameters=(
        parameter(
            "standing", "`false`: only those that are over; `true`: only those that are not.", enum=["true", "false"]
        ),
        parameter("acknowledged", "Only those that somebody has taken, or nobody.", enum=["true", "false"]),
        parameter("severity", "Of this severity only.", enum=AlertSeverity.values),
        parameter("kind", "Of this kind only.", enum=AlertKind.values),
        parameter("mode", "Of this mode only.", enum=Mode.values),
        LIMIT,
        AFTER,
    ),
    answers={200: (AlertsSerializer, "One page.")},
    problems=WITH_PAGES,
)
ACKNOWLEDGE_ALERT = operation(
    "acknowledgeAlert",
    "Take an alert",
    tag="Risk",
    answers={200: (AlertSerializer, "The alert, with who took it first.")},
    problems=("UNKNOWN_ALERT", "NOT_FOUND", "INVALID_REQUEST"),
)


def alert_document(row: Alert) -> dict[str, Any]:
    """An alert as ``AlertSerializer`` describes it."""
    return {
        "id": str(row.id),
        "kind": row.kind,
        "severity": row.severity,
        "scope": row.scope,
        "mode": row.mode,
        "subject": row.subject,
        "raised_at": rfc3339(row.raised_at),
        "acknowledged_by": row.acknowledged_by or None,
        "acknowledged_at": time_or_none(row.acknowledged_at),
        "escalated_at": time_or_none(row.escalated_at),
        "resolved_at": time_or_none(row.resolved_at),
        "evidence": row.evidence,
    }


def _reached(principal: Principal) -> QuerySet[Alert]:
    """Alerts that the key reaches: one that is bound to strategies those of these, to accounts those of these."""
    key, rows = principal.key, Alert.objects.all()
    if key.strategies is not None:
        return rows.filter(scope__in=[f"strategy:{name}" for name in key.strategies])
    if key.accounts is not None:
        return rows.filter(scope__in=[f"account:{name}" for name in key.accounts])
    return rows


class AlertsView(APIView):
    """``GET /api/exec/alerts``."""

    rights = {"GET": Right.VIEW}

    @LIST_ALERTS
    def get(self, request: Request) -> Response:
        """Alerts that the key reaches: of its own accounts or strategies, if it is bound to some."""
        query = read_query(request, ("standing", "acknowledged", "severity", "kind", "mode", *PAGING))
        rows = _reached(principal_of(request))
        for name, column in (("standing", "resolved_at__isnull"), ("acknowledged", "acknowledged_at__isnull")):
            wanted = flag_of(query, name)
            if wanted is not None:
                rows = rows.filter(**{column: wanted if name == "standing" else not wanted})
        for name, choices in (("severity", AlertSeverity.values), ("kind", AlertKind.values), ("mode", Mode.values)):
            value = choice_of(query, name, choices)
            if value is not None:
                rows = rows.filter(**{name: value})
        found, after = page(rows, query)
        return Response({"alerts": [alert_document(row) for row in found], "next": after})


class AcknowledgeAlertView(APIView):
    """``POST /api/exec/alerts/{id}/ack``."""

    rights = {"POST": Right.HALT}

    @ACKNOWLEDGE_ALERT
    def post(self, request: Request, alert_id: UUID) -> Response:
        """Somebody looks after it, by the name of the key. It stands until its cause is gone. There is no body."""
        if request.data:
            raise serializers.ValidationError(dict.fromkeys(request.data, "There is no such field."))
        if not _reached(principal_of(request)).filter(id=alert_id).exists():
            raise Problem(404, "UNKNOWN_ALERT", "There is no such alert for this key.")
        return Response(alert_document(acknowledge(alert_id, by=actor_of(request, "POST /api/exec/alerts/ack"))))
