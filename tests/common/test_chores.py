"""Chores do not pile up, are rung again when overdue, and remember how they ended."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from execution_project.common import clock
from execution_project.common.chores import answering, ring_chore
from execution_project.common.models import Chore
from tests.threads import run_together

START = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def manual() -> Iterator[clock.ManualClock]:
    with clock.using(clock.ManualClock(START)) as running:
        assert isinstance(running, clock.ManualClock)
        yield running


def ring(name: str = "follow:1") -> bool:
    return ring_chore("housekeeping", name, "orders.tasks.follow", 1)


@pytest.mark.django_db
def test_a_chore_is_not_rung_again_before_it_is_answered(manual: clock.ManualClock) -> None:
    assert ring() is True
    manual.advance(timedelta(seconds=60))
    assert [ring(), ring()] == [False, False]
    assert ring("follow:2") is True
    assert OrmQ.objects.count() == 2
    package = SignedPackage.loads(OrmQ.objects.earliest("id").payload)
    assert (package["func"], package["args"]) == ("orders.tasks.follow", (1,))


@pytest.mark.django_db
def test_an_answered_chore_is_rung_again(manual: clock.ManualClock) -> None:
    for _ in range(3):
        assert ring() is True
        manual.advance(timedelta(seconds=1))
        with answering("follow:1"):
            pass
    assert OrmQ.objects.count() == 3


@pytest.mark.django_db
def test_a_chore_that_nobody_answers_is_rung_again_after_a_minute(manual: clock.ManualClock) -> None:
    ring()
    manual.advance(timedelta(seconds=60))
    assert ring() is False
    manual.advance(timedelta(microseconds=1))
    assert ring() is True
    assert ring() is False


@pytest.mark.django_db
def test_a_failure_is_raised_kept_and_cleared_by_the_next_success(manual: clock.ManualClock) -> None:
    ring()
    with pytest.raises(ValueError, match="broken"), answering("follow:1"):
        raise ValueError("broken " + "x" * 1000)
    row = Chore.objects.get()
    assert row.error.startswith("ValueError: broken")
    assert (len(row.error), row.succeeded_at, row.finished_at) == (512, None, START)
    assert ring() is True, "a failed chore is tried again"
    with answering("follow:1"):
        pass
    row.refresh_from_db()
    assert (row.error, row.succeeded_at) == ("", START)


@pytest.mark.django_db
def test_an_unknown_queue_rings_nothing_and_leaves_nothing() -> None:
    with pytest.raises(ValueError, match="Unknown queue"):
        ring_chore("nowhere", "x", "orders.tasks.follow", 1)
    assert not Chore.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_many_ringers_at_once_one_rings() -> None:
    assert sorted(run_together([ring] * 8), key=bool) == [False] * 7 + [True]
    assert OrmQ.objects.count() == 1
