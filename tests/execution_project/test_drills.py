"""Drills: real clusters, real kills, one for each way in which a task queue was seen to go deaf or run wild.

All drills but the last ones share one ``run_cluster`` parent, which therefore also has to survive them in a row.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from django.core.signing import dumps
from django.test import override_settings
from django_q.signing import PickleSerializer

from execution_project.common.doorbell import channel, queue_row
from execution_project.postgres import EmbeddedPostgres
from execution_project.processes import session_pids
from execution_project.worker_marks import WorkerMarks
from tests.processes import Managed, Processes
from tests.waiting import wait_until

pytestmark = [pytest.mark.drill, pytest.mark.xdist_group("drills"), pytest.mark.timeout(240)]

TASKS = "tests.execution_project.drill_tasks"
RECOVERY_S = 20.0
"""Less than the queue's retry time: what a dead cluster had pulled does not wait for it."""


class House:
    """A database server of its own, one cluster with its parent, and the notes of its tasks."""

    def __init__(self, folder: Path, processes: Processes, postgres: EmbeddedPostgres) -> None:
        self.folder = folder
        self.processes = processes
        self.postgres = postgres
        self.parent: Managed | None = None
        self._labels = 0

    def label(self, word: str) -> str:
        """A label that no other task carries."""
        self._labels += 1
        return f"{word}-{self._labels}"

    def start_parent(self, **environment: str) -> Managed:
        self.parent = self.processes.manage(
            *("run_cluster", "drill", "--skip-checks", "--beat-every", 0.3, "--deaf-after", 4), **environment
        )
        return self.parent

    def sql(self, statement: str, *values: object) -> list[tuple]:
        with psycopg.connect(self.postgres.url("execution"), autocommit=True) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def enqueue(self, task: str, *arguments: str) -> int:
        """Put a row into the drill queue as a doorbell does; returns its id."""
        with override_settings(EXEC_QUEUES={"drill": {}}):
            return self.enqueue_payload(queue_row("drill", f"{TASKS}.{task}", *arguments).payload)

    def enqueue_payload(self, payload: str) -> int:
        [(row,)] = self.sql(
            "INSERT INTO django_q_ormq (key, payload, lock) VALUES ('drill', %s, now()) RETURNING id", payload
        )
        self.sql("SELECT pg_notify(%s, '')", channel("drill"))
        return row

    def notes(self, start: str) -> list[str]:
        """The notes that begin with ``start``."""
        file = self.folder / "notes"
        lines = file.read_text().splitlines() if file.exists() else []
        return [line for line in lines if line.startswith(f"{start} ")]

    def runs(self, timeout: float = RECOVERY_S) -> None:
        """Fails unless a new task is run and acknowledged."""
        label = self.label("probe")
        row = self.enqueue("note", label)
        wait_until(lambda: self.notes(f"ran {label}"), timeout, f"task {label} runs: {self.parent.output()[-3000:]}")
        self.gone(row, timeout)

    def gone(self, row: int, timeout: float = 20.0) -> None:
        wait_until(
            lambda: not self.sql("SELECT 1 FROM django_q_ormq WHERE id = %s", row), timeout, f"row {row} is gone"
        )

    def retry_now(self, row: int) -> None:
        """Let the row's retry time be over."""
        self.sql("UPDATE django_q_ormq SET lock = now() WHERE id = %s", row)

    def release(self, label: str) -> None:
        (self.folder / label).touch()

    def main(self) -> psutil.Process:
        """The cluster's main process: the one child of the parent."""
        [child] = wait_until(lambda: psutil.Process(self.parent.pid).children(), 30, "the cluster's main process")
        return child

    def sentinel(self) -> psutil.Process:
        [child] = wait_until(lambda: self.main().children(), 30, "the sentinel")
        return child

    def crew(self) -> list[psutil.Process]:
        """The sentinel's children, complete: two workers, the monitor and the pusher, in this order."""
        children = wait_until(lambda: self._complete(self.sentinel().children()), 30, "a complete crew")
        workers = [process for process in children if process.pid in self._worker_pids()]
        # without a mark: monitor and pusher, born in this order; a reborn monitor is deaf and does not live long
        others = sorted((process for process in children if process not in workers), key=lambda process: process.pid)
        return [*workers, *others]

    def _complete(self, children: list[psutil.Process]) -> list[psutil.Process]:
        pids = self._worker_pids()
        workers = [process for process in children if process.pid in pids]
        return children if len(children) == 4 and len(workers) == 2 else []

    def _worker_pids(self) -> set[int]:
        main = self.main().pid
        for link in Path(f"/proc/{main}/fd").iterdir():
            if "exec-worker-marks" in str(link.readlink()):
                descriptor = os.open(link, os.O_RDONLY)
                try:
                    return {mark.pid for mark in WorkerMarks(descriptor).read()}
                finally:
                    os.close(descriptor)
        return set()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("drills")
    # Durable: a server that forgets at a kill what it had confirmed would deliver a task a second time.
    postgres = EmbeddedPostgres(Path(os.environ["EXEC_DATA_DIR"]) / f"drills-{os.getpid()}")
    postgres.start()
    try:
        postgres.ensure_database("execution")
        environment = {
            "DJANGO_SETTINGS_MODULE": "tests.execution_project.drill_settings",
            "DRILL_FOLDER": str(folder),
        }
        with Processes(folder, database_url=postgres.url("execution"), **environment) as processes:
            processes.run("migrate", "--run-syncdb", "--skip-checks", EXEC_DATABASE_ROLE="")
            house = House(folder, processes, postgres)
            house.start_parent()
            yield house
    finally:
        postgres.stop("immediate")
        shutil.rmtree(postgres.folder)


@pytest.fixture(autouse=True)
def well(house: House) -> None:
    """Every drill begins with a cluster that hears, whatever the one before did to it."""
    house.runs()


def test_beats_do_not_pile_up_and_are_acknowledged(house: House) -> None:
    # the cluster may hear a task before its first beat
    [(first,)] = house.sql(
        "SELECT coalesce(max(beaten_at), to_timestamp(0)) FROM common_queuebeat WHERE queue = 'drill'"
    )
    wait_until(
        lambda: house.sql("SELECT 1 FROM common_queuebeat WHERE queue = 'drill' AND beaten_at > %s", first),
        RECOVERY_S,
        "a beat",
    )
    assert house.sql("SELECT count(*) FROM django_q_ormq WHERE key LIKE 'drill#%%'")[0][0] <= 1


def test_worker_killed_in_mid_task_runs_the_task_again(house: House) -> None:
    label = house.label("hold")
    row = house.enqueue("hold", label)
    [begun] = wait_until(lambda: house.notes(f"began {label}"), 30, "the task begins")
    os.kill(int(begun.split()[-1]), signal.SIGKILL)
    house.release(label)
    house.retry_now(row)
    wait_until(lambda: house.notes(f"ended {label}"), 20, "the task runs again")
    house.gone(row)
    assert len(house.notes(f"began {label}")) == 2


def test_idle_workers_death_deafens_no_longer_than_the_parent_allows(house: House) -> None:
    before = house.main().pid
    workers = house.crew()[:2]
    # one of the idle workers holds the lock of the task pipe; killing both surely kills that one
    for worker in workers:
        worker.kill()
    house.runs()
    assert not psutil.pid_exists(before) or house.main().pid != before, "the whole cluster was replaced"


def test_monitors_death_is_noticed_by_missing_acknowledgements(house: House) -> None:
    before = house.main().pid
    house.crew()[2].kill()
    wait_until(lambda: not psutil.pid_exists(before), RECOVERY_S, "the cluster is replaced")
    house.runs()


def test_pushers_death_costs_nothing(house: House) -> None:
    before = house.main().pid
    house.crew()[3].kill()
    house.runs()
    assert house.main().pid == before


@pytest.mark.parametrize("victim", ["sentinel", "main"])
def test_death_of_main_or_sentinel_leaves_no_orphan(house: House, victim: str) -> None:
    main = house.main()
    crew = house.crew()
    label = house.label("hold")
    house.enqueue("hold", label)
    wait_until(lambda: house.notes(f"began {label}"), 30, "a task is under way")
    getattr(house, victim)().kill()
    wait_until(lambda: not any(process.is_running() for process in crew), 5, "workers, monitor and pusher are gone")
    assert not session_pids(main.pid)
    house.release(label)
    wait_until(lambda: house.notes(f"ended {label}"), RECOVERY_S, "the fresh cluster runs the task again")


def test_slow_tasks_in_all_workers_are_not_taken_for_deafness(house: House) -> None:
    before = house.main().pid
    labels = [house.label("hold") for _ in range(2)]
    for label in labels:
        house.enqueue("hold", label)
    for label in labels:
        wait_until(lambda label=label: house.notes(f"began {label}"), 30, "both workers are busy")
    busy_since = time.monotonic()
    wait_until(lambda: time.monotonic() > busy_since + 4.7, 7, "longer than deaf-after")
    for label in labels:
        house.release(label)
    for label in labels:
        wait_until(lambda label=label: house.notes(f"ended {label}"), 10, "both end in the same cluster")
    assert house.main().pid == before


def test_worker_that_never_ends_is_ended_by_its_timeout(house: House) -> None:
    label = house.label("hold")
    row = house.enqueue("hold", label)
    wait_until(lambda: house.notes(f"began {label}"), 30, "the task begins")
    house.gone(row, 15)
    assert house.sql("SELECT 1 FROM django_q_task WHERE NOT success AND name = %s", f"hold:{label}")
    house.runs()


def test_raising_task_runs_once(house: House) -> None:
    """``ack_failures`` and ``max_attempts``: a failure is kept for reading and not delivered again."""
    label = house.label("fail")
    house.gone(house.enqueue("fail", label))
    assert len(house.notes(f"failed {label}")) == 1
    [(attempts, result)] = house.sql(
        "SELECT attempt_count, success FROM django_q_task WHERE name = %s", f"fail:{label}"
    )
    assert (attempts, result) == (1, False)


def test_same_doorbell_delivered_twice_runs_twice_and_breaks_nothing(house: House) -> None:
    """At least once: what a task does is guarded by the row its id names, not by the queue."""
    label = house.label("twice")
    with override_settings(EXEC_QUEUES={"drill": {}}):
        payload = queue_row("drill", f"{TASKS}.note", label).payload
    rows = [house.enqueue_payload(payload), house.enqueue_payload(payload)]
    for row in rows:
        house.gone(row)
    assert len(house.notes(f"ran {label}")) == 2


def test_unreadable_payloads_are_buried_and_hold_up_nobody(house: House) -> None:
    poison = dumps({"func": "x"}, salt="exec", serializer=PickleSerializer).replace(":", "!")
    unpickled = dumps(b"no pickle", salt="exec", serializer=_Raw)
    before = house.crew()[3].pid
    for payload in (poison, unpickled):
        house.gone(house.enqueue_payload(payload))
    dead = house.sql("SELECT reason FROM common_deadtask WHERE payload IN (%s, %s)", poison, unpickled)
    assert sorted(reason.split(":")[0] for (reason,) in dead) == [
        "cannot be unpickled",
        "signed with none of the known keys",
    ]
    house.runs()
    assert house.crew()[3].pid == before, "the pusher lived through it"


class _Raw:
    def dumps(self, value: bytes) -> bytes:
        return value


def test_task_that_kills_its_worker_is_buried_in_the_end(house: House) -> None:
    """``max_attempts`` counts reported failures only; the broker counts deliveries."""
    label = house.label("leave")
    row = house.enqueue("leave", label)
    for deliveries in range(1, 6):
        wait_until(lambda n=deliveries: len(house.notes(f"left {label}")) >= n, RECOVERY_S, f"delivery {deliveries}")
        house.retry_now(row)
    house.gone(row)
    assert len(house.notes(f"left {label}")) == 5
    assert house.sql("SELECT 1 FROM common_deadtask WHERE reason LIKE 'delivered 5 times%%'")


def test_database_away(house: House) -> None:
    """A task that ends during the outage is not run again, and the queue works at once when the database is back."""
    before, crew = house.main().pid, {process.pid for process in house.crew()}
    label = house.label("hold")
    row = house.enqueue("hold", label)
    wait_until(lambda: house.notes(f"began {label}"), 30, "the task begins")
    house.postgres.stop("immediate")
    house.release(label)
    wait_until(lambda: house.notes(f"ended {label}"), 30, "the task ends without a database")
    away = time.monotonic()
    wait_until(lambda: time.monotonic() > away + 5, 7, "longer than deaf-after")
    house.postgres.start()
    house.runs(timeout=10)
    house.gone(row)
    assert len(house.notes(f"began {label}")) == 1
    assert house.main().pid == before
    assert {process.pid for process in house.crew()} == crew, "nobody died of it"


def test_rotated_secret(house: House) -> None:
    """Rows queued before a rotation of the key are run after it."""
    assert house.parent.terminate() == 0
    label = house.label("rotated")
    row = house.enqueue("note", label)
    fallback = "development-only-secret-key-never-used-in-production"
    house.start_parent(EXEC_SECRET_KEY="another-key", EXEC_SECRET_KEY_FALLBACKS=fallback)
    wait_until(lambda: house.notes(f"ran {label}"), RECOVERY_S, "the row is run")
    house.gone(row)
    assert house.parent.terminate() == 0
    house.start_parent()


def test_sigterm_to_the_parent_lets_running_tasks_end(house: House) -> None:
    label = house.label("hold")
    row = house.enqueue("hold", label)
    wait_until(lambda: house.notes(f"began {label}"), 30, "the task begins")
    main = house.main()
    house.parent.process.send_signal(signal.SIGTERM)
    wait_until(lambda: len(main.children(recursive=True)) < 5, 10, "the cluster is stopping")
    house.release(label)
    assert house.parent.process.wait(20) == 0
    assert len(house.notes(f"ended {label}")) == 1
    house.gone(row, 1)
    assert not session_pids(main.pid)
    house.start_parent()


def test_parents_death_leaves_no_orphan(house: House) -> None:
    main = house.main()
    label = house.label("hold")
    row = house.enqueue("hold", label)
    wait_until(lambda: house.notes(f"began {label}"), 30, "a task is under way")
    house.parent.kill()
    wait_until(lambda: not session_pids(main.pid), 5, "its cluster is gone")
    house.release(label)
    house.retry_now(row)
    house.start_parent()
    wait_until(lambda: house.notes(f"ended {label}"), RECOVERY_S, "the next one runs the task again")
