"""Which flatten an order belongs to, for the gate and the claim: by its number among the halts."""

from __future__ import annotations

from uuid import UUID

from risk.models import Flatten, FlattenStatus, State


def flatten_seq_of(kill_id: UUID | None) -> int | None:
    """The number of the flatten that runs for this kill, or None: then nothing of it may go out."""
    if kill_id is None:
        return None
    running = Flatten.objects.filter(
        episode_id=kill_id,
        status=FlattenStatus.RUNNING,
        episode__ended_at__isnull=True,
        episode__stage=State.HALTED,
    )
    return running.values_list("confirmed_seq", flat=True).first()
