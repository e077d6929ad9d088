"""The parent of one queue's cluster: it beats through the queue and replaces a deaf cluster whole.

django-q2 can go deaf while it looks alive: the death of an idle worker or of the monitor takes a lock of a shared pipe
with it (its issue 23). No repair from inside is possible, so the parent proves from outside that the cluster hears.

What a beat proves. A beat is a queue row under a key of this parent alone, so that no other host's cluster can answer
for a deaf one. It is over when its row is gone: this cluster's pusher pulled it, one of its workers ran it, and its
monitor acknowledged it. One beat is under way at a time, so they cannot pile up.

What a beat does not prove: that *every* worker is well, or, when it is late, that the cluster is deaf: its workers may
all sit in slow calls. Both are read from the workers' marks (``worker_marks``): a late beat condemns the cluster only
if some worker has been idle all the while or is busy longer than its timeout allows, and the latter condemns it also
while the others answer beats.

The cluster's processes are tied together: whoever dies takes its children along (``processes.tie_forks``), so the
death of this parent, of the cluster's main process or of its sentinel leaves nothing running. What a dead cluster had
pulled is delivered again at once. This parent forks a fresh cluster from itself, with a growing pause if they die
young, rather than exiting: loading everything anew costs seconds. It has one thread and no open connection when it
forks.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any
from uuid import uuid4

import structlog
from django.conf import settings
from django.db import connection, connections, transaction
from django.utils import timezone
from django_q import signals
from django_q.cluster import Cluster
from django_q.models import OrmQ

from execution_project.broker import NotifyBroker, release_pulled
from execution_project.common.doorbell import notify_after_commit, queue_row
from execution_project.common.models import QueueBeat
from execution_project.processes import die_with_parent, kill_session, session_pids, tie_forks
from execution_project.worker_marks import WorkerMarks

BEAT_EVERY_S = 2.0
DEAF_AFTER_S = 15.0
START_GRACE_S = 30.0
"""A fresh cluster has this long until its first answer: on a small machine several start at once."""
GUARD_SLACK_S = 3.0
"""django-q2's guard ends a task this long after its timeout; a worker that is busy longer has escaped it."""
STOP_SLACK_S = 10.0
TICK_S = 0.1
YOUNG_S = 10.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
STALE_BEAT = timedelta(minutes=10)

log = structlog.get_logger(__name__)


class ClusterParent:
    """Runs, watches, replaces and stops the cluster of ``queue``; times are seconds."""

    def __init__(self, queue: str, *, beat_every: float = BEAT_EVERY_S, deaf_after: float = DEAF_AFTER_S) -> None:
        self._queue = queue
        self._timeout = settings.EXEC_QUEUES[queue]["timeout"]
        self._beat_every = beat_every
        self._deaf_after = deaf_after
        self._beat_key = ""
        self._ended_keys: list[str] = []
        self._beat_row: int | None = None
        self._heard_at = 0.0
        self._database_up = True
        self._signals = 0
        self._child: BaseProcess | None = None
        self._marks: WorkerMarks | None = None
        self._started_at = 0.0
        self._pause = FIRST_PAUSE_S

    def run(self) -> None:
        """Until SIGTERM or SIGINT; then the cluster ends its running tasks, or is killed ``timeout`` + 10 s later."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        try:
            self._keep_running()
            self._stop_child()
        finally:
            # this process would wait for its child at exit, and nobody would watch it any more
            self._kill_child()
        with suppress(Exception):
            self._release_ended()

    def _keep_running(self) -> None:
        next_beat = 0.0
        while not self._signals:
            if self._child is None:
                self._start_child()
            elif not self._child.is_alive():
                log.error("task cluster died", queue=self._queue, exit_code=self._child.exitcode)
                self._replace()
                continue
            if time.monotonic() >= next_beat:
                self._watch()
                next_beat = time.monotonic() + self._beat_every
            time.sleep(TICK_S)

    # ------------------------------------------------------------------------------------------------------- child

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _start_child(self) -> None:
        # a connection that two processes have is nobody's; this one opens another when it needs one
        connections.close_all()
        marks = WorkerMarks.create()
        self._beat_key = f"{self._queue}#{uuid4().hex[:12]}"
        self._beat_row = None
        self._child = get_context("fork").Process(target=_run_cluster, args=(marks, self._beat_key, os.getpid()))
        self._child.start()
        self._marks = marks
        self._started_at = time.monotonic()
        self._heard_at = self._started_at + START_GRACE_S - self._deaf_after
        log.info("task cluster started", queue=self._queue, pid=self._child.pid)

    def _replace(self) -> None:
        """Kill whatever is left of the cluster; the next round starts a fresh one."""
        self._kill_child()
        if time.monotonic() - self._started_at > YOUNG_S:
            self._pause = FIRST_PAUSE_S
        deadline = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE_S)
        while not self._signals and time.monotonic() < deadline:
            time.sleep(TICK_S)

    def _kill_child(self) -> None:
        if self._child is None or self._marks is None:
            return
        kill_session(_pid(self._child))
        self._child.join()
        self._marks.close()
        self._child = self._marks = None
        self._ended_keys.append(self._beat_key)

    def _stop_child(self) -> None:
        """SIGTERM to the main process alone: a signal to the whole group would cut tasks off and hang the cluster."""
        if self._child is None:
            return
        if not self._is_deaf():  # a deaf cluster never ends by itself
            self._child.terminate()
            deadline = time.monotonic() + self._timeout + STOP_SLACK_S
            while self._child.is_alive() and time.monotonic() < deadline and self._signals < 2:
                time.sleep(TICK_S)
        if self._child.is_alive():
            log.warning("task cluster did not end in time and is killed", queue=self._queue)
        self._kill_child()

    # ------------------------------------------------------------------------------------------------------- beats

    def _watch(self) -> None:
        try:
            self._beat()
        except Exception as error:  # noqa: BLE001  the parent outlives every outage
            if self._database_up:
                log.error("cluster's parent cannot use the database", queue=self._queue, error=str(error))
            self._database_up = False
            with suppress(Exception):
                connection.close()
            return
        if not self._database_up:
            # nobody could answer meanwhile, so the time of the outage says nothing about the cluster
            self._database_up = True
            self._heard_at = time.monotonic()
            log.warning("cluster's parent can use the database again", queue=self._queue)
        if self._is_deaf():
            log.error("task cluster is deaf and is replaced", queue=self._queue)
            self._replace()

    def _beat(self) -> None:
        """Free what ended clusters had pulled, note the end of the beat under way and send the next one."""
        self._release_ended()
        if self._beat_row is not None:
            if OrmQ.objects.filter(pk=self._beat_row).exists():
                return
            self._beat_row = None
            self._heard_at = time.monotonic()
        now = timezone.now()
        row = queue_row(self._queue, "execution_project.tasks.answer_beat", self._queue)
        row.key = self._beat_key
        with transaction.atomic():
            QueueBeat.objects.update_or_create(queue=self._queue, defaults={"sent_at": now})
            # those of a parent that was killed; nobody else would ever pull them
            OrmQ.objects.filter(key__startswith=f"{self._queue}#", lock__lt=now - STALE_BEAT).delete()
            row.save(force_insert=True)
            notify_after_commit(self._queue)
        self._beat_row = row.pk

    def _release_ended(self) -> None:
        """A dead cluster runs nothing any more: its rows need not wait for their retry time."""
        while self._ended_keys:
            if rows := release_pulled(self._ended_keys[-1]):
                log.warning("tasks of a dead cluster are delivered again", queue=self._queue, rows=rows)
            self._ended_keys.pop()

    def _is_deaf(self) -> bool:
        now = time.monotonic()
        assert self._child is not None and self._marks is not None  # noqa: S101  called while a child runs
        living = set(session_pids(_pid(self._child)))
        marks = [mark for mark in self._marks.read() if mark.pid in living]
        longest = self._timeout + GUARD_SLACK_S + self._deaf_after
        if any(mark.busy and now - mark.since > longest for mark in marks):
            return True
        if now - self._heard_at <= self._deaf_after:
            return False
        return not marks or any(not mark.busy and now - mark.since > self._deaf_after for mark in marks)


def _pid(child: BaseProcess) -> int:
    assert child.pid is not None  # noqa: S101  it was started
    return child.pid


def _run_cluster(marks: WorkerMarks, beat_key: str, parent: int) -> None:
    """django-q2's ``qcluster`` in a session of its own, with its processes tied together, until SIGTERM; running tasks
    are finished first."""
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    die_with_parent(signal.SIGKILL, parent)
    # Without this, killing this process or the sentinel leaves workers that go on trading unguarded.
    tie_forks()

    def idle(**_: Any) -> None:
        marks.note(busy=False)

    def busy(**_: Any) -> None:
        marks.note(busy=True)

    signals.post_spawn.connect(idle, weak=False)
    signals.pre_execute.connect(busy, weak=False)
    signals.post_execute_in_worker.connect(idle, weak=False)
    NotifyBroker.beat_key = beat_key
    Cluster().start()
