"""Ringing a task queue: the row goes into the caller's transaction, NOTIFY goes out after its commit.

The task carries one id and is only a doorbell; the row that the id names is the truth (DESIGN: outbox). NOTIFY inside
the transaction would serialise all commits of the database, so it is sent by ``on_commit``; a NOTIFY that is lost
costs at most the broker's wait of one second.
"""

from __future__ import annotations

from uuid import uuid4

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from django_q.models import OrmQ
from django_q.signing import SignedPackage


def channel(queue: str) -> str:
    """The LISTEN/NOTIFY channel of a queue."""
    return f"exec_queue_{queue.replace('-', '_')}"


def queue_row(queue: str, task: str, *arguments: str | int) -> OrmQ:
    """An unsaved queue row for ``task`` (dotted path of a function in a tasks module)."""
    if queue not in settings.EXEC_QUEUES:
        raise ValueError(f"Unknown queue {queue!r}.")
    identity = uuid4().hex
    package = {
        "id": identity,
        "name": f"{task.rsplit('.', 1)[-1]}:{arguments[0] if arguments else '-'}",
        "func": task,
        "args": arguments,
        "kwargs": {},
        "started": timezone.now(),
        "ack_failure": True,
        "cluster": queue,
    }
    return OrmQ(key=queue, payload=SignedPackage.dumps(package), lock=timezone.now())


def notify_after_commit(queue: str) -> None:
    """Wake the queue's pusher once the current transaction has committed."""

    def notify() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [channel(queue)])

    transaction.on_commit(notify, robust=True)


def ring(queue: str, task: str, *arguments: str | int) -> None:
    """Enqueue ``task`` in the current transaction and wake the cluster after its commit."""
    queue_row(queue, task, *arguments).save(force_insert=True)
    notify_after_commit(queue)
