"""Resting orders: they stand behind what was shown, and fill by public trades, never by a touch."""

from __future__ import annotations

from datetime import timedelta

import pytest

from exchanges.models import PaperOrder, PublicPrint
from exchanges.paper import pit
from exchanges.paper.feed import prune_prints
from exchanges.paper.rules import Refused
from execution_project.common import clock
from tests.exchanges.paper.floors import D, Venue

pytestmark = pytest.mark.django_db


@pytest.fixture
def venue() -> Venue:
    return Venue()


def resting(venue: Venue, quantity: str = "1", price: str = "99", side: str = "BUY") -> PaperOrder:
    order = venue.place(side, "LIMIT", quantity, price)
    assert order.status == "open"
    venue.pass_ms(10)
    return order


def test_only_trades_at_the_price_shorten_the_queue(venue: Venue) -> None:
    order = resting(venue)
    assert order.ahead == 2
    venue.trade("99", "1.5", "SELL")  # half a coin is still in front
    venue.tick()
    assert (venue.now(order).ahead, venue.now(order).executed) == (D("0.5"), D(0))
    venue.trade("99", "0.7", "SELL")  # 0.5 for those in front, 0.2 for us
    venue.tick()
    assert venue.fills(order) == [("99", "0.2", "0.0002 BTC fee", True)]
    assert (venue.now(order).status, venue.now(order).ahead) == ("partially_filled", D(0))
    venue.trade("99", "0.3", "SELL")
    venue.tick()
    assert venue.now(order).executed == D("0.5")
    assert venue.balance("USDT") == (D(901), D("49.5"))


@pytest.mark.parametrize(
    ("price", "aggressor"), [("99", "BUY"), ("99.01", "SELL"), ("101", "BUY")], ids=["buyers", "above", "far"]
)
def test_trades_elsewhere_do_nothing(venue: Venue, price: str, aggressor: str) -> None:
    order = resting(venue)
    venue.trade(price, "50", aggressor)
    venue.tick()
    assert (venue.now(order).ahead, venue.now(order).executed) == (D(2), D(0))


def test_a_trade_beyond_the_price_fills_the_rest_at_our_price(venue: Venue) -> None:
    order = resting(venue)
    venue.trade("98.99", "0.001", "SELL")
    venue.tick()
    assert venue.fills(order) == [("99", "1", "0.001 BTC fee", True)]


def test_a_touch_and_a_shrinking_level_do_not_fill_and_do_not_advance(venue: Venue) -> None:
    order = resting(venue)
    venue.show(bids=(("99", "0.1"),), asks=(("99.01", "1"),))
    venue.tick()
    assert (venue.now(order).ahead, venue.now(order).executed) == (D(2), D(0))


def test_depth_that_comes_onto_the_price_fills_up_to_what_is_shown(venue: Venue) -> None:
    order = resting(venue)
    venue.show(bids=(("97", "1"),), asks=(("98.5", "0.3"), ("99", "0.2"), ("99.5", "9")))
    venue.tick()
    assert venue.fills(order) == [("99", "0.3", "0.0003 BTC fee", True), ("99", "0.2", "0.0002 BTC fee", True)]
    venue.tick()
    assert venue.now(order).executed == D("0.5"), "what is shown was taken"


def test_orders_at_one_price_share_the_queue_and_fill_in_turn(venue: Venue) -> None:
    first, second = resting(venue), resting(venue)
    venue.trade("99", "3.5", "SELL")  # two for those in front, one for the first, half for the second
    venue.tick()
    assert (venue.now(first).executed, venue.now(second).executed) == (D(1), D("0.5"))


def test_a_better_price_has_nobody_in_front(venue: Venue) -> None:
    order = resting(venue, price="100")
    assert order.ahead == 0
    venue.trade("100", "0.4", "SELL")
    venue.tick()
    assert venue.now(order).executed == D("0.4")


def test_what_a_taker_leaves_rests_and_sells_fill_alike(venue: Venue) -> None:
    order = venue.place("SELL", "LIMIT", "3", "99")
    assert (order.executed, order.status) == (D(2), "partially_filled")
    venue.pass_ms(1)
    venue.trade("99", "1", "BUY")
    venue.tick()
    assert venue.fills(order)[-1] == ("99", "1", "0.099 USDT fee", True)


def test_a_trade_from_before_the_order_does_not_fill_it(venue: Venue) -> None:
    venue.trade("98", "9", "SELL")
    order = resting(venue)
    PublicPrint.objects.create(
        instrument=venue.pair,
        price=D(98),
        quantity=D(9),
        aggressor="SELL",
        traded_at=order.placed_at - timedelta(milliseconds=1),
    )
    venue.tick()
    assert (venue.now(order).executed, venue.now(order).ahead) == (D(0), D(2))


def test_trades_that_met_no_order_are_passed_over_whatever_their_number(
    venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an order would wait for the end of what was traded before it, and a stop fire at a price of long ago."""
    monkeypatch.setattr(pit, "PRINTS_AT_ONCE", 3)
    venue.tick()
    for price in ("150", "150", "150", "150", "100"):
        venue.trade(price, "1", "SELL")
    venue.pass_ms(1)
    stop = venue.place("BUY", "STOP_LOSS_LIMIT", "1", "103", stop_price="102")
    order = resting(venue)
    venue.trade("98", "1", "SELL")
    venue.tick()
    assert venue.now(stop).waits
    assert venue.now(order).status == "filled"


def test_public_trades_are_kept_for_an_hour(venue: Venue) -> None:
    order = resting(venue)
    venue.trade("99", "1.5", "SELL")
    venue.tick()
    venue.clock.advance(timedelta(hours=1))
    venue.trade("99", "0.2", "SELL")
    with clock.using(venue.clock):
        assert prune_prints() == 0
        venue.pass_ms(1)
        assert prune_prints() == 1
    venue.tick()
    assert venue.now(order).ahead == D("0.3"), "the place is kept"


def test_a_restart_changes_nothing(venue: Venue) -> None:
    """Every floor is built from the tables alone: queue, book, balances and ids go on where they were."""
    order = resting(venue)
    venue.trade("99", "1.5", "SELL")
    venue.tick()
    for _ in range(3):
        venue.tick()
    venue.trade("99", "0.6", "SELL")
    venue.tick()
    assert venue.fills(order) == [("99", "0.1", "0.0001 BTC fee", True)]
    assert venue.place("BUY", "LIMIT", "0.1", "98").number == order.number + 1


def test_cancel_releases_what_was_set_aside(venue: Venue) -> None:
    order = resting(venue, quantity="2")
    assert venue.balance("USDT") == (D(802), D(198))
    assert venue.cancel(order).status == "canceled"
    assert venue.balance("USDT") == (D(1000), D(0))
    with pytest.raises(Refused, match="not_open"):
        venue.cancel(order)


def test_a_fill_may_land_before_the_cancel_arrives(venue: Venue) -> None:
    order = resting(venue)
    venue.trade("98", "1", "SELL")
    with pytest.raises(Refused, match="not_open"):
        venue.cancel(order)
    venue.tick()
    assert venue.now(order).status == "filled"


def test_amending_keeps_the_place_and_ends_at_what_was_executed(venue: Venue) -> None:
    order = resting(venue)
    venue.trade("99", "2.4", "SELL")
    with venue.open() as floor:
        floor.amend("BTCUSDT", order.client_order_id, None, D("0.9"))
    assert (venue.now(order).quantity, venue.balance("USDT")[1]) == (D("0.9"), D("49.5"))
    with venue.open() as floor, pytest.raises(Refused, match="increase"):
        floor.amend("BTCUSDT", order.client_order_id, None, D(1))
    with venue.open() as floor:
        floor.amend("BTCUSDT", order.client_order_id, None, D("0.1"))
    assert (venue.now(order).status, venue.now(order).quantity) == ("expired", D("0.4"))
    assert venue.balance("USDT")[1] == 0


def test_a_stop_waits_locked_and_works_when_its_price_comes(venue: Venue) -> None:
    with pytest.raises(Refused, match="would_trigger"):
        venue.place("BUY", "STOP_LOSS_LIMIT", "1", "103", stop_price="99")
    order = venue.place("BUY", "STOP_LOSS_LIMIT", "1", "103", stop_price="102")
    assert (order.status, order.waits, venue.balance("USDT")[1]) == ("open", True, D(103))
    venue.pass_ms(1)
    venue.trade("101", "5", "BUY")
    venue.tick()
    assert venue.now(order).waits
    venue.trade("102", "1", "BUY")
    venue.tick()
    assert venue.fills(order) == [("101", "1", "0.001 BTC fee", False)]
    assert venue.balance("USDT") == (D(899), D(0))


def test_own_fills_bring_the_price_to_a_stop(venue: Venue) -> None:
    stop = venue.place("BUY", "STOP_LOSS_LIMIT", "1", "103", stop_price="102")
    venue.place("BUY", "LIMIT", "1.5", "102", tif="IOC")
    venue.tick()
    assert venue.fills(stop) == [("102", "1", "0.001 BTC fee", False)]


def test_btcturk_cancels_are_promises(venue: Venue) -> None:
    turk = Venue("btcturk", "TRY", cancel_ms=300)
    order = resting(turk)
    turk.cancel(order)
    assert turk.now(order).status == "open"
    turk.pass_ms(100)
    turk.trade("99", "2.5", "SELL")  # half a coin for us, before the cancel is carried out
    turk.pass_ms(200)
    turk.trade("99", "9", "SELL")  # too late
    turk.tick()
    assert (turk.now(order).status, turk.now(order).executed) == ("canceled", D("0.5"))
    assert turk.balance("TRY")[1] == 0
