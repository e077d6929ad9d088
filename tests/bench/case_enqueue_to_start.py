"""Doorbell in a transaction → first line of the task, in a real cluster; floor: django-q2's own ORM broker.

Both clusters run all the time, each with two workers; their turns alternate, one task at a time, at random gaps.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable

from django.db import transaction
from django.test import override_settings
from django_q.brokers.orm import ORM
from django_q.tasks import async_task

from execution_project.common import doorbell
from tests.bench import queue_settings
from tests.bench.frame import Bench, Sample, interleave, table

TASK = "tests.bench.bench_tasks.start"
PER_ROUND = 40
SHORTEST_GAP_S, LONGEST_GAP_S = 0.05, 0.25
PATIENCE_S = 30.0


def run(bench: Bench, rounds: int) -> None:
    """Measure and print."""
    with override_settings(EXEC_QUEUES=queue_settings.EXEC_QUEUES):
        _run(bench, rounds)


def _run(bench: Bench, rounds: int) -> None:
    bench.processes.manage("run_cluster", "bench", DJANGO_SETTINGS_MODULE="tests.bench.queue_settings")
    bench.processes.manage("qcluster", DJANGO_SETTINGS_MODULE="tests.bench.stock_settings")
    path = str(bench.folder / "started")
    stock = ORM(list_key="exec")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(path)
        heard.settimeout(PATIENCE_S)

        def one(enqueue: Callable[[], object]) -> float:
            began = time.monotonic_ns()
            with transaction.atomic():
                enqueue()
            return (int(heard.recv(64)) - began) / 1e9

        def measure(enqueue: Callable[[], object]) -> Sample:
            began, latencies = time.monotonic(), []
            for _ in range(bench.acts(PER_ROUND)):
                time.sleep(random.uniform(SHORTEST_GAP_S, LONGEST_GAP_S))
                latencies.append(one(enqueue))
            return Sample(latencies, time.monotonic() - began)

        def ours() -> None:
            doorbell.ring("bench", TASK, path)

        def theirs() -> None:
            async_task(TASK, path, broker=stock)

        for enqueue in (ours, theirs):  # until the clusters stand and every worker has run once
            for _ in range(4):
                one(enqueue)
        figures = interleave(
            rounds, {"doorbell, NotifyBroker": lambda: measure(ours), "stock": lambda: measure(theirs)}
        )
    subject, floor = figures["doorbell, NotifyBroker"], figures["stock"]
    table(
        ["enqueue → start", "tasks", "p50 ms", "p99 ms"],
        [
            ["doorbell, NotifyBroker", str(subject.acts), f"{subject.p50:.1f}", f"{subject.p99:.1f}"],
            ["django-q2 ORM broker, default poll", str(floor.acts), f"{floor.p50:.1f}", f"{floor.p99:.1f}"],
            ["ratio", "", f"{subject.p50 / floor.p50:.3f}", f"{subject.p99 / floor.p99:.3f}"],
        ],
    )
