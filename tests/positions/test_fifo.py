"""First in, first out, by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from positions.costing import Move
from positions.fifo import Lots

D = Decimal
START = datetime(2026, 1, 1, tzinfo=UTC)


def moved(lots: Lots, day: int, quantity: str, value: str | None, **values: bool) -> list[tuple[str, str | None]]:
    """(quantity, realised) of each lot that a move of a day disposed of."""
    move = Move("BTC", D(quantity), None if value is None else D(value), "base", **values)
    disposals = lots.apply(move, START + timedelta(days=day))
    return [(str(it.quantity), None if it.realised is None else str(it.realised)) for it in disposals]


def test_the_oldest_lot_goes_first_and_a_part_takes_its_part_of_the_cost() -> None:
    lots = Lots()
    moved(lots, 1, "1", "100")
    moved(lots, 2, "1", "200")
    # 1.5 sold for 450: 300 for the first that cost 100, 150 for half of the second that cost 200
    assert lots.apply(Move("BTC", D("-1.5"), D(-450), "base"), START)[0].acquired_at == START + timedelta(days=1)
    assert [(lot.quantity, lot.cost) for lot in lots.open] == [(D("0.5"), 100)]
    assert [row[1] is not None and D(row[1]) for row in moved(lots, 3, "-0.5", "-90")] == [-10]
    assert (lots.quantity, lots.cost) == (0, 0)


def test_what_is_sold_unseen_is_no_profit_until_a_posting_explains_it() -> None:
    lots = Lots()
    assert moved(lots, 1, "-2", "-400") == []
    assert moved(lots, 2, "1", "150") == [], "a purchase explains nothing"
    assert lots.quantity == -1
    assert [D(row[1] or 0) for row in moved(lots, 3, "3", "540", explains=True)] == [400 - 360]
    assert [(lot.quantity, lot.cost) for lot in lots.open] == [(1, 150), (1, 180)]


def test_an_unknown_cost_or_value_realises_nothing_yet() -> None:
    lots = Lots()
    moved(lots, 1, "1", None)
    assert moved(lots, 2, "-0.5", "-100") == [("0.5", None)]
    assert [(lot.quantity, lot.cost) for lot in lots.open] == [(D("0.5"), None)]


def test_a_fee_that_takes_everything_and_income() -> None:
    lots = Lots()
    assert moved(lots, 1, "0", "10") == [("0", "-10")]
    assert moved(lots, 2, "1", "600", is_income=True) == [("0", "600")]
    assert (lots.quantity, lots.cost) == (1, 600)
