"""The task broker: django-q2's ORM broker, in order, woken by NOTIFY, and deaf to no outage.

What the stock broker does otherwise and why that is not enough (measured):

* it polls without an order: here due rows come first in, first out, and NOTIFY wakes the pusher within milliseconds;
* an exception makes its pusher sleep ten seconds and exit: here none leaves this class;
* a finished task whose acknowledgement meets an outage runs again: here it is repeated until the row's lock expires;
* a payload that cannot be read crashes the pusher for ever, one signed with a rotated key is dropped in silence, and a
  task that kills its worker is delivered for ever: here they become ``DeadTask`` rows.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from datetime import datetime
from typing import Any, ClassVar

import structlog
from django.conf import settings
from django.db import connections, transaction
from django.utils import timezone
from django_q import core_signing
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.signing import PickleSerializer, SignedPackage

from execution_project.common.doorbell import channel
from execution_project.common.models import DeadTask

WAIT_S = 1.0
"""How long an empty queue is listened to before due rows are looked for again."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 1.0
"""Pauses between attempts to reach a lost database, doubling."""
MOST_DELIVERIES = 5
"""A row delivered so often without an end kills its workers; the sweeper rings again for what it stood for."""

log = structlog.get_logger(__name__)

_TASK = re.compile(r"(\w+\.)+(\w+_)?tasks\.\w+", re.ASCII)
_KEYS = {"id", "name", "func", "args", "kwargs", "started", "ack_failure", "cluster", "save"}

# One statement, own beats first: they must overtake a backlog, or a long one would look like a deaf cluster. Rows are
# locked in a materialised step, for a planner that re-ran the subselect would lock more rows than it returns. The later
# of both clocks decides what is due, so that an application host that runs ahead does not delay its own tasks.
_PULL = """
WITH clock AS MATERIALIZED (SELECT greatest(now(), %(now)s) AS at),
beats AS MATERIALIZED (
    SELECT id FROM django_q_ormq WHERE key = %(beat_key)s AND lock <= (SELECT at FROM clock)
    ORDER BY lock, id LIMIT 1 FOR UPDATE SKIP LOCKED
),
work AS MATERIALIZED (
    SELECT id FROM django_q_ormq WHERE key = %(key)s AND lock <= (SELECT at FROM clock)
    ORDER BY lock, id LIMIT %(bulk)s FOR UPDATE SKIP LOCKED
),
due AS MATERIALIZED (SELECT id, 0 AS rank FROM beats UNION ALL SELECT id, 1 AS rank FROM work),
pulled AS (
    UPDATE django_q_ormq AS q
    SET lock = (SELECT at FROM clock) + make_interval(secs => %(retry)s),
        exec_deliveries = q.exec_deliveries + 1, exec_puller = %(beat_key)s
    FROM due WHERE q.id = due.id
    RETURNING q.id, q.payload, q.exec_deliveries, due.rank
)
SELECT id, payload, exec_deliveries FROM pulled ORDER BY rank, id
"""


def release_pulled(beat_key: str) -> int:
    """Make due at once what a cluster had pulled, after it was killed; returns how many rows. Its beats are deleted."""
    with transaction.atomic(using=Conf.ORM), connections[Conf.ORM].cursor() as cursor:
        cursor.execute("DELETE FROM django_q_ormq WHERE key = %s", [beat_key])
        cursor.execute("UPDATE django_q_ormq SET lock = now(), exec_puller = '' WHERE exec_puller = %s", [beat_key])
        return int(cursor.rowcount)


class Unreadable(Exception):
    """A payload that no worker may be given; the text says why."""


class NotifyBroker(ORM):  # type: ignore[misc]  # django-q2 has no types
    """See the module. One instance serves the pusher and the monitor, each after its own fork."""

    beat_key: ClassVar[str] = ""
    """Names this cluster: rows under this key, the beats of its own parent, are pulled too, and every row that it pulls
    is marked with it. Set before the cluster forks."""

    _listening_on: Any = None
    _failures = 0

    def dequeue(self) -> list[tuple[int, str]]:
        """The next due rows as (row id, payload), locked for ``retry`` seconds; empty after at most a second."""
        try:
            tasks = self._pull()
            if self._failures:
                log.warning("queue database is back", queue=self.list_key, attempts=self._failures)
                self._failures = 0
            if not tasks:
                self._wait()
        except Exception as error:  # noqa: BLE001  whatever it is, the pusher must live
            self._outlast(error)
            return []
        return tasks

    def delete(self, task_id: int) -> None:
        """Delete the row, repeated through an outage until its lock expires; after that it would run again anyway."""
        deadline = time.monotonic() + Conf.RETRY
        pause = FIRST_PAUSE_S
        while True:
            try:
                self.get_connection().filter(pk=task_id).delete()
            except Exception as error:
                self._drop_connection()
                if time.monotonic() + pause > deadline:
                    log.exception("acknowledgement given up", queue=self.list_key, row=task_id)
                    return
                log.warning("acknowledgement delayed", queue=self.list_key, row=task_id, error=str(error))
                time.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_S)
            else:
                return

    def acknowledge(self, task_id: int) -> None:
        """The task has ended."""
        self.delete(task_id)

    # ---------------------------------------------------------------------------------------------------- internals

    def _pull(self) -> list[tuple[int, str]]:
        connection = connections[Conf.ORM]
        connection.ensure_connection()
        if connection.connection is not self._listening_on:  # before the look, so that no row falls between the two
            with connection.cursor() as cursor:
                cursor.execute(f"LISTEN {connection.ops.quote_name(channel(self.list_key))}")
            self._listening_on = connection.connection
        with connection.cursor() as cursor:
            cursor.execute(
                _PULL,
                {
                    "now": timezone.now(),
                    "key": self.list_key,
                    "beat_key": self.beat_key,
                    "bulk": Conf.BULK,
                    "retry": Conf.RETRY,
                },
            )
            rows = cursor.fetchall()
        tasks = []
        for row, payload, deliveries in rows:
            try:
                if deliveries > MOST_DELIVERIES:
                    raise Unreadable(f"delivered {MOST_DELIVERIES} times without an end")
                tasks.append((row, readable_payload(payload)))
            except Unreadable as reason:
                self._bury(row, payload, str(reason))
        return tasks

    def _wait(self) -> None:
        for _ in connections[Conf.ORM].connection.notifies(timeout=WAIT_S, stop_after=1):
            pass

    def _bury(self, row: int, payload: str, reason: str) -> None:
        with transaction.atomic(using=Conf.ORM):
            DeadTask.objects.using(Conf.ORM).create(queue=self.list_key, payload=payload, reason=reason)
            self.get_connection().filter(pk=row).delete()
        log.error("task moved to the dead", queue=self.list_key, row=row, reason=reason)

    def _outlast(self, error: Exception) -> None:
        if not self._failures:
            log.error("queue database is lost", queue=self.list_key, error=f"{type(error).__name__}: {error}")
        self._drop_connection()
        time.sleep(min(FIRST_PAUSE_S * 2**self._failures, LONGEST_PAUSE_S))
        self._failures = min(self._failures + 1, 1000)

    def _drop_connection(self) -> None:
        self._listening_on = None
        with suppress(Exception):
            connections[Conf.ORM].close()


def readable_payload(payload: str) -> str:
    """The payload, signed with the current key; raises ``Unreadable``.

    A row queued before a rotation of the secret key is signed anew. Only calls of functions in a tasks module with
    plain arguments are let through: a worker that cannot work on what it is given dies of it.
    """
    package, signed_before = _unsign(payload)
    if not isinstance(package, dict) or not package.keys() <= _KEYS:
        raise Unreadable("not a task of ours: unknown fields")
    func, arguments = package.get("func"), package.get("args")
    if not isinstance(func, str) or not _TASK.fullmatch(func):
        raise Unreadable(f"not a function of a tasks module: {str(func)[:200]}")
    if not isinstance(arguments, tuple) or not all(type(argument) in (str, int) for argument in arguments):
        raise Unreadable("arguments other than text and whole numbers")
    if package.get("kwargs") != {} or not isinstance(package.get("started"), datetime):
        raise Unreadable("not a task of ours: wrong fields")
    if not all(isinstance(package.get(key), str) for key in ("id", "name")):
        raise Unreadable("not a task of ours: no identity")
    return SignedPackage.dumps(package) if signed_before else payload


def _unsign(payload: str) -> tuple[Any, bool]:
    """The payload's content and whether a former key had signed it."""
    for position, key in enumerate((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)):
        try:
            content = core_signing.loads(payload, key=key, salt=Conf.PREFIX, serializer=PickleSerializer)
        except core_signing.BadSignature:
            continue
        except Exception as error:  # unpickling may raise anything
            raise Unreadable(f"cannot be unpickled: {type(error).__name__}: {error}"[:500]) from error
        return content, position > 0
    raise Unreadable("signed with none of the known keys")
