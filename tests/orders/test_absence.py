"""Which rounds of asking count towards a proof of absence, and from when on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from django.db import IntegrityError, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchanges.absence_bounds import LEAST, AbsenceBounds
from exchanges.models import Account
from execution_project.common import clock
from execution_project.common.models import AppendOnlyError
from orders.absence import bounds_for, counted, judged, last_moment_ms, unknown_placement
from orders.models import AbsenceEvidence, Attempt
from tests.factories import AccountFactory, whole_order

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BOUNDS = LEAST["binance"]
COUNTS_FROM = clock.to_ms(NOW)


def asked(seconds: float, verdict: str = "negative", took: float = 1.0) -> AbsenceEvidence:
    """A round that began so many seconds after it may count."""
    at = NOW + timedelta(seconds=seconds)
    return AbsenceEvidence(
        verdict=verdict, asked_at=at, answered_at=at + timedelta(seconds=took), exchange_ms=clock.to_ms(at)
    )


def count(*rounds: AbsenceEvidence, after: float = 120, bounds: AbsenceBounds = BOUNDS) -> int:
    return len(counted(rounds, COUNTS_FROM, bounds, NOW + timedelta(seconds=after)))


def test_two_negatives_a_gap_apart_count() -> None:
    assert count(asked(0)) == 1
    assert count(asked(0), asked(31)) == 2


@pytest.mark.parametrize("second", [0, 29, 30, 30.999])
def test_a_round_within_the_gap_after_the_answer_before_it_does_not(second: float) -> None:
    assert count(asked(0), asked(second)) == 1


def test_a_round_before_the_request_was_past_execution_does_not() -> None:
    assert count(asked(-0.001), asked(31)) == 1
    assert count(asked(-40), asked(-0.001)) == 0


def test_an_error_is_not_a_negative_and_takes_none_away() -> None:
    assert count(asked(0), asked(31, "failed")) == 1
    assert count(asked(0), asked(31, "failed"), asked(62)) == 2
    assert count(*[asked(second, "failed") for second in range(0, 600, 31)]) == 0


@pytest.mark.parametrize("verdict", ["found", "doubtful"])
def test_what_was_or_may_have_been_seen_makes_earlier_negatives_worthless(verdict: str) -> None:
    assert count(asked(0), asked(31, verdict)) == 0
    assert count(asked(0), asked(31, verdict), asked(62)) == 1


def test_old_rounds_say_nothing_about_now() -> None:
    assert count(asked(0), asked(31), after=600) == 2
    assert count(asked(0), asked(31), after=3600) == 0


def test_every_round_says_why_it_does_not_count() -> None:
    past = [asked(-5), asked(0), asked(10), asked(20, "failed"), asked(31), asked(65, "doubtful"), asked(100)]
    whys = [each.why_not for each in judged(past, COUNTS_FROM, BOUNDS, NOW + timedelta(seconds=120))]
    assert whys == [
        "too early: the request could still be executed",
        "worthless by what was seen later",
        "less than 30 s after the one before",
        "not every question was answered",
        "worthless by what was seen later",
        "something may be it",
        "",
    ]
    [old] = judged([asked(0)], COUNTS_FROM, BOUNDS, NOW + timedelta(hours=1))
    assert old.why_not == "too long ago to say anything about now"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.integers(-100, 500),
            st.sampled_from(["negative", "found", "doubtful", "failed"]),
            st.integers(0, 20),
        ),
        max_size=12,
    )
)
def test_what_counts_is_always_late_negative_and_apart(story: list[tuple[int, str, int]]) -> None:
    past = [asked(*each) for each in sorted(story)]
    kept = counted(past, COUNTS_FROM, BOUNDS, NOW + timedelta(seconds=500))
    assert all(each.verdict == "negative" and each.exchange_ms >= COUNTS_FROM for each in kept)
    assert all(b.asked_at >= a.answered_at + BOUNDS.gap for a, b in pairwise(kept))
    seen = [index for index, each in enumerate(past) if each.verdict in {"found", "doubtful"}]
    assert all(past.index(each) > seen[-1] for each in kept) if seen else True


def attempt(**values: object) -> Attempt:
    return Attempt(stamp_ms=1000, recv_window_ms=5000, send_by=clock.from_ms(1250), **values)


def test_binance_refuses_a_request_after_its_window() -> None:
    assert last_moment_ms(Account(exchange="binance"), attempt()) == 6000


def test_btcturk_takes_it_whenever_it_was_sent() -> None:
    assert last_moment_ms(Account(exchange="btcturk"), attempt()) == 1250 + 500


@pytest.mark.parametrize(
    ("exchange", "status", "rounds", "quiet_ms"),
    [
        ("btcturk", 401, 1, 30_000),
        ("btcturk", 504, 3, 180_000),
        ("btcturk", None, 3, 180_000),
        ("binance", 401, 2, 10_000),
    ],
)
def test_a_401_on_a_placement_takes_one_round_at_btcturk(
    exchange: str, status: int | None, rounds: int, quiet_ms: int
) -> None:
    account = Account(exchange=exchange, mode="live", rest_url="https://api.invalid")
    bounds = bounds_for(account, attempt(response={"http_status": status}))
    assert (bounds.rounds, bounds.quiet_ms, bounds.round_gap_ms) == (rounds, quiet_ms, 30_000)


@pytest.mark.django_db
def test_evidence_is_never_changed_and_never_too_early() -> None:
    order = whole_order(status="open", account=AccountFactory())
    row = order.exchange_orders.get()
    values = {"order": order, "exchange_order": row, "asked_at": NOW, "answered_at": NOW, "bounds": {}, "answers": []}
    stored = AbsenceEvidence.objects.create(**values, verdict="negative", exchange_ms=5, counts_from_ms=5)
    stored.verdict = "found"
    with pytest.raises(AppendOnlyError):
        stored.save()
    for exchange_ms in (4, None):
        with pytest.raises(IntegrityError, match="absence_negative_was_late_enough"), transaction.atomic():
            AbsenceEvidence.objects.create(**values, verdict="negative", exchange_ms=exchange_ms, counts_from_ms=5)
    assert unknown_placement(order) is None
