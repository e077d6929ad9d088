"""The rate budget of all processes: exactly the limit, a reserve for the urgent, pauses that are never shortened."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from exchanges import rate_budget
from exchanges.adapters import Cost
from exchanges.models import HostPause, RateWindow
from exchanges.rate_budget import AFTER_BAN, Refused, Window, correct_from_exchange, pause, prune, silent_until, take
from execution_project.common import clock
from execution_project.common.models import Event
from tests.threads import run_together

HOST, ACCOUNT = "api.example:443", "main"
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
READ, ORDER = Cost(weight=1), Cost(weight=1, orders=1)


@pytest.fixture(autouse=True)
def manual(monkeypatch: pytest.MonkeyPatch) -> Iterator[clock.ManualClock]:
    """A still clock, and limits of ten."""
    monkeypatch.setattr(rate_budget, "WEIGHT", Window("weight_1m", timedelta(minutes=1), 10))
    monkeypatch.setattr(
        rate_budget,
        "ORDER_WINDOWS",
        (Window("orders_10s", timedelta(seconds=10), 5), Window("orders_1d", timedelta(days=1), 8)),
    )
    with clock.using(clock.ManualClock(NOON)) as running:
        assert isinstance(running, clock.ManualClock)
        yield running


def used(subject: str = HOST, kind: str = "weight_1m") -> int:
    return sum(RateWindow.objects.filter(subject=subject, kind=kind).values_list("used", flat=True))


@pytest.mark.django_db(transaction=True)
def test_of_fifty_at_once_exactly_the_limit_passes() -> None:
    results = run_together([lambda: take(HOST, ACCOUNT, READ, urgent=True)] * 50)
    assert sum(result is None for result in results) == 10
    assert sum(isinstance(result, Refused) for result in results) == 40
    assert used() == 10


@pytest.mark.django_db
def test_a_fifth_is_kept_for_what_is_urgent() -> None:
    assert [take(HOST, ACCOUNT, READ) for _ in range(8)] == [None] * 8
    refused = take(HOST, ACCOUNT, READ)
    assert refused == Refused(NOON + timedelta(minutes=1), "weight_1m used up")
    assert [take(HOST, ACCOUNT, READ, urgent=True) for _ in range(2)] == [None, None]
    assert take(HOST, ACCOUNT, READ, urgent=True) is not None
    assert used() == 10


@pytest.mark.django_db
@pytest.mark.parametrize("already", [0, 5])
def test_a_cost_that_does_not_fit_takes_nothing(already: int) -> None:
    if already:
        take(HOST, ACCOUNT, Cost(already))
    assert take(HOST, ACCOUNT, Cost(11 - already), urgent=True) is not None
    assert used() == already
    assert take(HOST, ACCOUNT, Cost(10 - already), urgent=True) is None


@pytest.mark.django_db
def test_all_windows_are_taken_or_none() -> None:
    for _ in range(4):
        assert take(HOST, ACCOUNT, ORDER) is None
    refused = take(HOST, ACCOUNT, ORDER)
    assert refused == Refused(NOON + timedelta(seconds=10), "orders_10s used up")
    assert (used(), used(ACCOUNT, "orders_10s"), used(ACCOUNT, "orders_1d")) == (4, 4, 4)
    assert take(HOST, ACCOUNT, READ) is None, "a read needs no order"


@pytest.mark.django_db
def test_windows_follow_the_clock(manual: clock.ManualClock) -> None:
    manual.advance(timedelta(seconds=59.999))
    for _ in range(8):
        take(HOST, ACCOUNT, READ)
    assert take(HOST, ACCOUNT, READ) == Refused(NOON + timedelta(minutes=1), "weight_1m used up")
    manual.advance(timedelta(milliseconds=1))
    assert take(HOST, ACCOUNT, READ) is None
    assert RateWindow.objects.filter(kind="weight_1m").count() == 2


@pytest.mark.django_db
def test_weight_is_counted_per_host_and_orders_per_account() -> None:
    for _ in range(4):
        take(HOST, ACCOUNT, ORDER)
    assert take(HOST, ACCOUNT, ORDER) is not None
    assert take(HOST, "other", ORDER) is None
    assert used() == 5
    assert take("other.example", "third", Cost(8)) is None


@pytest.mark.django_db
@pytest.mark.parametrize("urgent", [False, True])
def test_a_pause_stops_everything_at_its_host_until_its_end(urgent: bool, manual: clock.ManualClock) -> None:
    pause(HOST, 30_000, reason="HTTP 429")
    until = NOON + timedelta(seconds=30)
    assert take(HOST, ACCOUNT, READ, urgent=urgent) == Refused(until, "HTTP 429")
    assert take("other.example", ACCOUNT, READ, urgent=urgent) is None
    manual.advance(timedelta(seconds=30))
    assert take(HOST, ACCOUNT, READ, urgent=urgent) is None
    assert used() == 1


@pytest.mark.django_db
def test_a_pause_is_never_shortened() -> None:
    pause(HOST, 60_000, reason="ban", banned=True)
    pause(HOST, 1_000, reason="short")
    row = HostPause.objects.get()
    assert (row.until, row.reason, row.banned) == (NOON + timedelta(seconds=60), "ban", True)
    pause(HOST, 61_000, reason="longer")
    assert HostPause.objects.get().until == NOON + timedelta(seconds=61)


@pytest.mark.django_db
def test_when_a_ban_ends_the_urgent_goes_first(manual: clock.ManualClock) -> None:
    pause(HOST, 30_000, reason="HTTP 418", banned=True)
    until = NOON + timedelta(seconds=30)
    assert take(HOST, ACCOUNT, READ, urgent=True) == Refused(until, "HTTP 418")
    assert take(HOST, ACCOUNT, READ) == Refused(until + AFTER_BAN, "HTTP 418")
    assert silent_until(HOST) == until
    manual.advance(timedelta(seconds=30))
    assert silent_until(HOST) is None
    assert take(HOST, ACCOUNT, READ, urgent=True) is None
    assert take(HOST, ACCOUNT, ORDER) == Refused(until + AFTER_BAN, "HTTP 418")
    manual.advance(AFTER_BAN)
    assert take(HOST, ACCOUNT, ORDER) is None


@pytest.mark.django_db
def test_after_a_plain_pause_all_go_at_once(manual: clock.ManualClock) -> None:
    pause(HOST, 30_000, reason="HTTP 429")
    manual.advance(timedelta(seconds=30))
    assert take(HOST, ACCOUNT, READ) is None


def alarms() -> list[dict[str, str]]:
    told = Event.objects.filter(kind="host.banned", subject_id=HOST).values_list("evidence", flat=True)
    return sorted(told, key=lambda evidence: evidence["until"])


@pytest.mark.django_db
def test_a_ban_is_a_critical_event_once_and_a_pause_is_none(
    manual: clock.ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    pause(HOST, 5_000, reason="HTTP 429")
    assert alarms() == []
    pause(HOST, 1_000, reason="HTTP 418", banned=True)
    # Answers to what was on its way already say much the same.
    pause(HOST, 9_000, reason="HTTP 418 again", banned=True)
    assert alarms() == [{"severity": "critical", "until": "2026-05-01T12:00:05Z", "reason": "HTTP 418"}]
    said = [entry.getMessage() for entry in caplog.records if entry.levelname == "CRITICAL"]
    assert said == [
        f"{HOST} is banned until 2026-05-01T12:00:05Z: nothing goes there, not even cancels and probes (HTTP 418)"
    ]
    assert HostPause.objects.get().until == NOON + timedelta(seconds=9)
    pause(HOST, 600_000, reason="HTTP 418 longer", banned=True)
    assert [alarm["reason"] for alarm in alarms()] == ["HTTP 418", "HTTP 418 longer"]
    manual.advance(timedelta(seconds=600))
    pause(HOST, 1_000, reason="HTTP 418 anew", banned=True)
    assert len(alarms()) == 3


@pytest.mark.django_db
@pytest.mark.parametrize("plain_first", [False, True])
def test_a_plain_pause_takes_no_ban_away(plain_first: bool) -> None:
    both = [(60_000, "HTTP 429", False), (30_000, "HTTP 418", True)]
    for for_ms, reason, banned in both if plain_first else reversed(both):
        pause(HOST, for_ms, reason=reason, banned=banned)
    row = HostPause.objects.get()
    assert (row.until, row.banned, row.reason) == (NOON + timedelta(seconds=60), True, "HTTP 418")


@pytest.mark.django_db(transaction=True)
def test_of_many_bans_at_once_one_is_told() -> None:
    run_together([lambda: pause(HOST, 30_000, reason="HTTP 418", banned=True)] * 12)
    assert len(alarms()) == 1


@pytest.mark.django_db(transaction=True)
def test_of_many_pauses_at_once_the_longest_stands() -> None:
    run_together([lambda n=n: pause(HOST, n * 1000, reason=str(n)) for n in range(1, 13)])
    assert HostPause.objects.get().until == NOON + timedelta(seconds=12)


@pytest.mark.django_db
def test_the_exchanges_own_count_raises_ours_and_never_lowers_it(manual: clock.ManualClock) -> None:
    weight = rate_budget.WEIGHT
    manual.advance(timedelta(seconds=5))
    take(HOST, ACCOUNT, Cost(4))
    correct_from_exchange(HOST, weight, None)
    correct_from_exchange(HOST, weight, 3)
    assert used() == 4
    correct_from_exchange(HOST, weight, 9)
    assert used() == 9
    assert take(HOST, ACCOUNT, READ) is not None
    correct_from_exchange("fresh.example", weight, 7)
    assert used("fresh.example") == 7


@pytest.mark.django_db
def test_an_answer_of_the_window_before_does_not_fill_the_new_one(manual: clock.ManualClock) -> None:
    day = rate_budget.ORDER_WINDOWS[1]
    begins = (manual.now() + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    manual.advance(begins - manual.now() + timedelta(seconds=1))
    correct_from_exchange(ACCOUNT, day, day.limit)
    assert take(HOST, ACCOUNT, ORDER) is None
    manual.advance(timedelta(seconds=1))
    correct_from_exchange(ACCOUNT, day, day.limit)
    assert take(HOST, ACCOUNT, ORDER) is not None


@pytest.mark.django_db
def test_requests_are_counted_whatever_they_weigh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_budget, "RAW", Window("raw_5m", timedelta(days=1), 10))
    monkeypatch.setattr(rate_budget, "WEIGHT", Window("weight_1m", timedelta(minutes=1), 1000))
    assert [take(HOST, ACCOUNT, Cost(2), urgent=True) is None for _ in range(11)] == [True] * 10 + [False]


@pytest.mark.django_db
def test_windows_are_dropped_two_days_after_they_began(manual: clock.ManualClock) -> None:
    take(HOST, ACCOUNT, ORDER)
    manual.advance(timedelta(hours=36))  # the window of the day began at midnight
    assert prune() == 0
    manual.advance(timedelta(microseconds=1))
    assert (prune(), RateWindow.objects.count()) == (1, 3)
    manual.advance(timedelta(hours=12))
    assert (prune(), RateWindow.objects.count()) == (3, 0)
