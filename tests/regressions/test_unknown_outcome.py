"""Complaints about unknown outcomes and duplicates, by number (docs/complaints.md)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django_q.models import OrmQ

from execution_project.common import clock
from execution_project.stream_hints import handlers
from orders import sweeping
from orders.models import AbsenceEvidence, Attempt, Command, Order
from positions.models import Fill
from risk.models import Decision, Reservation
from tests.engines import Engine, drain, make_engine, reserved
from tests.exchanges.streams.fleets import RunningFleet, await_connected, give_stream
from tests.regressions.rounds import (
    CANCEL,
    PLACE,
    StillClock,
    assert_all_over,
    assert_books_equal_the_exchange,
    calls,
    fault,
    lift_faults,
    orders_at_exchange,
    prints,
    reads_lag,
    restart,
    resting,
    rounds,
    sent_a_minute_ago,
    status,
    working_at_exchange,
)
from tests.simulators import Simulator
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e


def test_complaint_01_an_unanswered_order_that_filled_at_once_is_found_though_it_is_not_open(venue: Engine) -> None:
    """The create timed out, the order existed and was filled already, and the open orders did not show it."""
    single_read = "GET /api/v3/order" if venue.account.exchange == "binance" else "GET /api/v1/order/{id}"
    venue.simulator.fault("not_found_for", call=single_read, ms=3_600_000)
    fault(venue, "drop_after")
    _, order = venue.limit("BUY", "0.01", "60010")
    drain(f"submit-{venue.account.exchange}")
    assert status(venue, order["id"]) == "submit_unknown"
    assert working_at_exchange(venue) == []

    def looked_for() -> bool:
        rounds()
        return AbsenceEvidence.objects.count() >= 2 or status(venue, order["id"]) != "submit_unknown"

    # It cannot be asked for by itself: history and trades tell of it, or keep it from being taken for absent.
    wait_until(looked_for, 30, "the order to be looked for")
    assert not AbsenceEvidence.objects.exclude(verdict__in=["doubtful", "found"]).exists()
    lift_faults(venue)
    rounds(2)
    document = venue.order(order["id"])
    assert (document["status"], document["ended_as"], document["filled_quantity"]) == ("settled", "filled", "0.01")
    assert_all_over(venue)


def test_complaint_02_neither_the_engine_nor_a_repeating_client_orders_again_after_a_timeout(venue: Engine) -> None:
    """A read timeout was answered with "ordering again", and the same order stood twice."""
    fault(venue, "drop_after", times=None)
    body = {"side": "BUY", "type": "LIMIT", "quantity": "0.01", "price": "59000", "time_in_force": "GTC"}
    _, order = venue.place(key="once", **body)
    drain(f"submit-{venue.account.exchange}")
    for _ in range(3):
        assert venue.place(key="once", **body)[1]["id"] == order["id"]
        rounds()
    assert len(orders_at_exchange(venue)) == 1
    assert calls(venue, PLACE[venue.account.exchange]) == 1
    assert status(venue, order["id"]) == "open"


def test_complaint_03_an_acknowledgement_by_stream_after_a_timeout_ends_the_matter(
    transactional_db: None, simulator: Simulator
) -> None:
    """The exchange said that it timed out, its stream acknowledged the order, and a retry went out all the same."""
    engine = make_engine(simulator)
    give_stream(engine.account)
    simulator.fault("status", status=504, code=-1007, msg="Timeout waiting for response.", execute=True)
    with RunningFleet(handlers()):
        await_connected(engine.account.name)
        engine.refresh()
        _, order = engine.limit("BUY", "0.01", "59000.00")
        drain("submit-binance")
        wait_until(lambda: status(engine, order["id"]) == "open", 30, "the stream to acknowledge the order")
    assert Attempt.objects.get().outcome == "unknown"
    rounds(3)
    assert status(engine, order["id"]) == "open"
    assert not Command.objects.filter(status__in=["queued", "claimed", "unknown"]).exists()
    assert len(orders_at_exchange(engine)) == calls(engine, PLACE["binance"]) == 1


def test_complaint_04_an_unanswered_order_is_no_end_and_makes_no_room_for_another(venue: Engine) -> None:
    """A timeout was taken for a rejection while the order lived: orphans, and orders stacked upon each other."""
    fault(venue, "drop_after")
    _, order = venue.limit("BUY", "10", "59000")
    drain(f"submit-{venue.account.exchange}")
    venue.simulator.fault("status", call="*", times=None, status=503)
    with clock.using(clock.ManualClock(datetime.now(UTC) + timedelta(days=1))):
        sweeping.recover_silent_claims()
        sweeping.expire_stale_intents()
        sweeping.ring_probes()
        drain()
    assert status(venue, order["id"]) == "submit_unknown"
    code, problem = venue.limit("BUY", "10", "59000")
    assert (code, problem["code"]) == (422, "INSUFFICIENT_FUNDS")
    lift_faults(venue)
    rounds()
    assert status(venue, order["id"]) == "open"
    assert len(orders_at_exchange(venue)) == 1


def test_complaint_05_an_order_is_accepted_whole_or_not_at_all(engine: Engine) -> None:
    """How does one place an order in a transaction? Here acceptance and the way out to the exchange are one."""
    engine.client = Client(raise_request_exception=False)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE django_q_ormq RENAME TO django_q_ormq_away")
        try:
            code, _ = engine.place(key="whole")
        finally:
            cursor.execute("ALTER TABLE django_q_ormq_away RENAME TO django_q_ormq")
    assert code >= 500
    for model in (Order, Decision, Reservation, Command):
        assert not model.objects.exists(), model
    code, order = engine.place(key="whole")
    assert code == 202
    drain()
    assert status(engine, order["id"]) == "filled"
    assert_all_over(engine)


def test_complaint_05_an_accepted_order_goes_out_though_its_queue_was_lost(engine: Engine) -> None:
    """The task queue forgot a message, and the order was never sent."""
    _, order = engine.place()
    assert OrmQ.objects.all().delete()[0] >= 1
    drain()
    assert engine.simulator.posted() == {}
    rounds()
    assert engine.order(order["id"])["filled_quantity"] == "0.01"
    assert_all_over(engine)


def test_complaint_06_an_order_outlives_an_outage_of_the_network_and_a_restart(venue: Engine) -> None:
    """A network error dropped the orders that were followed; they filled later, and nobody knew them."""
    order_id = resting(venue)
    venue.simulator.fault("drop_before", call="*", times=None)
    prints(venue, "59000", "0.01", "SELL")
    rounds(2)
    assert status(venue, order_id) == "open"
    restart()
    prints(venue, "59000", "0.02", "SELL")
    rounds()
    assert status(venue, order_id) == "open"
    lift_faults(venue)
    rounds(2)
    document = venue.order(order_id)
    assert (document["status"], document["ended_as"], document["filled_quantity"]) == ("settled", "filled", "0.03")
    assert_all_over(venue)


def test_complaint_07_a_canceled_order_is_not_ended_before_the_exchange_says_so(venue: Engine) -> None:
    """Cancelled in the local books, filled at the exchange: a position that nobody knew of."""
    order_id = resting(venue)
    fault(venue, "drop_before", CANCEL)
    prints(venue, "59000", "0.01", "SELL")
    venue.request("DELETE", f"order/{order_id}")
    drain("cancel")
    assert status(venue, order_id) == "open"
    assert reserved(venue)["USDT"] >= 1770
    prints(venue, "59000", "0.02", "SELL")
    rounds(2)
    document = venue.order(order_id)
    assert (document["ended_as"], document["filled_quantity"]) == ("filled", "0.03")
    assert_all_over(venue)


@pytest.mark.parametrize("answered", [True, False])
def test_complaint_33_a_refused_cancel_proves_nothing_about_an_order(venue: Engine, answered: bool) -> None:
    """A cancel was refused because the order had filled; it was read as "never existed", and bought again."""
    if not answered:
        fault(venue, "drop_after")
    _, order = venue.limit("BUY", "0.03", "59000")
    drain(f"submit-{venue.account.exchange}")
    before = status(venue, order["id"])
    assert before == ("open" if answered else "submit_unknown")
    prints(venue, "59000", "0.03", "SELL")
    # Reads lag behind: the refusal and a "not found" right after it are all that there is to go by.
    reads_lag(venue)
    venue.request("DELETE", f"order/{order['id']}")
    drain("cancel")
    rounds()
    assert status(venue, order["id"]) == before
    assert reserved(venue)["USDT"] >= 1770
    lift_faults(venue)
    rounds()
    document = venue.order(order["id"])
    assert (document["ended_as"], document["filled_quantity"]) == ("filled", "0.03")
    rounds()
    assert_all_over(venue)


def test_complaint_38_a_refused_order_is_not_sent_again_by_us_and_a_repeating_client_is_stopped(venue: Engine) -> None:
    """The same structurally refused order went out for ever and burned the budget of orders."""
    words: dict[str, Any] = {"code": -1013, "msg": "Filter failure: NOTIONAL"}
    if venue.account.exchange == "btcturk":
        words = {"code": 1122, "msg": "FAILED_MIN_TOTAL_AMOUNT"}
    fault(venue, "status", times=None, status=400, **words)
    ends = []
    for _ in range(5):
        venue.refresh()
        _, order = venue.limit("BUY", "0.01", "59000")
        drain()
        rounds(2)
        document = venue.order(order["id"])
        ends.append((document["status"], document["reason"]))
    assert ends == [("rejected", "FILTER")] * 3 + [("denied", "CIRCUIT_OPEN")] * 2
    assert calls(venue, PLACE[venue.account.exchange]) == 3


@pytest.mark.parametrize(
    ("kind", "becomes"), [("drop_after", "filled"), ("drop_before", "submit_unknown"), ("reject", "rejected")]
)
def test_complaint_39_a_signal_that_comes_again_opens_nothing_whatever_became_of_the_first(
    engine: Engine, kind: str, becomes: str
) -> None:
    """A signal was dispatched twice and opened twice, because an error had released its claim."""
    key, body = str(uuid4()), {"type": "LIMIT", "quantity": "0.01", "price": "60010.00", "time_in_force": "GTC"}
    engine.simulator.fault(kind)
    _, order = engine.place(key=key, **body)
    drain()
    assert status(engine, order["id"]) == becomes
    for _ in range(3):
        _, again = engine.place(key=key, **body)
        assert again.get("order", again)["id"] == order["id"]
        drain()
    assert Order.objects.count() == 1
    assert calls(engine, PLACE["binance"]) == 1


@pytest.mark.parametrize("http_status", [404, 408, 409, 500, 502])
def test_complaint_42_a_status_alone_releases_no_client_order_id(venue: Engine, http_status: int) -> None:
    """Statuses like 404 and 409 released the reserved id, although the order may have been taken."""
    fault(venue, "status", status=http_status, html="<html>somebody on the way</html>", execute=True)
    _, order = venue.limit("BUY", "0.03", "59000")
    drain(f"submit-{venue.account.exchange}")
    assert status(venue, order["id"]) == "submit_unknown"
    rounds()
    document = venue.order(order["id"])
    assert document["status"] == "open"
    (row,) = document["exchange_orders"]
    assert [found["client_order_id"] for found in orders_at_exchange(venue)] == [row["client_order_id"]]
    assert calls(venue, PLACE[venue.account.exchange]) == 1


def test_complaint_44_an_order_that_reads_do_not_show_yet_goes_on(venue: Engine) -> None:
    """Placed, asked for two seconds later, "does not exist": reads lag behind writes."""
    order_id = resting(venue)
    reads_lag(venue)
    sent_a_minute_ago(order_id)
    # Time stands still, so that this is one look, however often it is taken.
    with clock.using(StillClock()):
        rounds(3)
    assert AbsenceEvidence.objects.get().verdict == "negative"
    assert status(venue, order_id) == "open"
    assert reserved(venue)["USDT"] >= 1770
    lift_faults(venue)
    prints(venue, "59000", "0.03", "SELL")
    rounds(2)
    assert status(venue, order_id) == "settled"
    assert_all_over(venue)


def test_complaint_45_a_refused_cancel_is_followed_by_a_question_and_not_by_the_next_cancel(venue: Engine) -> None:
    """The order had filled, the stream had lost it, and cancels were refused 14,000 times in 20 hours."""
    order_id = resting(venue)
    prints(venue, "59000", "0.03", "SELL")
    venue.request("DELETE", f"order/{order_id}")
    drain("cancel")
    cancel = Attempt.objects.get(kind="cancel")
    assert cancel.outcome == "refused"
    assert status(venue, order_id) == "filled", "the question right after the refusal has told"
    rounds(4)
    document = venue.order(order_id)
    assert (document["status"], document["ended_as"], document["filled_quantity"]) == ("settled", "filled", "0.03")
    assert Fill.objects.filter(order_id=order_id).count() == 1
    assert calls(venue, CANCEL[venue.account.exchange]) == 1
    assert_books_equal_the_exchange(venue)
