"""The kill switch goes on: over a placement that hangs, over rows that are held, over the death of whoever began it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from django.db import connection, connections, transaction

from execution_project.common.locking import ordered
from execution_project.common.problems import Problem
from orders.canceling import cancel_all, cancel_scope
from orders.killing import cancel_in_latched_scopes, kill
from orders.models import Command, Order
from risk.models import TradingState
from risk.trading_state import halt
from tests.factories import BY, whole_order

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def held(order_id: UUID) -> Iterator[None]:
    """Another session holds the order's row."""
    taken, over = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Order.objects.select_for_update(no_key=True).get(id=order_id)
            taken.set()
            over.wait(60)
        connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    assert taken.wait(10)
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture
def impatient() -> Iterator[None]:
    """This session waits a tenth of a second for a row."""
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '100ms'")
    yield
    connection.close()


def with_cancel() -> set[UUID]:
    return set(Command.objects.filter(kind="cancel").values_list("order_id", flat=True))


def test_a_held_row_does_not_keep_the_others_from_being_canceled(impatient: None) -> None:
    orders = [whole_order(status="open") for _ in range(3)]
    with held(orders[0].id):
        with pytest.raises(Problem) as refused:
            cancel_all(Order.objects.all(), by=BY, reason="x")
        assert (refused.value.status, refused.value.code) == (503, "CANCELS_INCOMPLETE")
        assert refused.value.members == {"cancels_requested": 2, "left": [str(orders[0].id)]}
        assert with_cancel() == {orders[1].id, orders[2].id}
    assert cancel_scope("global", "", by=BY, reason="x") == 3
    assert with_cancel() == {order.id for order in orders}


def test_a_kill_latches_and_goes_on_with_what_was_held(impatient: None) -> None:
    orders = [whole_order(status="open") for _ in range(2)]
    with held(orders[0].id):
        killed = kill("global", "", reason="x", by=BY)
        assert (killed.state.latched, killed.cancels_requested) == (True, 1)
    assert cancel_in_latched_scopes() == 1
    assert with_cancel() == {order.id for order in orders}
    assert cancel_in_latched_scopes() == 0, "each has its cancel"


def test_whoever_began_a_kill_may_die_after_the_latch() -> None:
    mine, other = whole_order(status="open"), whole_order(status="open")
    halt("account", mine.account.name, reason="died here", by=BY, latched=True)
    assert cancel_in_latched_scopes() == 1
    assert with_cancel() == {mine.id}
    assert Command.objects.get(kind="cancel").reason == "died here"
    assert other.id not in with_cancel()


def test_a_plain_halt_cancels_nothing() -> None:
    whole_order(status="open")
    halt("global", "", reason="plain", by=BY)
    assert cancel_in_latched_scopes() == 0


def test_a_halt_outwaits_a_placement_that_hangs(impatient: None) -> None:
    """Longer than the lock timeout of its session, which everything else of the session keeps to."""
    sharing, over = threading.Event(), threading.Event()

    def hang() -> None:
        with ordered() as locks:
            locks.share_trading_state(["global"])
            sharing.set()
            over.wait(60)
        connections.close_all()

    thread = threading.Thread(target=hang)
    thread.start()
    assert sharing.wait(10)
    release = threading.Timer(0.5, over.set)
    release.start()
    assert halt("global", "", reason="x", by=BY, latched=True).latched
    thread.join()
    assert TradingState.objects.get().latched
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("100ms",)
