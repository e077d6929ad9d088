"""Filters boundary by boundary: equal passes, just under and just over do not (docs/binance.md §4)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from exchanges.matching import Side
from exchanges.simulator import filters
from exchanges.simulator.market import SYMBOLS
from exchanges.simulator.venue import OrderRequest, OrderType, Refusal, Refused, Venue

RULES = {rules.symbol: rules for rules in SYMBOLS}["BTCUSDT"]
D = Decimal


@pytest.mark.parametrize(
    ("price", "passes"),
    [
        ("0.01", True),
        ("0.00", False),
        ("0.009", False),
        ("1000000.00", True),
        ("1000000.01", False),
        ("60000.01", True),
        ("60000.015", False),
        ("60000.010", True),
    ],
)
def test_price_filter(price: str, passes: bool) -> None:
    assert (filters.price_filter(RULES, D(price)) is None) is passes


@pytest.mark.parametrize(
    ("quantity", "passes"),
    [
        ("0.00001", True),
        ("0", False),
        ("0.000009", False),
        ("9000.00000", True),
        ("9000.00001", False),
        ("0.12345", True),
        ("0.123455", False),
    ],
)
def test_lot_size(quantity: str, passes: bool) -> None:
    assert (filters.lot_size(RULES, D(quantity)) is None) is passes


@pytest.mark.parametrize(("quantity", "passes"), [("120", True), ("120.00001", False), ("0.00001", True)])
def test_market_lot_size(quantity: str, passes: bool) -> None:
    assert (filters.market_lot_size(RULES, D(quantity)) is None) is passes


@pytest.mark.parametrize(
    ("side", "price", "passes"),
    [
        (Side.BUY, "300000.00", True),
        (Side.BUY, "300000.01", False),
        (Side.BUY, "12000.00", True),
        (Side.BUY, "11999.99", False),
        (Side.SELL, "300000.00", True),
        (Side.SELL, "300000.01", False),
        (Side.SELL, "12000.00", True),
        (Side.SELL, "11999.99", False),
    ],
)
def test_percent_price_by_side(side: Side, price: str, passes: bool) -> None:
    assert (filters.percent_price(RULES, side, D(price), D(60000)) is None) is passes


@pytest.mark.parametrize(
    ("value", "market", "passes"),
    [
        ("5.00", False, True),
        ("4.99999999", False, False),
        ("5.00", True, True),
        ("4.99999999", True, False),
        ("9000000", False, True),
        ("9000000.01", False, False),
        ("9000000.01", True, True),
    ],
)
def test_notional(value: str, market: bool, passes: bool) -> None:
    assert (filters.notional(RULES, D(value), market=market) is None) is passes


@pytest.mark.parametrize(
    ("kind", "stop", "limit", "refusal"),
    [
        (OrderType.LIMIT, None, RULES.max_orders, Refusal.MAX_NUM_ORDERS),
        (OrderType.STOP_LOSS_LIMIT, D(70000), RULES.max_algo_orders, Refusal.MAX_NUM_ALGO_ORDERS),
    ],
)
def test_open_orders_up_to_the_limit(kind: OrderType, stop: Decimal | None, limit: int, refusal: Refusal) -> None:
    venue = Venue(1)
    venue.add_account("one", "k", "s", {"USDT": D(1_000_000)}, 0)
    wanted = OrderRequest("one", "BTCUSDT", Side.BUY, kind, quantity=D("0.001"), price=D(50000), stop_price=stop)
    for now in range(limit):
        venue.place(wanted, now)
    with pytest.raises(Refused) as refused:
        venue.place(wanted, limit)
    assert refused.value.reason is refusal
    venue.cancel("one", "BTCUSDT", limit, order_id=1)
    assert venue.place(wanted, limit).order.order_id == limit + 1


def failed(**order: str | None) -> str | None:
    names = ("price", "quantity", "quote_quantity", "stop_price")
    values = {name: D(text) if (text := order.get(name)) is not None else None for name in names}
    return filters.check(RULES, Side.BUY, reference=D(60000), **values)


def test_check_names_the_first_filter_that_fails() -> None:
    assert failed(price="60000.00", quantity="1") is None
    assert failed(price="60000.001", quantity="0.000001") == "PRICE_FILTER"
    assert failed(price="300000.01", quantity="0.000001") == "PERCENT_PRICE_BY_SIDE"
    assert failed(price="60000.00", quantity="0.000001") == "LOT_SIZE"
    assert failed(price="60000.00", quantity="0.00008") == "NOTIONAL"
    assert failed(price="60000.00", quantity="1", stop_price="1.001") == "PRICE_FILTER"
    assert failed(quantity="120.00001") == "MARKET_LOT_SIZE"
    assert failed(quantity="0.00008") == "NOTIONAL"
    assert failed(quote_quantity="4.99") == "NOTIONAL"
    assert failed(quote_quantity="5") is None
