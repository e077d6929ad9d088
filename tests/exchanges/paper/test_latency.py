"""Latency: the book is the one of the arrival, fills land between a cancel and its answer, and late is late."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from exchanges.adapters import CancelInstruction, PlaceInstruction
from exchanges.models import PaperOrder, PaperTrade
from exchanges.paper.adapter import PaperAdapter
from exchanges.reports import Outcome, OutcomeKind
from execution_project.common import clock
from tests.exchanges.paper.floors import START, D, Venue

pytestmark = pytest.mark.django_db(transaction=True)
MS = timedelta(milliseconds=1)


class Scripted(clock.ManualClock):
    """A clock on which something happens once it has passed a moment."""

    script: list[tuple[int, Callable[[], None]]]

    def advance(self, by: timedelta) -> None:
        """Move on; what was due on the way happens at its own time."""
        until = self.now() + by
        for at_ms, happen in list(self.script):
            moment = START + at_ms * MS
            if moment <= until:
                self.script.remove((at_ms, happen))
                super().advance(max(moment - self.now(), timedelta(0)))
                happen()
        super().advance(until - self.now())


def venue_with(*script: tuple[int, Callable[[Venue], None]], **terms: int) -> Venue:
    """A venue on a scripted clock: 40 ms there, 20 ms back, 50 ms for a cancel."""
    venue = Venue(**{"submit_ms": 40, "ack_ms": 20, "cancel_ms": 50, **terms})
    scripted = Scripted(START)
    scripted.script = [(at_ms, lambda act=act: act(venue)) for at_ms, act in script]  # type: ignore[misc]
    venue.clock = scripted
    return venue


def place(venue: Venue, quantity: str = "1", price: str | None = None, stamp_late_ms: int = 0) -> Outcome:
    """Send a buy through the adapter."""
    instruction = PlaceInstruction(
        "BTCUSDT",
        "BUY",
        "MARKET" if price is None else "LIMIT",
        "c1",
        quantity=D(quantity),
        price=None if price is None else D(price),
        time_in_force=None if price is None else "GTC",
    )
    adapter = PaperAdapter(venue.account)
    with clock.using(venue.clock):
        prepared = adapter.prepare_place(instruction, clock.now_ms() - stamp_late_ms, 5000)
        return adapter.send(prepared, clock.monotonic() + 0.25)


def test_a_taker_meets_the_book_of_its_arrival_and_hears_of_it_later() -> None:
    venue = venue_with(
        (30, lambda v: v.show(asks=(("105", "2"),))), (45, lambda v: v.show(asks=(("90.5", "2"),), bids=()))
    )
    outcome = place(venue)
    assert outcome.kind is OutcomeKind.ACCEPTED
    trade = PaperTrade.objects.get()
    assert (trade.price, trade.traded_at) == (D(105), START + 40 * MS)
    assert venue.clock.now() == START + 60 * MS


def test_a_fill_lands_between_a_cancel_and_its_arrival() -> None:
    venue = venue_with((100, lambda v: v.trade("98", "1", "SELL")))
    place(venue, price="99")
    adapter = PaperAdapter(venue.account)
    with clock.using(venue.clock):
        prepared = adapter.prepare_cancel(CancelInstruction("BTCUSDT", "c1"), clock.now_ms(), 5000)
        outcome = adapter.send(prepared, clock.monotonic() + 0.25)
    assert (outcome.kind, outcome.reason) == (OutcomeKind.REFUSED, "not_open")
    assert PaperOrder.objects.get().status == "filled"
    assert venue.clock.now() == START + (60 + 50 + 20) * MS


def test_a_cancel_that_arrives_first_wins() -> None:
    venue = venue_with((115, lambda v: v.trade("98", "1", "SELL")))
    place(venue, price="99")
    adapter = PaperAdapter(venue.account)
    with clock.using(venue.clock):
        prepared = adapter.prepare_cancel(CancelInstruction("BTCUSDT", "c1"), clock.now_ms(), 5000)
        assert adapter.send(prepared, clock.monotonic() + 0.25).kind is OutcomeKind.ACCEPTED
    venue.tick()
    assert (PaperOrder.objects.get().status, PaperTrade.objects.count()) == ("canceled", 0)


@pytest.mark.parametrize(("late_ms", "kind"), [(4960, OutcomeKind.ACCEPTED), (4961, OutcomeKind.CLOCK)])
def test_past_the_receive_window_an_arrival_is_refused(late_ms: int, kind: OutcomeKind) -> None:
    outcome = place(venue_with(), stamp_late_ms=late_ms)
    assert outcome.kind is kind
    assert PaperOrder.objects.count() == (kind is OutcomeKind.ACCEPTED)


def test_what_is_late_or_altered_never_leaves() -> None:
    venue = venue_with()
    adapter = PaperAdapter(venue.account)
    instruction = PlaceInstruction("BTCUSDT", "BUY", "MARKET", "c1", quantity=D(1))
    with clock.using(venue.clock):
        prepared = adapter.prepare_place(instruction, clock.now_ms(), 5000)
        late = adapter.send(prepared, clock.monotonic() - 0.001)
        altered = adapter.send(replace(prepared, parameters=(("quantity", "2"),)), clock.monotonic() + 1)
    assert (late.kind, late.reason) == (OutcomeKind.NOT_SENT, "too_late")
    assert (altered.kind, altered.reason) == (OutcomeKind.NOT_SENT, "altered")
    assert not PaperOrder.objects.exists()
    for wrong in (replace(instruction, quantity=D(0)), replace(instruction, quantity=None)):
        with pytest.raises(ValueError, match="size"):
            adapter.prepare_place(wrong, 0, 5000)


def test_the_same_seed_takes_the_same_time() -> None:
    def took(seed: int) -> timedelta:
        venue = venue_with(jitter_ms=500, seed=seed)
        place(venue)
        return venue.clock.now() - START

    assert 60 * MS <= took(1) <= 1060 * MS
