"""How the streams are: written by the process that leads, read by health pages and operators."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from exchanges.models import StreamKind, StreamState
from exchanges.streams.link import Condition
from execution_project.common import clock

SILENT_WRITER = timedelta(seconds=15)
"""A row that was not written for so long tells of a process that is gone."""

Key = tuple[str, str]


def known_conditions() -> dict[Key, Condition]:
    """What former processes have counted, by kind and subject."""
    return {
        (row.kind, row.subject): Condition(
            last_message_at=row.last_message_at,
            last_event_at=row.last_event_at,
            reconnects=row.reconnects,
            gaps=row.gaps,
            last_error=row.last_error,
            # Another process had it before: a connection of this one is no first one.
            connections=1 if row.last_message_at is not None else 0,
        )
        for row in StreamState.objects.all()
    }


def write_conditions(conditions: Mapping[Key, tuple[str, Condition]]) -> None:
    """Store the condition of every stream: key to (exchange, condition). Streams that are no longer wanted go."""
    now = clock.now()
    StreamState.objects.bulk_create(
        [
            StreamState(
                kind=kind,
                subject=subject,
                exchange=exchange,
                connected_since=condition.connected_since,
                last_message_at=condition.last_message_at,
                last_event_at=condition.last_event_at,
                reconnects=condition.reconnects,
                gaps=condition.gaps,
                last_error=condition.last_error,
                written_at=now,
            )
            for (kind, subject), (exchange, condition) in sorted(conditions.items())
        ],
        update_conflicts=True,
        unique_fields=["kind", "subject"],
        update_fields=[
            "connected_since",
            "last_message_at",
            "last_event_at",
            "reconnects",
            "gaps",
            "last_error",
            "written_at",
        ],
    )
    for row in StreamState.objects.all():
        if (row.kind, row.subject) not in conditions:
            row.delete()


def troubles() -> list[str]:
    """What is wrong with the streams, in words; empty when all is well, or when there are none."""
    now = clock.now()
    found = []
    for row in StreamState.objects.order_by("kind", "subject"):
        what = f"the {StreamKind(row.kind).label} stream of {row.subject}"
        if row.written_at < now - SILENT_WRITER:
            found.append(f"nobody keeps {what}: run_streams last spoke of it at {row.written_at:%FT%TZ}")
        elif row.connected_since is None:
            found.append(f"{what} is not connected: {row.last_error or 'no attempt has ended yet'}")
    return found
