"""Tasks of the wiring itself."""

from __future__ import annotations

import os

from django.utils import timezone

from exchanges.versions import announce
from execution_project.common.models import QueueBeat


def answer_beat(queue: str) -> None:
    """Note that a worker of ``queue``'s cluster heard its parent; readiness reads the row."""
    announce(queue)
    QueueBeat.objects.filter(queue=queue).update(beaten_at=timezone.now(), worker_pid=os.getpid())
