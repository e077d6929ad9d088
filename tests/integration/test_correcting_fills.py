"""A fill that the exchange has otherwise is corrected by two persons; its break ends and its order follows."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from exchanges.reports import TradeReport
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.approvals import decide_and_carry_out
from execution_project.common.rights import EVERYTHING
from orders.models import Break, ExchangeOrder, Order
from orders.reconciliation import trades
from positions.correcting import Corrected, as_it_stands, bust, propose_correction
from positions.models import Fill, Position
from positions.rebuilding import check_ledger, check_subject, subjects_of
from risk.models import Reservation
from tests.engines import BY, Engine, drain
from tests.integration.test_reconciliation import run
from tests.integration.test_reconciling_fills import booked_as, unseen_fill, venue

__all__ = ["venue"]
pytestmark = pytest.mark.e2e
D = Decimal
SECOND = Actor("user:second", "a test", rights=EVERYTHING)


def correct(fill: Fill, to: Corrected) -> None:
    approval = propose_correction(fill, to, reason="the exchange's trade list", by=BY)
    decide_and_carry_out(approval.id, approved=True, by=SECOND)


def told_by(trade: TradeReport) -> Corrected:
    return Corrected(trade.price, trade.quantity, trade.quote_quantity, trade.fees)


def assert_books_agree(engine: Engine) -> None:
    assert check_ledger(engine.account) == []
    assert [found for subject in subjects_of([engine.account]) for found in check_subject(subject)] == []


def test_a_fill_that_is_corrected_to_its_trade_ends_every_break_and_its_order_counts_it(venue: Engine) -> None:
    trade = booked_as(venue, price=D(58900), quantity=D("0.05"), quote_quantity=D(2945), fees=())
    run(venue, "trades")
    for _ in range(2):
        run(venue, "orders")
    assert Break.objects.filter(status="open").count() == 4, "price, quantity, fees, and the order's quantity"
    before = Reservation.objects.get().amount
    correct(Fill.objects.get(), told_by(trade))
    order, row = Order.objects.get(), ExchangeOrder.objects.get()
    assert (order.filled_quantity, row.booked_quantity) == (D("0.04"), D("0.04"))
    assert (order.filled_quote, order.status) == (trade.quote_quantity, "partially_filled")
    assert Reservation.objects.get().amount > before, "more of it may still trade"
    assert run(venue, "orders", "trades").differences == []
    assert set(Break.objects.values_list("status", flat=True)) == {"resolved"}
    assert Position.objects.get().net_quantity == D("0.04")
    assert_books_agree(venue)


def test_an_orphan_that_is_taken_back_ends_and_is_none_again(venue: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    unseen_fill(venue, monkeypatch)
    run(venue, "trades", since=clock.now() - timedelta(minutes=5))
    run(venue, "trades")
    assert (Break.objects.get().kind, Break.objects.get().status) == ("orphan_fill", "open")
    fill = Fill.objects.get()
    correct(fill, bust(fill))
    assert Order.objects.get().filled_quantity == 0
    run(venue, "trades")
    ended = Break.objects.get()
    assert ended.status == "resolved"
    assert ended.resolution == "The fill was taken back, and the exchange does not show it."
    for _ in range(2):
        run(venue, "trades", since=clock.now() - timedelta(minutes=5))
    assert Break.objects.get().id == ended.id, "what was taken back is no orphan"
    assert_books_agree(venue)


def test_a_fill_that_was_taken_back_and_is_shown_is_a_break_until_both_agree(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    trade = booked_as(engine)
    fill = Fill.objects.get()
    correct(fill, bust(fill))
    run(engine, "trades")
    shown = Break.objects.get(kind="qty_mismatch")
    assert (shown.status, shown.expected, shown.observed) == ("open", "taken back", "BUY 0.04")
    monkeypatch.setattr(trades, "NOT_SHOWN_YET", timedelta(0))
    engine.simulator.fault("lagging_trades", call="GET /api/v3/myTrades", ms=600_000)
    run(engine, "trades", since=clock.now() - timedelta(minutes=5))
    assert Break.objects.get(kind="qty_mismatch").status == "resolved", "neither of them has it"
    engine.simulator.call("DELETE", "/sim/faults")
    run(engine, "trades", since=clock.now() - timedelta(minutes=5))
    assert Break.objects.filter(kind="qty_mismatch", status="open").count() == 1
    correct(fill, told_by(trade))
    run(engine, "trades", since=clock.now() - timedelta(minutes=5))
    assert not Break.objects.filter(kind="qty_mismatch", status="open").exists()
    assert Order.objects.get().filled_quantity == D("0.04")
    assert_books_agree(engine)


def test_an_ended_order_of_which_a_fill_is_taken_back_reserves_nothing(engine: Engine) -> None:
    engine.limit("BUY", "0.01", "60010.00")
    drain()
    row = ExchangeOrder.objects.get()
    assert (row.end_proof != "", row.booked_quantity) == (True, D("0.01"))
    fill = Fill.objects.get()
    correct(fill, bust(fill))
    order, row = Order.objects.get(), ExchangeOrder.objects.get()
    assert (order.filled_quantity, row.booked_quantity, row.unbooked_quantity) == (0, 0, 0)
    assert row.end_proof != ""
    assert Reservation.objects.get().amount == 0
    assert as_it_stands(fill).quantity == 0
    assert_books_agree(engine)


def test_an_end_that_was_concluded_from_the_fill_is_doubted_until_the_exchange_says_it(engine: Engine) -> None:
    engine.limit("BUY", "0.01", "60010.00")
    drain()
    ExchangeOrder.objects.update(end_proof="booked:whole quantity", reported_status="open", cumulative_quantity=0)
    fill = Fill.objects.get()
    correct(fill, bust(fill))
    assert ExchangeOrder.objects.get().end_proof == ""
    assert Reservation.objects.get().amount > 0, "it may be working"
    run(engine, "orders")
    row = ExchangeOrder.objects.get()
    assert row.end_proof.startswith("reported:")
    assert row.unbooked_quantity == D("0.01"), "the exchange counts what the books took back"
