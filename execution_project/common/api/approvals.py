"""The shape of approvals at the API."""

from __future__ import annotations

from typing import Any

from execution_project.common.clock import rfc3339
from execution_project.common.models import Approval


def approval_document(approval: Approval) -> dict[str, Any]:
    """A proposal and what became of it; times RFC 3339 in UTC."""
    return {
        "id": str(approval.id),
        "act": approval.act,
        "subject": approval.subject,
        "parameters": approval.parameters,
        "reason": approval.reason,
        "requested_by": approval.requested_by,
        "requested_at": rfc3339(approval.requested_at),
        "expires_at": rfc3339(approval.expires_at),
        "approved": approval.approved,
        "decided_by": approval.decided_by,
        "decided_at": None if approval.decided_at is None else rfc3339(approval.decided_at),
        "used_at": None if approval.used_at is None else rfc3339(approval.used_at),
    }
