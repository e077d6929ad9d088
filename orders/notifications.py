"""Telling whoever waits for an order that it moved: NOTIFY after commit, and one listener per web process."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection, transaction

CHANNEL = "exec_order"
POLL_S = 0.5
IDLE_S = 5.0
log = logging.getLogger(__name__)


def notify_after_commit(order_id: UUID) -> None:
    """Wake the waiters of this order once the current transaction has committed."""

    def notify() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, str(order_id)])

    transaction.on_commit(notify, robust=True)


class OrderListener:
    """One LISTEN connection for all waiting threads of a process; a waiter also polls, should a NOTIFY be lost."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: dict[str, set[threading.Event]] = defaultdict(set)
        self._thread: threading.Thread | None = None
        self._listening = threading.Event()

    def is_listening(self) -> bool:
        """Whether the connection stands; until it does, waiters rely on their poll."""
        return self._listening.is_set()

    def register(self, order_id: UUID) -> threading.Event:
        """An event that is set when the order moves; release it with ``forget``."""
        moved = threading.Event()
        with self._mutex:
            self._waiting[str(order_id)].add(moved)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._listen, name="order-listener", daemon=True)
                self._thread.start()
        return moved

    def forget(self, order_id: UUID, moved: threading.Event) -> None:
        """Stop waiting."""
        with self._mutex:
            self._waiting[str(order_id)].discard(moved)
            if not self._waiting[str(order_id)]:
                del self._waiting[str(order_id)]

    def _listen(self) -> None:
        """Listen while somebody waits, and a little longer; the next waiter starts another thread."""
        parameters = connection.get_connection_params()
        parameters.pop("cursor_factory", None)
        parameters.pop("context", None)
        while True:
            try:
                with psycopg.connect(**parameters, autocommit=True) as listening:
                    listening.execute(f"LISTEN {CHANNEL}")
                    self._listening.set()
                    while self._pass_on(listening):
                        pass
                    return
            except psycopg.Error as error:
                log.warning("order listener lost the database: %s", error)
                time.sleep(1)
            finally:
                self._listening.clear()

    def _pass_on(self, listening: psycopg.Connection[Any]) -> bool:
        """Wake the waiters of what is notified for a while; whether to go on: somebody waits still."""
        for notice in listening.notifies(timeout=IDLE_S):
            with self._mutex:
                for moved in self._waiting.get(notice.payload, ()):
                    moved.set()
        with self._mutex:
            if not self._waiting:
                self._thread = None
                return False
        return True


listener = OrderListener()
