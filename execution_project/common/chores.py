"""Recurring work that is rung by the ticker and done by a housekeeping worker, without piling up."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import connection, transaction

from execution_project.common import clock
from execution_project.common.doorbell import ring
from execution_project.common.models import Chore

log = logging.getLogger(__name__)
OVERDUE = timedelta(seconds=60)


def ring_chore(queue: str, name: str, task: str, *arguments: str | int) -> bool:
    """Ring ``task`` unless its last ringing is still unanswered and younger than a minute. Returns whether it rang."""
    now = clock.now()
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO common_chore (name, rung_at, error) VALUES (%s, %s, '')"
                " ON CONFLICT (name) DO UPDATE SET rung_at = excluded.rung_at"
                " WHERE common_chore.finished_at >= common_chore.rung_at OR common_chore.rung_at < %s",
                [name, now, now - OVERDUE],
            )
            rung = bool(cursor.rowcount == 1)
        if rung:
            ring(queue, task, *arguments)
    return rung


@contextmanager
def answering(name: str, *, expected: type[Exception] | tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Note the end of a chore, and whether it succeeded; the error is kept for operators.

    An ``expected`` error is one line in the log and the next ringing tries again; any other is raised on.
    """
    try:
        yield
    except Exception as error:
        Chore.objects.filter(name=name).update(finished_at=clock.now(), error=f"{type(error).__name__}: {error}"[:512])
        if not isinstance(error, expected):
            raise
        log.warning("%s: %s", name, error)
        return
    now = clock.now()
    Chore.objects.filter(name=name).update(finished_at=now, succeeded_at=now, error="")
