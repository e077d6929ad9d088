"""Output equals input: exactly the size passes, one step more does not, and no decision explains nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from risk.monitors.output_equals_input import Sent, evaluate

D = Decimal


def sent(size: str = "10", booked: str = "0", **values: Any) -> Sent:
    return Sent("T1", D(size), D(booked), **{"ended": False, "planned": False, "approved": True, **values})


ENDED = {"ended": True}
PLANNED = {"planned": True}


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [sent()],
        [sent(booked="10")],
        [sent(booked="4", **ENDED), sent("6")],
        [sent(booked="4"), sent("6", **PLANNED)],
        [sent(booked="0", **ENDED), sent()],
    ],
    ids=["nothing sent", "working", "filled", "rest after a cancel", "replace under way", "sent anew"],
)
def test_what_is_explained(rows: list[Sent]) -> None:
    assert evaluate(D(10), D(10), rows) is None


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([sent("10.00000001")], "1 exchange orders may come to 10.00000001 of 10"),
        ([sent(booked="10.00000001")], "1 exchange orders may come to 10.00000001 of 10"),
        ([sent(booked="4.00000001", **ENDED), sent("6")], "2 exchange orders may come to 10.00000001 of 10"),
        ([sent(), sent("1")], "2 exchange orders may come to 11 of 10"),
        ([sent(booked="10", **ENDED), sent("6", "1", **PLANNED)], "2 exchange orders may come to 11 of 10"),
        ([sent("1", approved=False)], "no accepted decision stands behind T1"),
    ],
)
def test_what_is_not(rows: list[Sent], said: str) -> None:
    assert evaluate(D(10), D(10), rows) == said


def test_an_order_made_smaller_may_have_filled_more_before_its_end() -> None:
    assert evaluate(D(4), D(10), [sent(booked="6", **ENDED)]) is None
    assert evaluate(D(4), D(10), [sent(booked="10.1", **ENDED)]) is not None
    assert evaluate(D(4), D(10), [sent(booked="3", **ENDED), sent("6")]) is not None, "while it works its size counts"


def test_a_size_that_is_missing_explains_nothing() -> None:
    assert evaluate(None, None, [sent("1")]) == "1 exchange orders may come to 1 of an unknown size"


def test_one_step_of_the_lot_more_is_explained_where_the_size_was_in_quote() -> None:
    rows = [sent("500", "500.6", **ENDED)]
    assert evaluate(D(500), D(500), rows, D("0.6")) is None
    assert evaluate(D(500), D(500), rows, D("0.59")) is not None
