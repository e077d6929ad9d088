"""Alerts in the admin: what stands, who took it, what was over when."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse

from execution_project.common.admin_filters import by_condition, by_time
from execution_project.common.admin_values import NONE, Button, Document, Facts, Section, badge, moment
from execution_project.common.read_only_admin import ReadOnlyAdmin, may
from execution_project.common.rights import Right
from risk.models import Alert


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    """Every alert, newest first."""

    list_display = ("raised_at", "severity_badge", "scope", "mode", "subject", "taken", "escalated_at", "resolved_at")
    list_filter = (
        by_condition(
            "standing",
            "standing",
            {"yes": ("standing", Q(resolved_at__isnull=True)), "no": ("over", Q(resolved_at__isnull=False))},
        ),
        by_condition(
            "acknowledged",
            "acknowledged",
            {"no": ("by nobody", Q(acknowledged_at__isnull=True)), "yes": ("yes", Q(acknowledged_at__isnull=False))},
        ),
        "severity",
        "kind",
        by_time("id"),
    )
    search_fields = ("id",)
    search_help_text = "alert id"

    @admin.display(description="severity")
    def severity_badge(self, row: Alert) -> str:
        """How bad it is."""
        return badge(row.severity)

    @admin.display(description="acknowledged by")
    def taken(self, row: Alert) -> str:
        """Who looks after it."""
        return row.acknowledged_by or NONE

    def badges(self, row: Alert) -> list[str]:
        """Severity and kind."""
        return [badge(row.severity), badge(row.get_kind_display())]

    def heading(self, row: Alert) -> str:
        """What it is about."""
        return row.subject

    def buttons(self, request: HttpRequest, row: Alert) -> list[Button]:
        """Take it, as long as nobody has."""
        if row.acknowledged_at is None and may(request, Right.HALT):
            return [Button("Acknowledge", reverse("admin:act_acknowledge_alert", args=[row.id]), "primary")]
        return []

    def sections(self, request: HttpRequest, row: Alert) -> list[Section]:
        """Its times, and what it rests on."""
        return [
            Facts(
                "Alert",
                [
                    ("scope", row.scope),
                    ("mode", row.mode or NONE),
                    ("raised", moment(row.raised_at)),
                    ("acknowledged by", row.acknowledged_by or NONE),
                    ("acknowledged", moment(row.acknowledged_at) if row.acknowledged_at else NONE),
                    ("escalated", moment(row.escalated_at) if row.escalated_at else NONE),
                    ("last told", moment(row.told_at)),
                    ("over", moment(row.resolved_at) if row.resolved_at else NONE),
                ],
            ),
            Document("Evidence", row.evidence),
        ]
