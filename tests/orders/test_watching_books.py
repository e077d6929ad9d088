"""Between two comparisons: trades that do not arrive, parts that nobody compares."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from exchanges.freshness import PARTS, freshness_of, mark_fresh
from exchanges.models import Account, AccountFreshness
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.models import Event
from orders.breaks import Finding, open_or_touch
from orders.models import Break, BreakKind, ExchangeOrder, Severity
from orders.reconciliation.staleness import look_for_stale_parts
from orders.reconciliation.unbooked import look_for_unbooked
from risk.boot_halt import halt_for_boot
from risk.inputs import MAX_RECONCILIATION_AGE
from tests.factories import AccountFactory, ExchangeOrderFactory

pytestmark = pytest.mark.django_db
BY = Actor("engine:test", "a test")
D = Decimal
LONG_AGO = timedelta(days=2)


def reported(cumulative: str, booked: str = "0.01") -> ExchangeOrder:
    row: ExchangeOrder = ExchangeOrderFactory(
        exchange_order_id="77", cumulative_quantity=D(cumulative), booked_quantity=D(booked)
    )
    return row


def let_pass(**time: float) -> None:
    for row in Break.objects.all():
        Break.objects.filter(pk=row.pk).update(opened_at=row.opened_at - timedelta(**time))


def test_what_is_reported_and_not_booked_for_ten_seconds_blocks() -> None:
    row = reported("0.03")
    account = row.order.account
    look_for_unbooked(account, by=BY)
    let_pass(seconds=9)
    look_for_unbooked(account, by=BY)
    assert Break.objects.get().status == "suspected"
    assert freshness_of(account).blocked_by == ""
    let_pass(seconds=1)
    look_for_unbooked(account, by=BY)
    broken = Break.objects.get()
    assert (broken.kind, broken.status, broken.severity) == ("missing_fill", "open", "blocking")
    assert (broken.difference, broken.order) == (D("0.02"), row.order)
    assert freshness_of(account).blocked_by == f"missing_fill {broken.subject}"


def test_more_that_is_reported_meanwhile_does_not_begin_the_time_anew() -> None:
    row = reported("0.03")
    look_for_unbooked(row.order.account, by=BY)
    let_pass(seconds=10)
    ExchangeOrder.objects.update(cumulative_quantity=D("0.05"))
    look_for_unbooked(row.order.account, by=BY)
    assert Break.objects.get().status == "open"


def test_what_arrives_bit_by_bit_is_no_lasting_gap() -> None:
    """An order that fills steadily shows some gap at every tick, and never the same one."""
    row = reported("0.03")
    account = row.order.account
    for booked, cumulative in (("0.01", "0.03"), ("0.03", "0.05"), ("0.06", "0.08")):
        ExchangeOrder.objects.update(booked_quantity=D(booked), cumulative_quantity=D(cumulative))
        look_for_unbooked(account, by=BY)
        assert Break.objects.get().status == "suspected"
        let_pass(seconds=9)
    ExchangeOrder.objects.update(booked_quantity=D("0.07"), cumulative_quantity=D("0.09"))
    let_pass(seconds=1)
    look_for_unbooked(account, by=BY)
    broken = Break.objects.get()
    assert (broken.status, broken.difference) == ("open", D("0.02")), "what was awaited at first has not all come"


def test_trades_that_come_in_time_leave_nothing_and_late_ones_end_the_break() -> None:
    row = reported("0.03")
    account = row.order.account
    look_for_unbooked(account, by=BY)
    ExchangeOrder.objects.update(booked_quantity=D("0.03"))
    assert look_for_unbooked(account, by=BY) == 0
    assert Break.objects.count() == 0
    ExchangeOrder.objects.update(booked_quantity=D("0.01"))
    look_for_unbooked(account, by=BY)
    let_pass(seconds=10)
    look_for_unbooked(account, by=BY)
    ExchangeOrder.objects.update(booked_quantity=D("0.03"))
    look_for_unbooked(account, by=BY)
    broken = Break.objects.get()
    assert (broken.status, broken.evidence["explained"]) == ("resolved", {"booked": {row.client_order_id: "0.03"}})
    assert freshness_of(account).blocked_by == ""


def test_trades_of_no_order_here_wait_for_a_reading() -> None:
    row = reported("0.01")
    found = Finding(BreakKind.MISSING_FILL, Severity.BLOCKING, "BNBUSDT 1")
    open_or_touch(row.order.account, found, by=BY)
    look_for_unbooked(row.order.account, by=BY)
    assert Break.objects.get().status == "open"


def compared(**ages: timedelta | None) -> Account:
    """An account whose parts were compared so long ago; those not named just now."""
    now = clock.now()
    account = AccountFactory(books_opened_at=now - LONG_AGO)
    mark_fresh(account, PARTS, now)
    stamps = {f"{part}_at": None if age is None else now - age for part, age in ages.items()}
    if stamps:
        AccountFreshness.objects.filter(account=account).update(**stamps)
    return account


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_was_not_compared_for_three_intervals_needs_somebody(part: str) -> None:
    longest = MAX_RECONCILIATION_AGE[part]
    assert look_for_stale_parts(compared(**{part: longest - timedelta(seconds=2)}), by=BY) == []
    assert Break.objects.count() == 0
    account = compared(**{part: longest + timedelta(seconds=1)})
    assert look_for_stale_parts(account, by=BY) == [part]
    look_for_stale_parts(account, by=BY)
    broken = Break.objects.get()
    assert (broken.kind, broken.subject, broken.status, broken.severity) == ("stale_recon", part, "open", "warning")
    assert Event.objects.filter(kind="break.opened").count() == 1
    mark_fresh(account, [part], clock.now())
    look_for_stale_parts(account, by=BY)
    broken.refresh_from_db()
    assert (broken.status, part in broken.evidence["explained"]) == ("resolved", True)


def test_one_part_that_is_compared_again_leaves_the_others() -> None:
    account = compared(orders=LONG_AGO, trades=None)
    assert look_for_stale_parts(account, by=BY) == ["orders", "trades"]
    mark_fresh(account, ["orders"], clock.now())
    assert look_for_stale_parts(account, by=BY) == ["trades"]
    assert set(Break.objects.values_list("subject", "status")) == {("orders", "resolved"), ("trades", "open")}
    assert Break.objects.get(subject="trades").observed == "never compared"


@pytest.mark.django_db(transaction=True)
def test_a_start_and_an_opening_have_their_time_first() -> None:
    account = compared(orders=None, trades=LONG_AGO, balances=LONG_AGO)
    halt_for_boot(account.name, by=BY)
    assert look_for_stale_parts(account, by=BY) == []
    just_opened = compared(orders=None, trades=None, balances=None)
    just_opened.books_opened_at = clock.now()
    assert look_for_stale_parts(just_opened, by=BY) == []


def test_a_stamp_of_a_clock_that_ran_ahead_is_no_comparison() -> None:
    account = compared(orders=-timedelta(hours=3))
    assert look_for_stale_parts(account, by=BY) == ["orders"]
