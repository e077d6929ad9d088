"""Real threads that start together, each with a database connection of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from django.db import OperationalError, connection, connections
from django.utils.module_loading import import_string
from django_q.models import OrmQ
from django_q.signing import SignedPackage
from psycopg.errors import LockNotAvailable

T = TypeVar("T")


def run_together(acts: list[Callable[[], T]]) -> list[T | Exception]:
    """What each act returned or raised; all of them start at one barrier."""
    barrier = threading.Barrier(len(acts))

    def run(act: Callable[[], T]) -> T | Exception:
        try:
            barrier.wait(30)
            return act()
        except Exception as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


@contextmanager
def workers(*queues: str | None) -> Iterator[None]:
    """A thread for each name, which carries out what is queued there (None: anywhere), as a cluster's workers do, until
    the block ends. A task that finds a row held for too long has failed like there: the sweeper rings again."""
    over = threading.Event()

    def work(queue: str | None) -> None:
        rows = OrmQ.objects.order_by("id")
        if queue is not None:
            rows = rows.filter(key=queue)
        while not over.is_set():
            row = rows.first()
            if row is None or not OrmQ.objects.filter(id=row.id).delete()[0]:
                time.sleep(0.005)
                continue
            package = SignedPackage.loads(row.payload)
            try:
                import_string(package["func"])(*package["args"])
            except OperationalError as error:
                if not isinstance(error.__cause__, LockNotAvailable):
                    raise
        connections.close_all()

    threads = [threading.Thread(target=work, args=(queue,)) for queue in queues]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


class Other:
    """One act in another thread, which the test may watch while it waits for a lock."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.result: object = None
        self.error: Exception | None = None
        self._act = act
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result = self._act()
        except Exception as error:
            self.error = error
        finally:
            connections.close_all()

    @property
    def ended(self) -> bool:
        """Whether it has returned or raised."""
        return not self._thread.is_alive()

    def join(self) -> object:
        """Its result, once it has one; raises what it raised."""
        self._thread.join(30)
        assert not self._thread.is_alive(), "it still waits"
        if self.error is not None:
            raise self.error
        return self.result


def together(count: int, act: Callable[[int], T]) -> list[T]:
    """What ``act(0)`` … ``act(count - 1)`` returned, all started at one barrier; the first error is raised."""
    results = run_together([lambda number=number: act(number) for number in range(count)])
    returned = []
    for result in results:
        if isinstance(result, Exception):
            raise result
        returned.append(result)
    return returned


def blocked() -> bool:
    """Whether a session of this database waits for a lock of another one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # a transaction would see the same sessions for ever
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND cardinality(pg_blocking_pids(pid)) > 0"
        )
        return bool(cursor.fetchone()[0])
