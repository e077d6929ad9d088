"""The broker: order, exclusiveness, waking, and what it does with rows that cannot be run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core import signing
from django.db import connection, transaction
from django.utils import timezone
from django_q.models import OrmQ
from django_q.signing import PickleSerializer, SignedPackage

from execution_project import broker as broker_module
from execution_project.broker import MOST_DELIVERIES, NotifyBroker, Unreadable, readable_payload, release_pulled
from execution_project.common.doorbell import ring
from execution_project.common.models import DeadTask
from tests.waiting import wait_until

TASK = "execution_project.tasks.answer_beat"


@pytest.fixture
def broker(transactional_db: None) -> NotifyBroker:
    return NotifyBroker(list_key="cancel-binance")


def in_thread(work: Callable[[], Any], results: list[Any]) -> threading.Thread:
    """Run ``work`` on a connection of its own."""

    def run() -> None:
        try:
            results.append(work())
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def argument(task: tuple[int, str]) -> Any:
    return SignedPackage.loads(task[1])["args"][0]


def test_first_in_first_out_and_only_its_own_queue(broker: NotifyBroker) -> None:
    for number in range(5):
        ring("cancel-binance", TASK, number)
        ring("housekeeping", TASK, 100 + number)
    assert [argument(broker.dequeue()[0]) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert broker.dequeue() == []


def test_pulled_row_is_locked_until_it_is_acknowledged_or_its_retry_time_is_over(broker: NotifyBroker) -> None:
    ring("cancel-binance", TASK, 1)
    [(row, _)] = broker.dequeue()
    assert broker.dequeue() == []
    OrmQ.objects.filter(pk=row).update(lock=timezone.now())
    assert [pulled for pulled, _ in broker.dequeue()] == [row]
    broker.acknowledge(row)
    assert not OrmQ.objects.exists()


def test_row_of_an_open_transaction_is_not_seen(broker: NotifyBroker) -> None:
    found: list[Any] = []
    with transaction.atomic():
        ring("cancel-binance", TASK, 1)
        in_thread(NotifyBroker(list_key="cancel-binance").dequeue, found).join()
    assert found == [[]]
    assert len(broker.dequeue()) == 1


def test_two_consumers_never_share_a_row(broker: NotifyBroker) -> None:
    for number in range(60):
        ring("cancel-binance", TASK, number)
    barrier = threading.Barrier(2)

    def consume() -> list[int]:
        own = NotifyBroker(list_key="cancel-binance")
        barrier.wait()
        pulled = []
        while tasks := own.dequeue():
            pulled += [argument(task) for task in tasks]
        return pulled

    found: list[list[int]] = []
    for thread in [in_thread(consume, found) for _ in range(2)]:
        thread.join()
    assert sorted(found[0] + found[1]) == list(range(60))


def test_commit_wakes_a_waiting_consumer(broker: NotifyBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a wait of five minutes only NOTIFY can bring the row across in time."""
    monkeypatch.setattr(broker_module, "WAIT_S", 300.0)
    waiting = threading.Event()
    wait = NotifyBroker._wait

    def announced(self: NotifyBroker) -> None:
        waiting.set()
        wait(self)

    monkeypatch.setattr(NotifyBroker, "_wait", announced)
    own, found = NotifyBroker(list_key="cancel-binance"), []
    thread = in_thread(lambda: own.dequeue() or own.dequeue(), found)
    assert waiting.wait(10)
    ring("cancel-binance", TASK, 7)
    thread.join(20)
    assert [argument(task) for task in found[0]] == [7]


def test_row_that_becomes_due_is_found_without_a_notification(broker: NotifyBroker) -> None:
    ring("cancel-binance", TASK, 1)
    OrmQ.objects.update(lock=timezone.now() + timedelta(seconds=1.5))
    assert broker.dequeue() == []
    assert wait_until(broker.dequeue, 30, "the row is due")


def test_own_beats_overtake_a_backlog(broker: NotifyBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NotifyBroker, "beat_key", "cancel#me")
    for number in range(3):
        ring("cancel-binance", TASK, number)
    ring("cancel-binance", TASK, 99)
    OrmQ.objects.filter(pk=OrmQ.objects.latest("pk").pk).update(key="cancel#me")
    assert [argument(task) for task in broker.dequeue()] == [99, 0]


def test_rows_of_a_dead_cluster_are_due_at_once(broker: NotifyBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NotifyBroker, "beat_key", "cancel#dead")
    ring("cancel-binance", TASK, 1)
    assert broker.dequeue()
    assert release_pulled("cancel#other") == 0
    assert release_pulled("cancel#dead") == 1
    assert broker.dequeue()


def test_lost_connection_is_replaced_without_an_exception(broker: NotifyBroker) -> None:
    """The server ends the consumer's connection; the next call works on a new one that listens again."""
    ring("cancel-binance", TASK, 1)
    [(row, _)] = broker.dequeue()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [victim] = cursor.fetchone()

    def kill() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [victim])

    in_thread(kill, []).join()
    assert broker.dequeue() == []
    broker.acknowledge(row)
    ring("cancel-binance", TASK, 2)
    assert [argument(task) for task in broker.dequeue()] == [2]


def test_acknowledgement_is_repeated_through_an_outage(broker: NotifyBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    ring("cancel-binance", TASK, 1)
    [(row, _)] = broker.dequeue()
    failures = iter([OSError("away"), OSError("away")])
    reach = broker.get_connection

    def sometimes(*arguments: Any) -> Any:
        for failure in failures:
            raise failure
        return reach(*arguments)

    monkeypatch.setattr(broker, "get_connection", sometimes)
    broker.acknowledge(row)
    assert not OrmQ.objects.exists()


def test_row_delivered_again_and_again_is_buried(broker: NotifyBroker) -> None:
    ring("cancel-binance", TASK, 1)
    for _ in range(MOST_DELIVERIES):
        assert broker.dequeue()
        OrmQ.objects.update(lock=timezone.now())
    assert broker.dequeue() == []
    assert not OrmQ.objects.exists()
    assert DeadTask.objects.get().reason == "delivered 5 times without an end"


def test_unreadable_row_is_buried_and_the_next_one_is_delivered(broker: NotifyBroker) -> None:
    OrmQ.objects.create(key="cancel-binance", payload="nonsense", lock=timezone.now())
    ring("cancel-binance", TASK, 2)
    assert [argument(task) for task in wait_until(broker.dequeue, 5, "the good row")] == [2]
    dead = DeadTask.objects.get()
    assert (dead.queue, dead.payload) == ("cancel-binance", "nonsense")


def package(**changes: Any) -> dict[str, Any]:
    return {
        "id": "1",
        "name": "n",
        "func": TASK,
        "args": (1, "a"),
        "kwargs": {},
        "started": datetime.now(tz=timezone.get_default_timezone()),
        "ack_failure": True,
        "cluster": "cancel-binance",
    } | changes


def test_plain_calls_of_task_functions_are_let_through() -> None:
    payload = SignedPackage.dumps(package())
    assert readable_payload(payload) == payload


@pytest.mark.parametrize(
    "changes",
    [
        {"func": "os.system"},
        {"func": "orders.tasks"},
        {"func": print},
        {"args": (1.5,)},
        {"args": (True,)},
        {"args": ([1],)},
        {"args": [1]},
        {"kwargs": {"a": 1}},
        {"hook": "orders.tasks.x"},
        {"chain": []},
        {"started": "now"},
        {"name": None},
    ],
    ids=str,
)
def test_anything_else_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        readable_payload(SignedPackage.dumps(package(**changes)))


def test_content_that_is_no_package_is_refused() -> None:
    with pytest.raises(Unreadable):
        readable_payload(SignedPackage.dumps([1, 2]))


def test_former_key_is_honoured_and_the_row_signed_anew(settings: Any) -> None:
    payload = signing.dumps(package(), key="old-key", salt="exec", serializer=PickleSerializer)
    with pytest.raises(Unreadable):
        readable_payload(payload)
    settings.SECRET_KEY_FALLBACKS = ["older-key", "old-key"]
    assert SignedPackage.loads(readable_payload(payload))["args"] == (1, "a")
