"""What has to happen every few seconds: one process of the installation calls the ticks, each in its own period.

A tick only looks into the database and rings task queues; anything slow is a task. Ticks are named in
``settings.EXEC_TICKS`` (dotted path of a function without arguments: period in seconds). Missed periods are not made
up for. A second ticker waits as a standby for the advisory lock of the first.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, connections
from django.utils import timezone
from django.utils.module_loading import import_string
from django_q.models import Task

from exchanges.dead_man import write_heartbeat
from exchanges.versions import announce
from execution_project.common.installation import forget_prefix
from execution_project.common.models import DeadTask, QueueBeat

LEADER_LOCK = 0x6578_6563_7469_636B
"""Advisory lock of the leading ticker ("exectick")."""
LONGEST_TICK_S = 20
STEP_S = 0.1
BEAT_NAME = "ticker"
"""Row of ``QueueBeat`` by which readiness sees that ticks happen."""
BEAT_EVERY_S = 2.0
HEARTBEAT_EVERY_S = 1.0
HANDED_OVER_WITHIN = timedelta(seconds=15)
PRUNE_EVERY_S = 86_400.0
SUCCESSES_KEPT = timedelta(days=1)
FAILURES_KEPT = timedelta(days=30)
PRUNE_BATCH = 1000
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 2.0

log = structlog.get_logger(__name__)


class TickTookTooLong(Exception):
    """One tick may not hold up the others."""


@dataclass(slots=True)
class Tick:
    """A function called every ``every_s`` seconds; ``due_at`` is on the monotonic clock, 0 = at once."""

    name: str
    every_s: float
    call: Callable[[], object]
    due_at: float = field(default=0.0)


def beat() -> None:
    """Say that the ticker lives."""
    now = timezone.now()
    announce(BEAT_NAME)
    QueueBeat.objects.update_or_create(
        queue=BEAT_NAME, defaults={"sent_at": now, "beaten_at": now, "worker_pid": os.getpid()}
    )


def forget_beat(using: str = "default", **sent: Any) -> None:
    """Receiver of ``post_migrate``, which comes before every start: without a beat nobody is taken over from.

    So the ticker begins with a start, however short the engine was away.

    Runs only after a real migrate: tests send the same signal, without a plan, after each flush.
    """
    if "plan" in sent and QueueBeat._meta.db_table in connections[using].introspection.table_names():
        QueueBeat.objects.using(using).filter(queue=BEAT_NAME).delete()


def prune_task_results() -> int:
    """Delete old results of the task queue, which keeps failures for ever; returns how many rows."""
    now = timezone.now()
    deleted = 0
    for rows in (
        Task.objects.filter(success=True, stopped__lt=now - SUCCESSES_KEPT),
        Task.objects.filter(success=False, stopped__lt=now - FAILURES_KEPT),
        DeadTask.objects.filter(created_at__lt=now - FAILURES_KEPT),
    ):
        while batch := list(rows.order_by("pk").values_list("pk", flat=True)[:PRUNE_BATCH]):
            deleted += rows.model._default_manager.filter(pk__in=batch).delete()[0]
    return deleted


def registered_ticks() -> list[Tick]:
    """Our own ticks and those of the settings."""
    return [
        Tick("beat", BEAT_EVERY_S, beat),
        Tick("prune_task_results", PRUNE_EVERY_S, prune_task_results),
        *(Tick(path, every_s, import_string(path)) for path, every_s in settings.EXEC_TICKS.items()),
    ]


def registered_boot() -> Callable[[], object]:
    """What the settings call at the start of a leader."""
    boot: Callable[[], object] = import_string(settings.EXEC_ON_BOOT)
    return boot


class Ticker:
    """The loop. It outlives a lost database, and an exception of one tick never reaches another.

    ``boot`` is called before the first tick of a leader, and again when the database server was started anew, was away
    for long, or this process stood still for long.
    """

    def __init__(
        self,
        ticks: list[Tick],
        boot: Callable[[], object] | None = None,
        heartbeat: Path | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """``heartbeat``: file that is written after a leader's ticks, for the watchdog. ``wall``: seconds of a clock
        that goes on while the machine sleeps."""
        self._ticks = ticks
        self._boot = boot
        self._heartbeat = heartbeat
        self._wall = wall
        self._turned_at = 0.0
        self._heart_beat_at = -HEARTBEAT_EVERY_S
        self._settled_on: Any = None
        self._stopping = False
        self._led_on: Any = None
        self._failures = 0

    def run(self) -> None:
        """Until SIGTERM or SIGINT; the tick that runs then is finished."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        while not self._stopping:
            try:
                self.step()
                if self._failures:
                    log.warning("database is back to the ticker")
                    self._failures = 0
                time.sleep(STEP_S)
            except Exception as error:  # noqa: BLE001  the ticker outlives every outage
                if not self._failures:
                    log.error("database is lost to the ticker", error=f"{type(error).__name__}: {error}")
                self._led_on = None
                with suppress(Exception):
                    connection.close()
                time.sleep(min(FIRST_PAUSE_S * 2**self._failures, LONGEST_PAUSE_S))
                self._failures = min(self._failures + 1, 1000)
        self._end()

    def _end(self) -> None:
        """A ticker that ends as planned leaves no beat: whoever leads next begins with a start."""
        if self._led_on is not None:
            with suppress(Exception):
                QueueBeat.objects.filter(queue=BEAT_NAME, worker_pid=os.getpid()).delete()

    def step(self) -> None:
        """Call the ticks that are due, if this process leads. Raises only what the loss of the database raises."""
        if not self._leads():
            return
        if self._led_on is not self._settled_on:
            self._boot_if_new()
        self._boot_if_it_stood_still()
        for tick in self._ticks:
            now = time.monotonic()
            if self._stopping or now < tick.due_at:
                continue
            self._boot_if_it_stood_still()
            tick.due_at = now + tick.every_s
            self._call(tick)
            self._turned()
        self._turned()

    def _turned(self) -> None:
        """Said after every tick: several slow ones in a row are no standstill."""
        self._turned_at = self._wall()
        self._beat_heart()

    def _boot_if_it_stood_still(self) -> None:
        """A leader that wakes up after so long (a paused machine, a stopped process) may find that the watchdog has
        acted, or that the exchange has gone on without it."""
        still_s = self._wall() - self._turned_at
        if still_s > HANDED_OVER_WITHIN.total_seconds():
            log.warning("the ticker stood still: the engine starts anew", seconds=round(still_s, 1))
            self._start()

    def _beat_heart(self) -> None:
        """Every second at most. A file that cannot be written stops no tick: the watchdog will say so."""
        now = time.monotonic()
        if self._heartbeat is None or now - self._heart_beat_at < HEARTBEAT_EVERY_S:
            return
        self._heart_beat_at = now
        try:
            write_heartbeat(self._heartbeat)
        except OSError as error:
            log.error("the heartbeat cannot be written", file=str(self._heartbeat), error=str(error))

    def _leads(self) -> bool:
        """The lock belongs to a connection: a new connection has to win it again."""
        if self._led_on is not None and self._led_on is connection.connection:
            return True
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [LEADER_LOCK])
            row = cursor.fetchone()
        if not row or not row[0]:
            time.sleep(STEP_S)
            return False
        self._led_on = connection.connection
        log.info("this ticker leads", pid=os.getpid())
        return True

    def _boot_if_new(self) -> None:
        """A lead is a start: of the engine, on a database server that was started anew, or after an outage so long that
        the watchdog may have acted.

        No start is what a ticker takes over from one that beat a moment ago on the same server, be it itself: it was
        killed, or lost its connection, and the engine around it went on.
        """
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT EXISTS (SELECT 1 FROM common_queuebeat WHERE queue = %s"
                " AND beaten_at > greatest(pg_postmaster_start_time(), %s))",
                [BEAT_NAME, timezone.now() - HANDED_OVER_WITHIN],
            )
            row = cursor.fetchone()
        forget_prefix()
        if not (row and row[0]):
            self._start()
        self._settled_on, self._turned_at = self._led_on, self._wall()

    def _start(self) -> None:
        if self._boot is not None:
            try:
                self._boot()
            except Exception:
                log.exception("the start failed and is tried again")
                raise
        self._turned_at = self._wall()

    def _call(self, tick: Tick) -> None:
        try:
            with _at_most(LONGEST_TICK_S):
                tick.call()
        except (DatabaseError, InterfaceError):
            log.exception("tick failed", tick=tick.name)
            # a wrong statement is the tick's own affair; a lost connection is the loop's
            if not connection.is_usable():
                raise
        except Exception:
            log.exception("tick failed", tick=tick.name)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True


@contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def expire(number: int, frame: FrameType | None) -> None:
        raise TickTookTooLong(f"longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
