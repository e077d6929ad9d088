"""One sequence of stamps per key, whoever asks."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from itertools import pairwise
from multiprocessing.context import ForkContext
from typing import Any

import pytest
from django.db import connection, connections

from exchanges.models import StampSequence
from exchanges.reports import ReadFailed
from exchanges.stamps import MAX_AHEAD_MS, REFUSED_AHEAD_MS, StampAhead, key_identity, next_stamp_ms
from exchanges.syncing import sync_balances
from execution_project.common import clock
from tests.engines import make_engine
from tests.simulators import Simulator

PROCESSES = 8
EACH = 100
KEY = key_identity("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0")


@pytest.mark.django_db
def test_time_moves_stamps_and_a_standing_clock_counts_on() -> None:
    assert [next_stamp_ms(KEY, now_ms) for now_ms in (1000, 1000, 999, 1500, 1500)] == [1000, 1001, 1002, 1500, 1501]


@pytest.mark.django_db
def test_keys_do_not_share_a_sequence() -> None:
    assert next_stamp_ms(KEY, 1000) == next_stamp_ms(key_identity("other"), 1000) == 1000
    assert {len(row.key_identity) for row in StampSequence.objects.all()} == {64}
    assert "1000" in str(StampSequence.objects.get(key_identity=KEY))


@pytest.mark.django_db
def test_a_stamp_that_the_exchange_would_refuse_is_not_given() -> None:
    next_stamp_ms(KEY, 100_000)
    assert next_stamp_ms(KEY, 100_001 - MAX_AHEAD_MS) == 100_001
    with pytest.raises(StampAhead, match="3001 ms"):
        next_stamp_ms(KEY, 100_001 - MAX_AHEAD_MS)
    assert next_stamp_ms(KEY, 200_000) == 200_000


@pytest.mark.django_db
def test_a_sequence_that_a_wrong_clock_carried_away_begins_again() -> None:
    next_stamp_ms(KEY, 200_000)
    with pytest.raises(StampAhead):
        next_stamp_ms(KEY, 200_000 - REFUSED_AHEAD_MS)
    assert next_stamp_ms(KEY, 200_000 - REFUSED_AHEAD_MS - 1) == 200_000 - REFUSED_AHEAD_MS - 1
    assert next_stamp_ms(KEY, 200_000 - REFUSED_AHEAD_MS) == 200_000 - REFUSED_AHEAD_MS


@pytest.mark.e2e
def test_a_read_that_gets_no_stamp_is_a_read_that_failed(transactional_db: None, simulator: Simulator) -> None:
    account = make_engine(simulator, exchange="btcturk").account
    StampSequence.objects.update(last_stamp_ms=clock.now_ms() + 8_000)
    with pytest.raises(ReadFailed, match="ahead of the exchange's time"):
        sync_balances(account)


@pytest.fixture
def fork() -> Iterator[ForkContext]:
    """Processes that are forked while this one holds no connection that they could share."""
    connections.close_all()
    yield multiprocessing.get_context("fork")


def draw(start: Any, highest: Any, results: Any) -> None:
    """Stamps of one process; each must be above all that any process had received before it asked."""
    start.wait(30)
    stamps, in_order = [], True
    for _ in range(EACH):
        before = highest.value
        stamp = next_stamp_ms(KEY, clock.now_ms())
        in_order = in_order and stamp > before
        with highest.get_lock():
            highest.value = max(highest.value, stamp)
        stamps.append(stamp)
    results.put((stamps, in_order, connection.connection.info.backend_pid))
    connections.close_all()


@pytest.mark.django_db(transaction=True)
def test_eight_processes_with_one_key_never_meet(fork: ForkContext) -> None:
    start, highest, results = fork.Barrier(PROCESSES), fork.Value("q", 0), fork.Queue()
    processes = [fork.Process(target=draw, args=(start, highest, results)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    drawn = [results.get(timeout=30) for _ in processes]
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    assert all(in_order for _, in_order, _ in drawn)
    assert len({session for _, _, session in drawn}) == PROCESSES  # none of them shared a connection
    for stamps, _, _ in drawn:
        assert all(later > earlier for earlier, later in pairwise(stamps))
    every = [stamp for stamps, _, _ in drawn for stamp in stamps]
    assert len(set(every)) == PROCESSES * EACH
    assert next_stamp_ms(KEY, max(every)) == max(every) + 1
