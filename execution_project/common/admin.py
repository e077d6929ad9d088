"""The cellar in the admin: events, approvals, strategies, API keys without their hashes, chores and queue beats."""

from __future__ import annotations

from django.contrib import admin

from execution_project.common.models import ApiKey, Approval, Chore, DeadTask, Event, QueueBeat, Strategy
from execution_project.common.read_only_admin import ReadOnlyAdmin, show

show(
    Event,
    *("at", "kind", "subject_type", "subject_id", "from_status", "to_status", "actor", "cause"),
    search=("subject_id", "request_id"),
    filters=("subject_type",),
)
show(Approval, "act", "subject", "requested_by", "requested_at", "decided_by", "approved", "expires_at")
show(Strategy, "name", "created_at", search=("name",))
show(Chore, "name", "rung_at", "finished_at", "succeeded_at", "error")
show(QueueBeat, "queue", "sent_at", "beaten_at", "worker_pid")
show(DeadTask, "queue", "reason", "created_at")


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """Keys by name; not even the hash of a secret is shown."""

    list_display = ("id", "name", "scopes", "accounts", "expires_at", "revoked_at")
    exclude = ("secret_hash",)
