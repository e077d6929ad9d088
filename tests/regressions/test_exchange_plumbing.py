"""Complaints about limits, clocks, databases, queues and transports, by number (docs/complaints.md)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils.module_loading import import_string
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from exchanges.models import HostClock, HostPause, StampSequence
from execution_project.common import clock
from orders import sweeping
from orders.models import Attempt, Command, ExchangeOrder, Order
from orders.sending import send_command
from positions.models import Fill
from tests.engines import Engine, drain, holdings, reserved
from tests.processes import Processes
from tests.regressions.rounds import (
    CANCEL,
    LONG_AGO,
    PLACE,
    StillClock,
    assert_all_over,
    assert_books_equal_the_exchange,
    calls,
    fault,
    lift_faults,
    make_due,
    orders_at_exchange,
    prints,
    resting,
    rounds,
    status,
    working_at_exchange,
)
from tests.threads import together

pytestmark = pytest.mark.e2e
D = Decimal
REPLACE = "POST /api/v3/order/cancelReplace"
AMEND = "PUT /api/v3/order/amend/keepPriority"


def all_calls(engine: Engine) -> int:
    """How many calls of any kind the exchange has got."""
    return sum(engine.simulator.call("GET", "/sim/counters")["calls"].values())


def test_complaint_24_a_ban_that_one_process_was_told_of_silences_all_of_them(
    engine: Engine, processes: Processes
) -> None:
    """Several programs on one address knew nothing of each other's calls, and turned a warning into a ban."""
    engine.simulator.fault("ban", retry_after=120)
    _, order = engine.limit("BUY", "0.01", "59000.00")
    drain("submit-binance")
    assert HostPause.objects.get().banned
    before = all_calls(engine)
    other = processes.manage("sync_balances", engine.account.name)
    assert other.process.wait(60) != 0
    assert "banned" in other.output() or "418" in other.output(), other.output()
    rounds(2)
    assert all_calls(engine) == before
    assert status(engine, order["id"]) == "pending"
    lift_faults(engine)
    HostPause.objects.update(until=LONG_AGO)
    rounds()
    assert status(engine, order["id"]) == "open"


@pytest.mark.parametrize("skew_ms", [400, -400])
def test_complaint_25_a_clock_that_is_off_is_made_good_in_every_stamp(venue: Engine, skew_ms: int) -> None:
    """The computer's clock was off, and the exchange refused every request."""
    venue.simulator.fault("clock_skew", call="*", ms=skew_ms)
    HostClock.objects.all().delete()
    StampSequence.objects.all().delete()  # stamps never go back, and those of the seeding are ahead
    _, order = venue.limit("BUY", "0.01", "60010")
    before = clock.now_ms()
    drain(f"submit-{venue.account.exchange}")
    stamp_ms = Attempt.objects.get().stamp_ms
    # By the exchange's clock, give or take half a round trip.
    assert before + skew_ms - 200 <= stamp_ms <= clock.now_ms() + skew_ms + 200
    rounds(2)
    assert status(venue, order["id"]) == "settled"
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"accepted"}
    assert_all_over(venue)


@pytest.mark.parametrize("skew_ms", [4000, -4000])
def test_complaint_25_with_clocks_far_apart_nothing_is_sent_until_they_agree(venue: Engine, skew_ms: int) -> None:
    """Far off, requests went out all the same, were refused, and were taken for refused orders."""
    venue.simulator.fault("clock_skew", call="*", ms=skew_ms)
    HostClock.objects.all().delete()
    _, order = venue.limit("BUY", "0.01", "60010")
    _, forgotten = venue.limit("BUY", "0.01", "60010", valid_for=1)
    drain(f"submit-{venue.account.exchange}")
    assert {status(venue, placed["id"]) for placed in (order, forgotten)} == {"pending"}
    with clock.using(clock.ManualClock(datetime.now(UTC) + timedelta(seconds=2))):
        sweeping.expire_stale_intents()
    document = venue.order(forgotten["id"])
    assert (document["status"], document["reason"]) == ("denied", "STALE_INTENT")
    assert calls(venue, PLACE[venue.account.exchange]) == 0
    lift_faults(venue)
    HostClock.objects.update(sampled_at=LONG_AGO)
    rounds(3)
    assert status(venue, order["id"]) == "settled"
    assert len(orders_at_exchange(venue)) == 1


def test_complaint_26_many_workers_of_one_key_never_use_a_stamp_twice(turk: Engine) -> None:
    """ "Invalid nonce": requests of one key were made in the same millisecond, or overtook each other."""
    # Time stands still, so that every request falls into the same millisecond.
    with clock.using(StillClock()):
        commands = []
        for number in range(8):
            _, order = turk.limit("BUY", "0.001", str(58000 + number))
            commands.append(Command.objects.get(order_id=order["id"]).id)
        outcomes = together(8, lambda number: send_command(commands[number]))
        assert sum(outcome is not None for outcome in outcomes) > 1, "the budget lets several go at once"
        rounds(3)
    assert set(Order.objects.values_list("status", flat=True)) == {"open"}
    stamps = list(Attempt.objects.values_list("stamp_ms", flat=True))
    assert len(set(stamps)) == len(stamps) == 8
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"accepted"}


def test_complaint_26_stamps_of_reads_and_writes_grow_in_one_row(turk: Engine) -> None:
    """The same, where the exchange wants every stamp to be greater than the one before, whatever it is for."""
    turk.simulator.call("POST", "/sim/btcturk", {"stamps": "increasing"})
    with clock.using(StillClock()):
        working = resting(turk)
        turk.limit("BUY", "0.001", "60010")
        prints(turk, "59000", "0.01", "SELL")
        turk.request("DELETE", f"order/{working}")
        rounds(3)
        turk.refresh()
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"accepted"}
    assert set(Order.objects.values_list("status", flat=True)) == {"settled"}
    assert_all_over(turk)


def test_complaint_27_people_and_workers_at_once_lock_nobody_out_and_mix_no_sizes(engine: Engine) -> None:
    """ "Database is locked" between web and workers; and sizes of one order that turned up in another."""
    people, each, workers = 4, 4, 2

    def person(number: int) -> list[tuple[str, str]]:
        own = Engine(engine.simulator, engine.account, engine.api_key, Client())
        placed = []
        for turn in range(each):
            quantity = f"0.00{10 + number * each + turn}"
            code, order = own.limit("BUY" if turn % 2 else "SELL", quantity, "60010.00" if turn % 2 else "60000.00")
            assert code == 202, order
            placed.append((order["id"], quantity))
            for path in ("positions", "orders", "fills"):
                assert own.request("GET", path)[0] == 200
        return placed

    def worker() -> list[tuple[str, str]]:
        deadline = clock.monotonic() + 60
        while Attempt.objects.exclude(outcome="").count() < people * each:
            assert clock.monotonic() < deadline, "the workers do not come to an end"
            for command_id in Command.objects.filter(status="queued").values_list("id", flat=True):
                send_command(command_id)
        return []

    placed = dict(
        row for rows in together(people + workers, lambda n: person(n) if n < people else worker()) for row in rows
    )
    assert len(placed) == people * each
    told = {row["client_order_id"]: row for row in orders_at_exchange(engine)}
    assert len(told) == len(placed)
    for row in ExchangeOrder.objects.select_related("order"):
        wanted = D(placed[str(row.order_id)])
        assert D(told[row.client_order_id]["quantity"]) == wanted
        assert sum(Fill.objects.filter(order_id=row.order_id).values_list("quantity", flat=True)) == wanted
    assert_all_over(engine)


def everything_twice() -> None:
    """Run what is queued, every task two times at once, and once more at the end; also what that leads to."""
    kept = []
    while (row := OrmQ.objects.order_by("id").first()) is not None:
        row.delete()
        package = SignedPackage.loads(row.payload)
        task, arguments = import_string(package["func"]), package["args"]
        together(2, lambda _number, task=task, arguments=arguments: task(*arguments))
        kept.append((task, arguments))
    for task, arguments in kept:
        task(*arguments)


def test_complaint_28_every_task_delivered_again_and_again_does_its_work_once(venue: Engine) -> None:
    """The queue ran a task twice, and twice was what happened."""
    _, bought = venue.limit("BUY", "0.02", "60010")
    _, working = venue.limit("BUY", "0.03", "59000")
    everything_twice()
    prints(venue, "59000", "0.01", "SELL")
    code, document = venue.request("PATCH", f"order/{working['id']}", {"quantity": "0.05", "price": "59100"})
    assert code == 202, document
    for _ in range(4):
        make_due()
        sweeping.ring_due_commands()
        sweeping.ring_following()
        everything_twice()
    assert working_at_exchange(venue) == [D("0.04")]
    venue.request("DELETE", f"order/{working['id']}")
    for _ in range(3):
        make_due()
        sweeping.ring_due_commands()
        everything_twice()
    rounds(3)
    assert {row["status"] for row in venue.request("GET", "orders")[1]["orders"]} == {"settled"}
    assert venue.order(bought["id"])["filled_quantity"] == "0.02"
    assert len(orders_at_exchange(venue)) == 3
    assert Fill.objects.count() == 2
    assert_all_over(venue)


UNANSWERED: list[dict[str, Any]] = [
    {"kind": "drop_before"},
    {"kind": "drop_before", "reset": True},
    {"kind": "drop_after"},
    {"kind": "status", "status": 503, "headers": {"Retry-After": "0"}},
    {"kind": "status", "status": 307, "headers": {"Location": "/api/v3/order"}},
]


@pytest.mark.parametrize("given", UNANSWERED)
def test_complaint_46_a_placement_goes_over_the_wire_once_whatever_comes_back(
    venue: Engine, given: dict[str, Any]
) -> None:
    """A shared HTTP client repeated the POST of an order by itself, and one of them for ever."""
    fault(venue, times=None, **given)
    venue.limit("BUY", "0.01", "59000")
    drain()
    rounds(3)
    assert calls(venue, PLACE[venue.account.exchange]) == 1
    assert Attempt.objects.filter(kind="submit").count() == 1


@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
@pytest.mark.parametrize(
    ("call", "body"), [(REPLACE, {"price": "59100.00"}), (AMEND, {"quantity": "0.02"}), (CANCEL["binance"], None)]
)
def test_complaint_46_every_other_write_goes_over_the_wire_once_per_attempt_on_record(
    engine: Engine, call: str, body: dict[str, str] | None, kind: str
) -> None:
    """The same for replaces, amendments and cancels: what is asked again is asked by us, and is on record."""
    order_id = resting(engine)
    engine.simulator.fault(kind, call=call, times=2)
    engine.request("DELETE" if body is None else "PATCH", f"order/{order_id}", body)
    drain("cancel")
    attempts = Attempt.objects.exclude(kind="submit")
    assert calls(engine, call) == attempts.count() == 1
    rounds(3)
    assert calls(engine, call) == attempts.count()


def test_complaint_47_funds_of_working_orders_are_not_offered_to_the_exchange_again(turk: Engine) -> None:
    """An obscure code meant that the balance was locked in other orders; reserving it here needs no code."""
    resting(turk, "10", "59000")
    (balance,) = turk.request("GET", "balances?asset=USDT")[1]["balances"]
    assert D(balance["reserved"]) >= 590_000
    code, problem = turk.limit("BUY", "10", "59000")
    assert (code, problem["code"]) == (422, "INSUFFICIENT_FUNDS")
    drain()
    assert calls(turk, PLACE["btcturk"]) == 1


@pytest.mark.parametrize("number", [1122, 1123, 0])
def test_complaint_47_the_obscure_code_is_said_in_plain_words(turk: Engine, number: int) -> None:
    """The same: should the exchange say it all the same, its word is translated, whatever number it carries."""
    fault(turk, "reject", code=number, msg="FAILED_ORDER_WITH_OPEN_ORDERS")
    _, order = turk.limit("BUY", "0.01", "59000")
    drain()
    document = turk.order(order["id"])
    assert (document["status"], document["reason"]) == ("rejected", "INSUFFICIENT_FUNDS")
    assert reserved(turk) == {}


def test_complaint_47_a_market_buy_spends_the_quote_amount_and_never_takes_it_for_a_size(turk: Engine) -> None:
    """The quantity of a market buy is money there, not coins: 600 USDT became 600 BTC."""
    code, problem = turk.place(side="BUY", quantity="0.01")
    assert (code, problem["code"]) == (400, "NOT_SUPPORTED")
    before = holdings(turk)["USDT"]
    code, order = turk.place(side="BUY", quote_quantity="600")
    assert code == 202, order
    assert 600 <= reserved(turk)["USDT"] < 601
    drain()
    rounds(2)
    spent = before - holdings(turk)["USDT"]
    assert D(599) < spent <= 600
    assert D("0.0098") < D(turk.order(order["id"])["filled_quantity"]) < D("0.01")
    assert_all_over(turk)
    assert_books_equal_the_exchange(turk)
