"""What must stay reserved is a function of what is not booked yet, and covers all that may still be consumed."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_project.common.actors import Actor
from risk.gate import decide, reservation_row
from risk.intent import Intent
from risk.reservations import ReservationFacts, required
from tests.risk.gate_inputs import inputs, intent, market, sale

D = Decimal
ZERO = D(0)
UNIT = D("0.000000000000000001")


def amounts(low: str = "0", high: str = "1000000", places: int = 8) -> st.SearchStrategy[Decimal]:
    return st.decimals(min_value=D(low), max_value=D(high), places=places)


@st.composite
def facts(draw: st.DrawFn, **fixed: Any) -> ReservationFacts:
    sized_in_quote = draw(st.booleans())
    size = draw(amounts("0.00000001"))
    values = {
        "side": draw(st.sampled_from(["BUY", "SELL"])),
        "quantity": None if sized_in_quote else size,
        "quote_quantity": size if sized_in_quote else None,
        "reserve_price": draw(amounts("0.00000001")),
        "exposure_price": draw(amounts("0")),
        "fee_in_quote_rate": draw(st.sampled_from([ZERO, D("0.001"), D("0.0035")])),
        "booked_quantity": draw(amounts()),
        "booked_quote": draw(amounts()),
        "cumulative_quantity": draw(amounts()),
        "ended": draw(st.booleans()),
    }
    return ReservationFacts(**{**values, **fixed})


@given(facts())
def test_it_is_never_negative_and_fits_the_column(some: ReservationFacts) -> None:
    for value in required(some):
        assert value >= 0
        assert value == value.quantize(UNIT)


@given(facts(ended=True))
def test_an_ended_order_whose_trades_are_booked_holds_nothing(some: ReservationFacts) -> None:
    booked = replace(some, booked_quantity=max(some.booked_quantity, some.cumulative_quantity))
    assert required(booked) == (0, 0)


@given(facts(ended=True))
def test_an_ended_order_still_covers_what_was_reported_and_is_not_booked(some: ReservationFacts) -> None:
    unbooked = max(some.cumulative_quantity - some.booked_quantity, ZERO)
    funds, exposure = required(some)
    if some.side == "SELL":
        assert (funds, exposure) == (unbooked, 0)
    else:
        assert funds >= unbooked * some.reserve_price
        assert exposure >= unbooked * some.exposure_price


@given(facts(), amounts(), amounts())
def test_booking_more_never_raises_it(some: ReservationFacts, quantity: Decimal, quote: Decimal) -> None:
    later = replace(some, booked_quantity=some.booked_quantity + quantity, booked_quote=some.booked_quote + quote)
    assert all(after <= before for after, before in zip(required(later), required(some), strict=True))


@given(facts())
def test_the_end_never_raises_it_and_a_report_never_lowers_it(some: ReservationFacts) -> None:
    alive, ended = required(replace(some, ended=False)), required(replace(some, ended=True))
    assert all(after <= before for after, before in zip(ended, alive, strict=True))
    more = replace(some, cumulative_quantity=some.cumulative_quantity + 1)
    assert all(after >= before for after, before in zip(required(more), required(some), strict=True))


@given(facts(ended=False))
def test_a_live_order_covers_all_that_it_may_still_consume(some: ReservationFacts) -> None:
    funds, exposure = required(some)
    if some.quantity is not None:
        left = max(some.quantity - some.booked_quantity, ZERO)
        if some.side == "SELL":
            assert funds >= left
        else:
            assert funds >= left * some.reserve_price * (1 + some.fee_in_quote_rate)
            assert exposure >= left * some.exposure_price
    elif some.side == "BUY" and some.quote_quantity is not None:
        assert funds >= max(some.quote_quantity - some.booked_quote, ZERO) * (1 + some.fee_in_quote_rate)


def fact(**changes: Any) -> ReservationFacts:
    return replace(ReservationFacts("BUY", D(2), None, D(100), D(110), D("0.001"), ZERO, ZERO, ZERO, False), **changes)


@pytest.mark.parametrize(
    ("changes", "funds", "exposure"),
    [
        ({}, "200.2", "220"),
        ({"booked_quantity": D("0.5")}, "150.15", "165"),
        ({"booked_quantity": D(2)}, "0", "0"),
        ({"booked_quantity": D(3)}, "0", "0"),
        ({"cumulative_quantity": D("0.5")}, "200.2", "220"),
        ({"cumulative_quantity": D("0.5"), "ended": True}, "50.05", "55"),
        ({"cumulative_quantity": D("0.5"), "booked_quantity": D("0.5"), "ended": True}, "0", "0"),
        ({"ended": True}, "0", "0"),
        ({"side": "SELL"}, "2", "0"),
        ({"side": "SELL", "booked_quantity": D("0.5")}, "1.5", "0"),
        ({"quantity": None, "quote_quantity": D(300)}, "300.3", "330"),
        ({"quantity": None, "quote_quantity": D(300), "booked_quote": D(100), "booked_quantity": D(1)}, "200.2", "220"),
        ({"quantity": None, "quote_quantity": D(300), "side": "SELL"}, "3", "0"),
        ({"quantity": None, "quote_quantity": D(300), "booked_quote": D(300)}, "0", "0"),
    ],
)
def test_worked_examples(changes: dict[str, Any], funds: str, exposure: str) -> None:
    assert required(fact(**changes)) == (D(funds), D(exposure))


@pytest.mark.parametrize(
    "order",
    [
        intent(),
        intent(fee_in_quote_rate=D("0.001")),
        market(),
        market(quantity=None, quote_quantity=D("500")),
        market(quantity=None, quote_quantity=D("500"), fee_in_quote_rate=D("0.001")),
        sale(),
        sale(type="MARKET", price=None),
        sale(type="MARKET", price=None, quantity=None, quote_quantity=D("500")),
    ],
)
def test_what_the_gate_checked_is_what_is_reserved(order: Intent) -> None:
    given = inputs(order=order)
    verdict = decide(given, 1, by=Actor("key:desk", "test"))
    start = ReservationFacts(
        side=order.side,
        quantity=order.quantity,
        quote_quantity=order.quote_quantity,
        reserve_price=verdict.reserve_price,
        exposure_price=verdict.exposure_price,
        fee_in_quote_rate=order.fee_in_quote_rate,
        booked_quantity=ZERO,
        booked_quote=ZERO,
        cumulative_quantity=ZERO,
        ended=False,
    )
    row = reservation_row(order.order_id, order, start)
    assert row.asset == given.spent_asset
    assert row.amount == given.funds_needed
    if order.side == "BUY":
        assert given.reported_notional is not None
        assert abs(row.exposure - given.reported_notional) <= D("0.000000000001")
    else:
        assert row.exposure == 0
