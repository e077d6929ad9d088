"""The clock gate: no stamp without a young sample, none while the clocks are half a second apart."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from exchanges import host_clock
from exchanges.host_clock import ClockNotFit, exchange_now_ms, gated_offset_ms
from exchanges.models import HostClock
from exchanges.reports import Evidence, Outcome, OutcomeKind, ReadFailed, ServerTime
from execution_project.common import clock
from tests.factories import AccountFactory

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOST = "127.0.0.1:9"


@pytest.fixture(autouse=True)
def manual() -> Iterator[clock.ManualClock]:
    with clock.using(clock.ManualClock(NOON)) as running:
        assert isinstance(running, clock.ManualClock)
        yield running


class Exchange:
    """Answers with the offsets it was given, one after the other; the last one stays."""

    def __init__(self, *offsets: int, round_trip: int = 0) -> None:
        self.offsets = list(offsets)
        self.round_trip = round_trip
        self.asked = 0

    def server_time(self) -> ServerTime:
        self.asked += 1
        if not self.offsets:
            raise ReadFailed(Outcome(OutcomeKind.UNKNOWN, Evidence("GET", "/time", {})))
        offset = self.offsets.pop(0) if len(self.offsets) > 1 else self.offsets[0]
        return ServerTime(clock.now_ms() + offset, offset, self.round_trip)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Any:
    def put(exchange: Exchange) -> Exchange:
        monkeypatch.setattr(host_clock, "adapter_for", lambda account: exchange)
        return exchange

    return put


def test_time_at_the_exchange_is_ours_plus_the_sampled_offset(use: Any, manual: clock.ManualClock) -> None:
    exchange = use(Exchange(123))
    account = AccountFactory()
    assert exchange_now_ms(account) == clock.to_ms(NOON) + 123
    manual.advance(timedelta(seconds=120))
    assert exchange_now_ms(account) == clock.to_ms(NOON) + 120_123
    assert exchange.asked == 1
    manual.advance(timedelta(microseconds=1))
    exchange_now_ms(account)
    assert exchange.asked == 2, "older than two minutes"
    assert HostClock.objects.get().host == HOST


@pytest.mark.parametrize(
    ("offset", "round_trip", "fits"),
    [
        (0, 0, True),
        (500, 0, True),
        (-500, 0, True),
        (501, 0, False),
        (-501, 0, False),
        (540, 80, True),  # half a round trip is what a sample may be wrong by
        (541, 80, False),
        (540, 81, True),
    ],
)
def test_half_a_second_is_the_most(offset: int, round_trip: int, fits: bool, use: Any) -> None:
    use(Exchange(offset, round_trip=round_trip))
    account = AccountFactory()
    if fits:
        assert gated_offset_ms(account) == offset
    else:
        with pytest.raises(ClockNotFit, match=f"{offset} ms off"):
            gated_offset_ms(account)


def test_a_jump_that_was_mended_is_seen_by_a_new_sample(use: Any) -> None:
    exchange = use(Exchange(20))
    account = AccountFactory()
    HostClock.objects.create(host=HOST, offset_ms=3000, round_trip_ms=0, sampled_at=NOON)
    assert gated_offset_ms(account) == 20
    assert exchange.asked == 1
    assert HostClock.objects.get().offset_ms == 20


def test_without_an_answer_nothing_is_stamped(use: Any) -> None:
    use(Exchange())
    account = AccountFactory()
    for ask in (gated_offset_ms, exchange_now_ms):
        with pytest.raises(ReadFailed):
            ask(account)
    HostClock.objects.create(host=HOST, offset_ms=0, round_trip_ms=0, sampled_at=NOON - timedelta(seconds=121))
    with pytest.raises(ReadFailed):
        gated_offset_ms(account)


def test_a_cancel_takes_the_last_sample_however_old_and_asks_only_when_there_is_none(use: Any) -> None:
    exchange = use(Exchange(30))
    account = AccountFactory()
    assert gated_offset_ms(account, however_old=True) == 30
    HostClock.objects.update(sampled_at=NOON - timedelta(days=1), offset_ms=7)
    assert (gated_offset_ms(account, however_old=True), exchange.asked) == (7, 1)
    assert (gated_offset_ms(account), exchange.asked) == (30, 2)


def test_accounts_of_one_host_share_its_clock(use: Any) -> None:
    exchange = use(Exchange(7))
    one, other = AccountFactory(), AccountFactory()
    elsewhere = AccountFactory(rest_url="http://127.0.0.1:10")
    assert [exchange_now_ms(account) - clock.to_ms(NOON) for account in (one, other, elsewhere)] == [7, 7, 7]
    assert exchange.asked == 2
