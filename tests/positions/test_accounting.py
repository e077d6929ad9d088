"""Average cost against an oracle in exact fractions, and worked examples by hand."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.reports import Fee
from positions.accounting import (
    Leg,
    PositionState,
    apply_fill,
    legs_of_fill,
    legs_of_posting,
    movements,
)

D = Decimal
ULP = Fraction(1, 10**18)
LARGE = D("99999999.99999999")


@dataclass
class Oracle:
    """Average cost from its rules, in fractions: buys add at their price, the average never moves by a close."""

    quantity: Fraction = Fraction(0)
    average: Fraction = Fraction(0)
    realised: Fraction = Fraction(0)

    def trade(self, signed: Fraction, price: Fraction) -> None:
        """One trade; positive buys."""
        if self.quantity * signed >= 0:
            total = self.quantity + signed
            self.average = (self.quantity * self.average + signed * price) / total
            self.quantity = total
            return
        closed = min(abs(signed), abs(self.quantity)) * (1 if self.quantity > 0 else -1)
        self.realised += closed * (price - self.average)
        rest = signed + closed
        self.quantity -= closed
        if rest:
            self.quantity, self.average = rest, price


Trade = tuple[str, Decimal, Decimal]  # side, quantity, quote quantity
TRADES = st.lists(
    st.tuples(
        st.sampled_from(["BUY", "SELL"]),
        st.decimals(D("0.00000001"), LARGE, places=8),
        st.decimals(D("0.00000001"), LARGE, places=8),
    ),
    max_size=12,
)


def fold(trades: list[Trade], start: PositionState | None = None) -> PositionState:
    state = start or PositionState()
    for side, quantity, quote in trades:
        state = apply_fill(state, side=side, quantity=quantity, quote_quantity=quote)
    return state


@given(TRADES)
def test_it_agrees_with_average_cost_in_exact_fractions(trades: list[Trade]) -> None:
    oracle, state = Oracle(), PositionState()
    largest = Fraction(1)
    for side, quantity, quote in trades:
        size = Fraction(quantity)
        before = abs(Fraction(state.net_quantity))
        oracle.trade(size if side == "BUY" else -size, Fraction(quote) / size)
        state = apply_fill(state, side=side, quantity=quantity, quote_quantity=quote)
        if before and state.net_quantity:
            largest = max(largest, abs(Fraction(state.net_quantity)) / before)
        allowed = ULP * 4 * len(trades) * largest
        assert Fraction(state.net_quantity) == oracle.quantity
        assert abs(Fraction(state.realised_pnl) - oracle.realised) <= allowed
        assert abs(Fraction(state.cost) - oracle.quantity * oracle.average) <= allowed


@given(TRADES)
def test_what_was_paid_and_brought_in_is_all_in_cost_and_profit_to_the_last_digit(trades: list[Trade]) -> None:
    state = fold(trades)
    paid = sum((quote if side == "BUY" else -quote for side, _, quote in trades), D(0))
    assert state.cost - state.realised_pnl == paid
    assert state.bought_quantity - state.sold_quantity == state.net_quantity
    for value in (state.cost, state.realised_pnl):
        assert value == value.quantize(D("1E-18"))


@given(TRADES)
def test_closing_to_zero_removes_the_whole_cost(trades: list[Trade]) -> None:
    state = fold(trades)
    if state.net_quantity == 0:
        return
    side = "SELL" if state.net_quantity > 0 else "BUY"
    flat = apply_fill(state, side=side, quantity=abs(state.net_quantity), quote_quantity=D("12.5"))
    assert (flat.net_quantity, flat.cost, flat.average_price) == (0, 0, None)
    received = D("12.5") if side == "SELL" else D("-12.5")
    assert flat.realised_pnl == state.realised_pnl + received - state.cost


@given(TRADES, st.randoms(use_true_random=False))
def test_the_order_of_trades_changes_no_quantity_and_no_total(trades: list[Trade], random: Any) -> None:
    shuffled = trades[:]
    random.shuffle(shuffled)
    one, other = fold(trades), fold(shuffled)
    assert (one.net_quantity, one.bought_quantity, one.sold_quantity) == (
        other.net_quantity,
        other.bought_quantity,
        other.sold_quantity,
    )
    assert one.cost - one.realised_pnl == other.cost - other.realised_pnl


@given(TRADES)
def test_cost_has_the_sign_of_the_position_and_buying_and_selling_mirror_each_other(trades: list[Trade]) -> None:
    state = fold(trades)
    mirror = fold([("SELL" if side == "BUY" else "BUY", quantity, quote) for side, quantity, quote in trades])
    assert (mirror.net_quantity, mirror.cost, mirror.realised_pnl) == (
        -state.net_quantity,
        -state.cost,
        -state.realised_pnl,
    )
    if state.cost != 0:
        assert (state.cost > 0) == (state.net_quantity > 0)


def state(trades: list[tuple[str, str, str]]) -> tuple[str, ...]:
    """(net, cost, average, realised) after trades of (side, quantity, price)."""
    folded = fold([(side, D(quantity), D(quantity) * D(price)) for side, quantity, price in trades])
    values = (folded.net_quantity, folded.cost, folded.average_price, folded.realised_pnl)
    return tuple("-" if value is None else format(value.normalize(), "f") for value in values)


@pytest.mark.parametrize(
    ("trades", "after"),
    [
        ([], ("0", "0", "-", "0")),
        ([("BUY", "2", "100")], ("2", "200", "100", "0")),
        ([("BUY", "2", "100"), ("BUY", "1", "130")], ("3", "330", "110", "0")),
        ([("BUY", "2", "100"), ("SELL", "1", "150")], ("1", "100", "100", "50")),
        ([("BUY", "2", "100"), ("SELL", "2", "90")], ("0", "0", "-", "-20")),
        # a flip: 2 close with 20 of profit, 3 open short at 110
        ([("BUY", "2", "100"), ("SELL", "5", "110")], ("-3", "-330", "110", "20")),
        ([("BUY", "2", "100"), ("SELL", "5", "110"), ("BUY", "3", "100")], ("0", "0", "-", "50")),
        # closed and opened again: the new average knows nothing of the old one
        ([("BUY", "1", "100"), ("SELL", "1", "120"), ("BUY", "1", "500")], ("1", "500", "500", "20")),
        ([("SELL", "1", "100"), ("SELL", "1", "120")], ("-2", "-220", "110", "0")),
        ([("SELL", "2", "110"), ("BUY", "1", "100")], ("-1", "-110", "110", "10")),
        # thirds: the last close takes the rest
        (
            [
                ("BUY", "3", "1"),
                ("BUY", "0.000000000000000001", "1"),
                ("SELL", "1", "1"),
                ("SELL", "2.000000000000000001", "1"),
            ],
            ("0", "0", "-", "0"),
        ),
    ],
)
def test_worked_examples(trades: list[tuple[str, str, str]], after: tuple[str, ...]) -> None:
    assert state(trades) == after


def test_fees_in_quote_are_kept_apart() -> None:
    one = apply_fill(PositionState(), side="BUY", quantity=D(1), quote_quantity=D(100), fee_in_quote=D("0.1"))
    both = apply_fill(one, side="SELL", quantity=D(1), quote_quantity=D(110), fee_in_quote=D("0.11"))
    assert (both.realised_pnl, both.fees_in_quote) == (10, D("0.21"))


# ---------------------------------------------------------------------------------------------------------------- legs

ASSETS = st.sampled_from(["BTC", "USDT", "BNB"])
FEES = st.lists(
    st.builds(Fee, ASSETS, st.decimals(D("-1000"), D("1000"), places=8), st.sampled_from(["fee", "tax"])), max_size=4
)
SIZES = st.decimals(D("0.00000001"), LARGE, places=8)


@given(st.sampled_from(["BUY", "SELL"]), SIZES, SIZES, FEES)
def test_legs_balance_per_asset_and_move_what_the_fill_says(
    side: str, quantity: Decimal, quote: Decimal, fees: list[Fee]
) -> None:
    legs = legs_of_fill(side, "BTC", "USDT", quantity, quote, fees)
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for leg in legs:
        totals[leg.asset] += leg.amount
        assert leg.amount != 0
    assert set(totals.values()) <= {D(0)}
    sign = 1 if side == "BUY" else -1
    wanted: dict[str, Decimal] = defaultdict(Decimal, {"BTC": sign * quantity, "USDT": -sign * quote})
    for fee in fees:
        wanted[fee.asset] -= fee.amount
    moved = movements(legs)
    assert {asset: moved.get(asset, D(0)) for asset in wanted} == dict(wanted)


def test_a_fee_in_base_is_taken_from_what_was_received() -> None:
    legs = legs_of_fill("BUY", "BTC", "USDT", D(1), D(100), [Fee("BTC", D("0.001"))])
    assert movements(legs) == {"BTC": D("0.999"), "USDT": D(-100)}
    assert Leg("BTC", "fees", D("0.001")) in legs


def test_a_fee_in_a_third_asset_moves_that_asset_alone() -> None:
    legs = legs_of_fill("BUY", "BTC", "USDT", D(1), D(100), [Fee("BNB", D("0.0003"))])
    assert movements(legs) == {"BTC": D(1), "USDT": D(-100), "BNB": D("-0.0003")}


def test_fee_and_tax_in_quote_are_taken_from_the_proceeds_and_booked_apart() -> None:
    legs = legs_of_fill("SELL", "BTC", "TRY", D(1), D(100), [Fee("TRY", D("0.2")), Fee("TRY", D("0.04"), "tax")])
    assert movements(legs) == {"BTC": D(-1), "TRY": D("99.76")}
    assert {(leg.book, leg.amount) for leg in legs if leg.book in {"fees", "tax"}} == {
        ("fees", D("0.2")),
        ("tax", D("0.04")),
    }


def test_a_rebate_comes_in() -> None:
    assert movements(legs_of_fill("BUY", "BTC", "USDT", D(1), D(100), [Fee("USDT", D("-0.01"))]))["USDT"] == D("-99.99")


def test_an_opening_balance_stands_against_the_opening_book() -> None:
    assert legs_of_posting("opening", "BTC", D(3)) == [Leg("BTC", "exchange", D(3)), Leg("BTC", "opening", D(-3))]
    assert legs_of_posting("opening", "BTC", D(0)) == []
