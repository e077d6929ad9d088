"""``?wait=``: an answer as soon as the exchange has decided, and never more than half of the threads waiting."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from django.test import Client

from orders import notifications
from orders.api import waiting
from tests.engines import Engine, drain
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e
PLACES = settings.EXEC_WEB_THREADS // 2


@pytest.fixture(autouse=True)
def _listener_ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The listener's own connection must not outlive the test's database."""
    monkeypatch.setattr(notifications, "IDLE_S", 0.2)
    yield
    wait_until(lambda: not waiting.listener.is_listening(), 30, "the listener to end")


def place(engine: Engine, key: str, wait: str) -> tuple[int, Any]:
    """One waiting client in a thread of its own."""
    try:
        answer = Client().post(
            f"/api/exec/order?wait={wait}",
            {"account": engine.account.name, "symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": "0.01"},
            content_type="application/json",
            headers={"Authorization": f"Bearer {engine.api_key}", "Idempotency-Key": key},
        )
        return answer.status_code, answer.json()
    finally:
        connections.close_all()


def taken() -> int:
    """Waiting places in use."""
    return PLACES - waiting._places._value


def test_half_of_the_threads_wait_and_the_next_client_is_answered_at_once(engine: Engine) -> None:
    with ThreadPoolExecutor(PLACES) as pool:
        waiters = [pool.submit(place, engine, f"w{number}", "10") for number in range(PLACES)]
        wait_until(lambda: taken() == PLACES, 30, "every place to be taken")
        status, order = place(engine, "one-too-many", "10")
        assert (status, order["status"]) == (202, "pending")
        assert not any(waiter.done() for waiter in waiters)
        drain()
        answers = [waiter.result() for waiter in waiters]
    assert {status for status, _ in answers} == {200}
    assert {order["status"] for _, order in answers} == {"filled"}
    assert taken() == 0


def test_a_notification_wakes_the_waiter_before_its_poll(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the poll out of the way only LISTEN can end the wait before its time."""
    monkeypatch.setattr(waiting, "POLL_S", 60)
    answered = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        waiter = pool.submit(place, engine, "w", "10")
        waiter.add_done_callback(lambda _: answered.set())
        wait_until(lambda: taken() == 1, 30, "the client to wait")
        wait_until(waiting.listener.is_listening, 30, "the listener to listen")
        drain()
        assert answered.wait(8), "the notification did not wake the waiter"
        assert waiter.result()[0] == 200


@pytest.mark.parametrize("wait", ["-1", "11", "1.5", "x", "١"])
def test_a_wait_that_is_none_is_refused_and_nothing_is_placed(engine: Engine, wait: str) -> None:
    status, problem = place(engine, "k", wait)
    assert (status, problem["code"]) == (400, "INVALID_WAIT")
