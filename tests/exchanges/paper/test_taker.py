"""Takers: the book is walked level by level, what was taken stays taken, and refusals are the exchange's own."""

from __future__ import annotations

import pytest

from exchanges.models import PaperOrder
from exchanges.paper.rules import NoMarketData, Refused
from tests.exchanges.paper.floors import D, Venue

pytestmark = pytest.mark.django_db


@pytest.fixture
def venue() -> Venue:
    return Venue()


def test_a_market_buy_walks_the_levels_and_pays_its_fee_in_what_it_receives(venue: Venue) -> None:
    order = venue.place("BUY", "MARKET", "2.5")
    # 1 at 101 and 1.5 at 102; the fee is a thousandth of each quantity.
    assert venue.fills(order) == [("101", "1", "0.001 BTC fee", False), ("102", "1.5", "0.0015 BTC fee", False)]
    assert (order.status, order.executed, order.executed_quote) == ("filled", D("2.5"), D("254"))
    assert venue.balance("USDT") == (D(1000) - 254, D(0))
    assert venue.balance("BTC") == (D(10) + D("2.5") - D("0.0025"), D(0))


def test_what_was_taken_stays_taken_until_the_level_changes(venue: Venue) -> None:
    venue.place("BUY", "MARKET", "2.5")
    venue.pass_ms(500)
    venue.show()  # the same book, confirmed again
    again = venue.place("BUY", "MARKET", "1")
    assert [(price, size) for price, size, *_ in venue.fills(again)] == [("102", "0.5"), ("103", "0.5")]
    venue.show(asks=(("101", "1.2"), ("102", "2")))  # the first level is another one now, the second is the same
    third = venue.place("BUY", "MARKET", "1.3")
    assert [(price, size) for price, size, *_ in venue.fills(third)] == [("101", "1.2")]
    assert (third.status, third.reason) == ("expired", "NO_LIQUIDITY")


def test_the_book_is_the_one_of_the_arrival(venue: Venue) -> None:
    venue.show(asks=(("110", "5"),))
    order = venue.place("BUY", "LIMIT", "1", "112")
    assert venue.fills(order) == [("110", "1", "0.001 BTC fee", False)]
    # 112 was set aside and 110 paid; the difference is free again.
    assert venue.balance("USDT") == (D(890), D(0))


def test_a_sale_pays_its_fee_in_the_quote_asset(venue: Venue) -> None:
    order = venue.place("SELL", "MARKET", "3")
    assert venue.fills(order) == [("99", "2", "0.198 USDT fee", False), ("98", "1", "0.098 USDT fee", False)]
    assert venue.balance("USDT") == (D(1000) + 198 + 98 - D("0.296"), D(0))
    assert venue.balance("BTC") == (D(7), D(0))


@pytest.mark.parametrize(
    ("tif", "status", "executed", "open_"),
    [("IOC", "expired", "3", 0), ("FOK", "expired", "0", 0), ("GTC", "partially_filled", "3", 1)],
)
def test_times_in_force(venue: Venue, tif: str, status: str, executed: str, open_: int) -> None:
    order = venue.place("BUY", "LIMIT", "4", "102", tif=tif)
    assert (order.status, order.executed) == (status, D(executed))
    # 305 was paid for three; a rest of one at 102 stays locked while it works.
    assert venue.balance("USDT")[1] == (D(102) if open_ else D(0))


def test_a_market_buy_by_quote_takes_the_nearest_quantity_on_the_grid(venue: Venue) -> None:
    order = venue.place("BUY", "MARKET", quote_quantity="152")
    # 101 for the first, 51 left: 0.5 at 102.
    assert (order.executed, order.executed_quote) == (D("1.5"), D("152"))


@pytest.mark.parametrize(
    ("side", "type_", "quantity", "price", "reason"),
    [
        ("BUY", "LIMIT_MAKER", "1", "101", "would_match"),
        ("SELL", "LIMIT_MAKER", "1", "99", "would_match"),
        ("BUY", "LIMIT", "1", "100.001", "filter"),
        ("BUY", "LIMIT", "0.0005", "100", "filter"),
        ("BUY", "LIMIT", "0.01", "100", "filter"),
        ("BUY", "MARKET", "9001", None, "filter"),
        ("BUY", "LIMIT", "20", "100", "insufficient_funds"),
        ("SELL", "MARKET", "10.001", None, "insufficient_funds"),
        ("BUY", "ICEBERG", "1", "100", "unsupported"),
    ],
)
def test_refusals_change_nothing(
    venue: Venue, side: str, type_: str, quantity: str, price: str | None, reason: str
) -> None:
    with pytest.raises(Refused) as refused:
        venue.place(side, type_, quantity, price)
    assert refused.value.reason == reason
    assert not PaperOrder.objects.exists()
    assert (venue.balance("USDT"), venue.balance("BTC")) == ((D(1000), D(0)), (D(10), D(0)))


def test_post_only_beside_the_market_rests(venue: Venue) -> None:
    assert venue.place("BUY", "LIMIT_MAKER", "1", "100.99").status == "open"


def test_price_range_and_number_of_orders_are_the_exchanges(venue: Venue) -> None:
    venue.pair.filters |= {
        "PERCENT_PRICE_BY_SIDE": {
            "bidMultiplierUp": "1.2",
            "bidMultiplierDown": "0.8",
            "askMultiplierUp": "5",
            "askMultiplierDown": "0.2",
        },
        "MAX_NUM_ORDERS": {"maxNumOrders": 1},
    }
    venue.pair.save()
    with pytest.raises(Refused) as refused:
        venue.place("BUY", "LIMIT", "0.1", "79")
    assert (refused.value.reason, refused.value.detail) == ("filter", "PERCENT_PRICE_BY_SIDE")
    venue.place("BUY", "LIMIT", "0.1", "90")
    with pytest.raises(Refused) as refused:
        venue.place("BUY", "LIMIT", "0.1", "91")
    assert (refused.value.reason, refused.value.detail) == ("engine_filter", "MAX_NUM_ORDERS")


def test_a_pair_that_is_halted_or_unknown_is_refused(venue: Venue) -> None:
    venue.pair.is_trading = False
    venue.pair.save()
    with pytest.raises(Refused, match="market_closed"):
        venue.place("BUY", "MARKET", "1")
    venue.pair.symbol = "ELSE"
    with pytest.raises(Refused, match="symbol"):
        venue.place("BUY", "MARKET", "1")


def test_an_old_book_is_no_market(venue: Venue) -> None:
    venue.pass_ms(2000)
    assert venue.place("BUY", "MARKET", "0.1").status == "filled"
    venue.pass_ms(1)
    with pytest.raises(NoMarketData):
        venue.place("BUY", "MARKET", "0.1")
    assert PaperOrder.objects.count() == 1


def test_own_resting_orders_are_not_traded_against_on_binance(venue: Venue) -> None:
    mine = venue.place("SELL", "LIMIT", "1", "100")
    order = venue.place("BUY", "LIMIT", "1", "100")
    assert (order.status, order.reason, order.executed) == ("expired", "SELF_TRADE", D(0))
    assert venue.now(mine).status == "open"


def test_books_of_two_accounts_do_not_know_of_each_other(venue: Venue) -> None:
    other = Venue.__new__(Venue)
    other.__dict__.update(venue.__dict__)
    other.__dict__["account"] = Venue().account
    venue.place("BUY", "MARKET", "1")
    again = other.place("BUY", "MARKET", "1")
    assert [price for price, *_ in venue.fills(again)] == ["101"]


def test_crossed_depth_is_not_used(venue: Venue) -> None:
    venue.show(bids=(("101", "1"),), asks=(("101", "1"),))
    order = venue.place("BUY", "LIMIT", "0.1", "100")
    assert order.status == "open"
