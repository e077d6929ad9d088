"""Writing events: the append-only record of transitions and acts, in the same transaction as what they describe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.models import Event


def event(
    kind: str,
    subject_type: str,
    subject_id: object,
    actor: Actor,
    *,
    from_status: str = "",
    to_status: str = "",
    evidence: Mapping[str, Any] | None = None,
) -> Event:
    """An unsaved event at the clock's time; ``kind`` is a dotted name such as ``order.denied``."""
    return Event(
        at=clock.now(),
        kind=kind,
        subject_type=subject_type,
        subject_id=str(subject_id),
        from_status=from_status,
        to_status=to_status,
        actor=actor.name,
        cause=actor.cause[:256],
        request_id=actor.request_id,
        evidence=dict(evidence or {}),
    )


def record(
    kind: str,
    subject_type: str,
    subject_id: object,
    actor: Actor,
    *,
    from_status: str = "",
    to_status: str = "",
    evidence: Mapping[str, Any] | None = None,
) -> Event:
    """Store an event in the current transaction."""
    row = event(kind, subject_type, subject_id, actor, from_status=from_status, to_status=to_status, evidence=evidence)
    row.save()
    return row
