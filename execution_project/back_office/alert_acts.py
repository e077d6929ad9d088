"""Taking an alert in the admin."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.urls import reverse

from execution_project.back_office.acts import Act, Outcome
from execution_project.back_office.effects import Effect
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from risk.alerts import acknowledge
from risk.models import Alert


class AcknowledgeAlertAct(Act):
    """Somebody looks after an alert."""

    right, cause = Right.HALT, "acknowledge alert"
    row: Alert

    def look_up(self, named: dict[str, Any]) -> None:
        """The alert."""
        alert_id: UUID = named["alert_id"]
        row = Alert.objects.filter(id=alert_id).first()
        if row is None:
            raise Problem(404, "UNKNOWN_ALERT", f"There is no alert {alert_id}.")
        self.row = row

    def back(self) -> str:
        """The alert's page."""
        return reverse("admin:risk_alert_change", args=[self.row.id])

    def initial(self) -> dict[str, Any]:
        """What one mostly means by it."""
        return {"reason": "I look into it"}

    def effect(self) -> Effect:
        """What it does."""
        row = self.row
        facts = [("Alert", row.subject), ("Severity", row.get_severity_display()), ("Scope", row.scope)]
        if row.acknowledged_at is not None:
            return Effect(
                "Acknowledge an alert", "", "calm", [f"{row.acknowledged_by} looks after it already."], facts=facts
            )
        sentences = ["It stands until its cause is gone, and is not told again; everybody sees who looks after it."]
        return Effect("Acknowledge an alert", "Acknowledge", "calm", sentences, facts=facts)

    def carry_out(self, answers: dict[str, Any]) -> Outcome:
        """Put the person's name on it."""
        row = acknowledge(self.row.id, by=self.by)
        return Outcome(f"{row.acknowledged_by} looks after it.", self.back())
