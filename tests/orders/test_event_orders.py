"""A machine that lets an exchange trade an order and delivers its words in any order, late, twice, or not at all.

After every step the books hold exactly the trades that were delivered, and the reservation covers what may still come;
in the end, when everything has been said once, they equal the exchange.
"""

from __future__ import annotations

import os
from collections import Counter
from decimal import Decimal

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from exchanges.reports import Fee, Report, ReportedStatus, TradeReport
from orders.ingest import ingest
from orders.models import Order
from positions.models import Fill, Holding
from risk.models import Reservation
from tests.factories import BY, order_report, trade_report, whole_order

ENDS = {"canceled": ReportedStatus.CANCELED, "expired": ReportedStatus.EXPIRED}
PRICE = Decimal(60000)
ROUNDS = int(os.environ.get("PROOF_ROUNDS", "20"))


class EventOrders(RuleBasedStateMachine):
    """One limit order to buy 1 BTC at 60 000, and what its exchange says about it."""

    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic._from_testcase = True  # type: ignore[attr-defined]  # as TestCase marks its own
        self.atomic.__enter__()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    @initialize(status=st.sampled_from(["submitting", "submit_unknown", "open", "rejected", "canceled", "expired"]))
    def begin(self, status: str) -> None:
        """The engine may believe anything of an order that the exchange has."""
        ended = {"ended_as": status} if status in ENDS else {}
        self.order = whole_order(
            status=status, side="BUY", type="LIMIT", time_in_force="GTC", price=PRICE, quantity=Decimal(1), **ended
        )
        self.row = self.order.exchange_orders.get()
        # An exchange does not call the same end by two names.
        self.possible_ends = [status] if status in ENDS else sorted(ENDS)
        self.truth = Decimal(0)
        self.end: str | None = None
        self.said: list[Report] = [order_report(self.row, ReportedStatus.OPEN)]
        self.delivered: dict[str, TradeReport] = {}
        self.reported = Decimal(0)
        self.heard_end = False

    @precondition(lambda self: self.end is None)
    @rule(tenths=st.integers(1, 4))
    def trade(self, tenths: int) -> None:
        """The exchange trades a part of it."""
        quantity = min(Decimal(tenths) / 10, 1 - self.truth)
        self.truth += quantity
        number = sum(isinstance(report, TradeReport) for report in self.said) + 1
        self.said.append(trade_report(str(number), str(quantity), fees=(Fee("BNB", Decimal("0.001")),)))
        if self.truth == 1:
            self.end = "filled"
        status = ReportedStatus.FILLED if self.end else ReportedStatus.PARTIALLY_FILLED
        self.said.append(order_report(self.row, status, str(self.truth)))

    @precondition(lambda self: self.end is None)
    @rule(data=st.data())
    def ends(self, data: st.DataObject) -> None:
        """The exchange ends it."""
        how = data.draw(st.sampled_from(self.possible_ends))
        self.end = how
        self.said.append(order_report(self.row, ENDS[how], str(self.truth)))

    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """Any words, in any order, in one batch; what was said before may be said again."""
        chosen = data.draw(st.lists(st.sampled_from(range(len(self.said))), min_size=1, max_size=4))
        self.hear([self.said[index] for index in chosen])

    def hear(self, batch: list[Report]) -> None:
        """Ingest, and remember what the engine was told."""
        ingest(self.order.account, batch, by=BY)
        for report in batch:
            if isinstance(report, TradeReport):
                self.delivered[report.trade_id] = report
            else:
                self.reported = max(self.reported, report.cumulative_quantity)
                self.heard_end = self.heard_end or report.status.is_end

    @property
    def booked(self) -> Decimal:
        return sum((trade.quantity for trade in self.delivered.values()), Decimal(0))

    @invariant()
    def every_delivered_trade_is_booked_once(self) -> None:
        if not hasattr(self, "order"):
            return
        fills = {fill.trade_id: fill.quantity for fill in Fill.objects.filter(order_id=self.order.id)}
        assert fills == {name: trade.quantity for name, trade in self.delivered.items()}
        # What was paid beyond everything held is a row of its own, in suspense.
        held: Counter[str] = Counter()
        for row in Holding.objects.filter(account=self.order.account):
            held[row.asset] += row.quantity
        assert (held["BTC"], held["USDT"]) == (self.booked, -self.booked * PRICE)
        assert Order.objects.get(id=self.order.id).filled_quantity == self.booked

    @invariant()
    def the_reservation_covers_what_may_still_come(self) -> None:
        if not hasattr(self, "order"):
            return
        order = Order.objects.get(id=self.order.id)
        reserved = Reservation.objects.get(order_id=self.order.id).amount
        if order.status in {"submitting", "submit_unknown", "open", "partially_filled"}:
            assert reserved >= (1 - self.booked) * PRICE
        assert reserved >= (self.reported - self.booked) * PRICE
        if self.booked == 1:
            assert order.status == "filled"

    @rule()
    def everything_is_said_again(self) -> None:
        """As reconciliation does: all trades, then the order as it stands; the books equal the exchange."""
        self.hear([*[report for report in self.said if isinstance(report, TradeReport)], self.said[-1]])
        order = Order.objects.get(id=self.order.id)
        assert self.booked == self.truth
        if self.end is not None:
            assert (order.status, order.ended_as) == (self.end, self.end)
            assert Reservation.objects.get(order_id=self.order.id).amount == 0


@pytest.mark.django_db
def test_any_order_of_events_comes_to_the_exchanges_truth() -> None:
    run_state_machine_as_test(
        EventOrders,
        settings=settings(
            max_examples=ROUNDS,
            stateful_step_count=20,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
