"""The matching core by example: priority, times in force, self-trade prevention, market moves, prints, sizing."""

from __future__ import annotations

from decimal import Decimal

import pytest

from exchanges.matching import (
    Book,
    EndReason,
    Fill,
    Incoming,
    Level,
    Outcome,
    SelfTrade,
    Side,
    TimeInForce,
    cost_of,
    quantity_for_quote,
)

D = Decimal


def levels(*pairs: tuple[str, str]) -> list[Level]:
    return [(D(price), D(size)) for price, size in pairs]


@pytest.fixture
def book() -> Book:
    book = Book()
    book.set_depth(levels(("99", "1"), ("98", "2")), levels(("101", "1"), ("102", "2")))
    return book


def order(number: int, side: Side, quantity: str, limit: str | None = None, **options: object) -> Incoming:
    return Incoming(
        number, str(options.pop("owner", "a")), side, D(quantity), None if limit is None else D(limit), **options
    )  # type: ignore[arg-type]


def traded(fills: list[Fill]) -> list[tuple[str, str, int | None, int | None]]:
    return [(str(fill.price), str(fill.quantity), fill.taker_id, fill.maker_id) for fill in fills]


def test_taker_walks_levels_and_consumed_depth_is_remembered_until_refreshed(book: Book) -> None:
    first = book.submit(order(1, Side.BUY, "1.5"))
    assert traded(first.fills) == [("101", "1", 1, None), ("102", "0.5", 1, None)]
    second = book.submit(order(2, Side.BUY, "5"))
    assert traded(second.fills) == [("102", "1.5", 2, None)]
    assert (second.leaves, second.end) == (D("3.5"), EndReason.NO_LIQUIDITY)
    assert book.best_ask() is None
    book.set_depth(levels(("99", "1")), levels(("101", "1")))
    assert book.best_ask() == D(101)


def test_gtc_rests_ioc_expires_fok_takes_all_or_nothing(book: Book) -> None:
    resting = book.submit(order(1, Side.BUY, "2", "101"))
    assert (resting.leaves, resting.rests, book.best_bid()) == (D(1), True, D(101))
    ioc = book.submit(order(2, Side.SELL, "5", "99", time_in_force=TimeInForce.IOC))
    assert traded(ioc.fills) == [("101", "1", 2, 1), ("99", "1", 2, None)]
    assert (ioc.leaves, ioc.end, ioc.rests) == (D(3), EndReason.IOC_REMAINDER, False)
    fok = book.submit(order(3, Side.BUY, "2.1", "102", time_in_force=TimeInForce.FOK))
    assert (fok.fills, fok.end) == ([], EndReason.FOK_UNFILLABLE)
    fok = book.submit(order(4, Side.BUY, "2", "102", time_in_force=TimeInForce.FOK))
    assert (fok.leaves, fok.end) == (D(0), None)


def test_price_then_time_priority_among_resting_orders_and_depth(book: Book) -> None:
    for number, price in ((1, "101"), (2, "100"), (3, "100"), (4, "101")):
        book.submit(order(number, Side.SELL, "1", price, owner=str(number)))
    book.set_depth(levels(("99", "1")), levels(("101", "1")))
    book.submit(order(5, Side.SELL, "1", "101", owner="5"))
    outcome = book.submit(order(9, Side.BUY, "6", "101"))
    assert [fill.maker_id for fill in outcome.fills] == [2, 3, 1, 4, None, 5]


def test_post_only_that_would_take_ends_untouched(book: Book) -> None:
    outcome = book.submit(order(1, Side.BUY, "1", "101", post_only=True))
    assert (outcome.end, outcome.fills) == (EndReason.WOULD_TAKE, [])
    assert book.submit(order(2, Side.BUY, "1", "100.99", post_only=True)).rests


@pytest.mark.parametrize(
    ("mode", "makers", "end", "leaves"),
    [
        (SelfTrade.NONE, [], None, "0"),
        (SelfTrade.EXPIRE_MAKER, [1], None, "0"),
        (SelfTrade.EXPIRE_TAKER, [], EndReason.SELF_TRADE, "1"),
        (SelfTrade.EXPIRE_BOTH, [1], EndReason.SELF_TRADE, "1"),
    ],
)
def test_self_trade_prevention(
    book: Book, mode: SelfTrade, makers: list[int], end: EndReason | None, leaves: str
) -> None:
    book.submit(order(1, Side.SELL, "1", "100"))
    outcome: Outcome = book.submit(order(2, Side.BUY, "1", "101", self_trade=mode))
    assert (outcome.expired_makers, outcome.end, outcome.leaves) == (makers, end, D(leaves))
    assert (book.resting(1) is None) is (mode is not SelfTrade.EXPIRE_TAKER)


def test_market_moving_through_an_order_fills_it_whole_and_onto_it_up_to_the_size_shown(book: Book) -> None:
    book.submit(order(1, Side.BUY, "3", "100"))
    book.submit(order(2, Side.BUY, "3", "99.5"))
    fills = book.set_depth(levels(("98", "1")), levels(("99.5", "2"), ("100", "1")))
    assert traded(fills) == [("100", "3", None, 1), ("99.5", "2", None, 2)]
    assert (book.best_bid(), book.best_ask()) == (D("99.5"), D("100"))
    remaining = book.resting(2)
    assert remaining is not None
    assert remaining.remaining == D(1)


def test_print_fills_at_or_through_its_price_up_to_its_quantity(book: Book) -> None:
    book.submit(order(1, Side.BUY, "1", "100"))
    book.submit(order(2, Side.BUY, "1", "99.5"))
    book.submit(order(3, Side.BUY, "1", "99"))
    fills, unused = book.trade_print(D("99.5"), D("1.4"), Side.SELL)
    assert traded(fills) == [("100", "1", None, 1), ("99.5", "0.4", None, 2)]
    assert unused == 0
    fills, unused = book.trade_print(D("99.5"), D("5"), Side.SELL)
    assert (traded(fills), unused) == ([("99.5", "0.6", None, 2)], D("4.4"))
    assert book.trade_print(D("99.5"), D("5"), Side.BUY) == ([], D(5))


def test_queue_model_waits_behind_what_was_displayed() -> None:
    book = Book(queue_model=True)
    book.set_depth(levels(("99", "2")), levels(("101", "1")))
    book.submit(order(1, Side.BUY, "1", "99"))
    assert book.trade_print(D(99), D("1.5"), Side.SELL) == ([], D("1.5"))
    fills, _ = book.trade_print(D(99), D(1), Side.SELL)
    assert traded(fills) == [("99", "0.5", None, 1)]
    fills, _ = book.trade_print(D(98), D(1), Side.SELL)
    assert traded(fills) == [("99", "0.5", None, 1)]


def test_cancel_reduce_and_views(book: Book) -> None:
    book.submit(order(1, Side.BUY, "3", "99"))
    assert book.bids()[0] == (D(99), D(4))
    assert book.reduce(1, D(2))
    assert not book.reduce(1, D(2))
    assert not book.reduce(1, D(0))
    assert book.bids()[0] == (D(99), D(3))
    assert book.depth(Side.BUY)[0] == (D(99), D(1))
    assert book.cancel(1)
    assert not book.cancel(1)
    assert book.fill_order(1, D(1)) == []
    assert book.bids()[0] == (D(99), D(1))


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        ([("100", "1")], [("100", "1")]),
        ([("99", "1"), ("100", "1")], []),
        ([], [("99", "1"), ("99", "1")]),
        ([("-1", "1")], []),
    ],
)
def test_impossible_depth_is_refused(book: Book, bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> None:
    with pytest.raises(ValueError, match="must be"):
        book.set_depth(levels(*bids), levels(*asks))


@pytest.mark.parametrize(
    ("amount", "quantity"),
    [
        ("100", "1.0"),
        ("104", "1.0"),
        ("105", "1.0"),
        ("106", "1.1"),
        ("110", "1.1"),
        ("205", "2.0"),
        ("4.9", "0.0"),
        ("5.1", "0.1"),
        ("1000", "3.0"),
    ],
)
def test_quote_amount_picks_the_nearest_grid_quantity(amount: str, quantity: str) -> None:
    depth = levels(("100", "1"), ("100", "1"), ("200", "1"))
    sizing = quantity_for_quote(depth, D(amount), D("0.1"))
    assert sizing.quantity == D(quantity)
    assert sizing.cost == cost_of(depth, D(quantity)).cost
    assert sizing.complete is (amount != "1000")
