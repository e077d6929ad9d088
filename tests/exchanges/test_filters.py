"""The exchange's filters at their boundaries: inclusive bounds, grids counted from zero, nothing rounded."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from exchanges.filters import check_order, check_price
from tests.factories import FILTERS

D = Decimal
STEP, TICK = D("0.00001"), D("0.01")


def broken(filters: Any = FILTERS, **order: Any) -> list[str]:
    """Names of the filters that a limit order of 1 at 100, changed by ``order``, breaks."""
    values = {
        "type_": "LIMIT",
        "quantity": D(1),
        "quote_quantity": None,
        "price": D(100),
        "base_precision": 8,
        "quote_precision": 8,
        "reference_price": None,
    }
    return [breach.name for breach in check_order(filters, **{**values, **order})]


def market(filters: Any = FILTERS, **order: Any) -> list[str]:
    return broken(filters, **{"type_": "MARKET", "price": None, **order})


@given(st.integers(1, 900_000_000))
def test_multiples_of_the_step_pass(steps: int) -> None:
    assert "LOT_SIZE" not in broken(quantity=steps * STEP, price=None)


@given(st.integers(1, 899_999_999), st.integers(1, 999))
def test_anything_between_two_steps_fails(steps: int, part: int) -> None:
    assert broken(quantity=(steps + D(part) / 1000) * STEP, price=None) == ["LOT_SIZE"]


@given(st.integers(1, 100_000_000))
def test_multiples_of_the_tick_pass(ticks: int) -> None:
    assert check_price(FILTERS, ticks * TICK) == []


@given(st.integers(1, 99_999_999), st.decimals("0.000001", "0.009999", places=6))
def test_anything_between_two_ticks_fails(ticks: int, part: Decimal) -> None:
    assert [breach.name for breach in check_price(FILTERS, ticks * TICK + part)] == ["PRICE_FILTER"]


@given(st.integers(1, 10**12), st.decimals("0.00000001", "1000", places=8))
def test_the_grid_is_counted_from_zero_whatever_the_step(count: int, step: Decimal) -> None:
    filters = {"LOT_SIZE": {"minQty": "0", "maxQty": "0", "stepSize": str(step)}}
    assert broken(filters, quantity=count * step, price=None) == []
    assume(step > D("0.00000001"))
    assert broken(filters, quantity=count * step + D("0.00000001"), price=None) == ["LOT_SIZE"]


@pytest.mark.parametrize(
    ("quantity", "names"),
    [
        ("0.00001", []),
        ("0.00000999", ["LOT_SIZE", "LOT_SIZE"]),  # too small and off the grid
        ("9000", []),
        ("9000.00001", ["LOT_SIZE"]),
        ("0", ["LOT_SIZE"]),
        ("0.12345678", ["LOT_SIZE"]),
        ("0.123456789", ["PRECISION", "LOT_SIZE"]),
    ],
)
def test_quantity_bounds_are_inclusive(quantity: str, names: list[str]) -> None:
    assert broken(quantity=D(quantity), price=None) == names


@pytest.mark.parametrize(
    ("price", "names"),
    [
        ("0.01", []),
        ("0.00", ["PRICE_FILTER"]),
        ("1000000", []),
        ("1000000.01", ["PRICE_FILTER"]),
        ("100.001", ["PRICE_FILTER"]),
        ("100.010000000", []),
        ("100.000000001", ["PRECISION", "PRICE_FILTER"]),
    ],
)
def test_price_bounds_are_inclusive(price: str, names: list[str]) -> None:
    big = D(9000) if D(price) <= 900 else D(1)
    assert [name for name in broken(price=D(price), quantity=big) if name != "NOTIONAL"] == names


def test_zero_switches_a_bound_or_a_grid_off() -> None:
    off = {
        "LOT_SIZE": {"minQty": "0", "maxQty": "0", "stepSize": "0"},
        "PRICE_FILTER": {"minPrice": "0", "maxPrice": "0", "tickSize": "0"},
    }
    assert broken(off, quantity=D("123456.1234567"), price=D("0.00000001")) == []
    assert broken({}, quantity=D("123456.1234567"), price=D("0.00000001")) == []


@pytest.mark.parametrize(
    ("quantity", "price", "names"),
    [
        ("0.05", "100", []),
        ("0.04999", "100", ["NOTIONAL"]),
        ("90", "100000", []),
        ("90.00001", "100000", ["NOTIONAL"]),
    ],
)
def test_the_notional_of_a_limit_order_is_price_times_quantity(quantity: str, price: str, names: list[str]) -> None:
    assert broken(quantity=D(quantity), price=D(price)) == names


def test_the_notional_of_a_market_order_is_bounded_as_the_flags_say() -> None:
    small, large = {"quantity": D("0.04999")}, {"quantity": D(100), "reference_price": D(1_000_000)}
    assert market(**small, reference_price=D(100)) == ["NOTIONAL"]
    assert market(quantity=D("0.05"), reference_price=D(100)) == []
    assert market(**large) == [], "applyMaxToMarket is off"
    free = {**FILTERS, "NOTIONAL": {**FILTERS["NOTIONAL"], "applyMinToMarket": False, "applyMaxToMarket": True}}
    assert market(free, **small, reference_price=D(100)) == []
    assert market(free, **large) == ["NOTIONAL"]
    assert market(**small) == [], "without a price the exchange decides"


def test_an_amount_in_quote_is_its_own_notional() -> None:
    sized = {"quantity": None, "reference_price": D(1)}
    assert market(quote_quantity=D(5), **sized) == []
    assert market(quote_quantity=D("4.99999999"), **sized) == ["NOTIONAL"]
    assert market(quote_quantity=D("5.000000001"), **sized) == ["PRECISION"]


def test_the_older_minimum_applies_to_market_orders_when_it_says_so() -> None:
    for applies, names in ((True, ["MIN_NOTIONAL"]), (False, [])):
        filters = {"MIN_NOTIONAL": {"minNotional": "10", "applyToMarket": applies}}
        assert broken(filters, quantity=D("0.09")) == ["MIN_NOTIONAL"]
        assert broken(filters, quantity=D("0.1")) == []
        assert market(filters, quantity=D("0.09"), reference_price=D(100)) == names


def test_market_orders_have_a_lot_size_of_their_own_beside_the_common_one() -> None:
    assert market(quantity=D(100)) == []
    assert market(quantity=D("100.00001")) == ["MARKET_LOT_SIZE"]
    assert broken(quantity=D("100.00001")) == []
    assert market(quantity=D("0.000011")) == ["LOT_SIZE"]


def test_every_breach_is_named_in_words() -> None:
    breaches = check_order(
        FILTERS,
        type_="LIMIT",
        quantity=D("0.000011"),
        quote_quantity=None,
        price=D("0.011"),
        base_precision=8,
        quote_precision=8,
        reference_price=None,
    )
    assert [breach.name for breach in breaches] == ["LOT_SIZE", "PRICE_FILTER", "NOTIONAL"]
    assert breaches[0].detail == "quantity 0.000011 is not a multiple of 0.00001"
    assert all("E-" not in breach.detail for breach in breaches)
