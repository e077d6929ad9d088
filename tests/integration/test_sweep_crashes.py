"""A process that dies at a commit boundary of an ingest or a sweep: after a restart the books equal the exchange,
nothing was posted twice, and nothing stays reserved."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from django_q.models import OrmQ

from execution_project import stream_hints
from execution_project.common import clock
from orders import following, killing, sweeping, tasks
from orders.models import Attempt, Command, Order
from orders.queues import housekeeping_queue, ring_reading
from positions.models import Fill
from risk.models import State, TradingState
from tests.crashing import kill_at
from tests.engines import BY, Engine, drain, reserved
from tests.exchanges.streams.fleets import RunningFleet, await_connected, give_stream
from tests.processes import Processes
from tests.regressions.rounds import (
    LONG_AGO,
    assert_all_over,
    make_due,
    prints,
    restart,
    resting,
    rounds,
    status,
)
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

AROUND_INGEST = ["before_ingest", "before_ingest_commit", "after_ingest"]


def fills_at_exchange(engine: Engine) -> int:
    """How many trades the exchange has of the account."""
    return len(engine.simulator.call("GET", f"/sim/trades?account={engine.account.name}"))


def comes_to_rest(engine: Engine) -> None:
    """After a restart everything ends as it would have: each fill booked once, each order sent once at most."""
    restart()
    rounds()
    assert Fill.objects.count() == fills_at_exchange(engine)
    engine.request("DELETE", f"orders?account={engine.account.name}")
    left = Order.objects.exclude(status__in=["settled", "denied", "rejected"])
    wait_until(lambda: (rounds(), not left.exists())[1], 30, "every order to be over")
    assert Fill.objects.count() == fills_at_exchange(engine)
    assert_all_over(engine)


# ---------------------------------------------------------------------------------------------------------- the ingest


@pytest.mark.parametrize("moment", AROUND_INGEST)
def test_killed_while_following(engine: Engine, tmp_path: Path, moment: str) -> None:
    order = resting(engine)
    prints(engine, "58990", "0.01", "SELL")
    make_due()
    kill_at(moment, partial(tasks.follow, engine.account.pk), tmp_path)
    booked = 1 if moment == "after_ingest" else 0
    assert Fill.objects.filter(order_id=order).count() == booked
    prints(engine, "58990", "0.02", "SELL")
    comes_to_rest(engine)
    assert engine.order(order)["filled_quantity"] == "0.03"


def test_killed_while_following_before_the_task_is_acknowledged(engine: Engine, processes: Processes) -> None:
    order = resting(engine)
    prints(engine, "58990", "0.01", "SELL")
    flag = processes.folder / "armed"
    flag.touch()
    OrmQ.objects.all().delete()
    assert ring_reading("binance", f"follow:{engine.account.pk}", "orders.tasks.follow", engine.account.pk)
    cluster = processes.manage("run_cluster", "housekeeping-binance", EXEC_FAULT_HOOK=f"after_ingest@{flag}")
    wait_until(lambda: not flag.exists(), 60, "a worker to die after its commit")
    cluster.terminate()
    assert (
        OrmQ.objects.get(key=housekeeping_queue("binance"), lock__lte=clock.now()).task["func"] == "orders.tasks.follow"
    )
    assert Fill.objects.filter(order_id=order).count() == 1
    prints(engine, "58990", "0.02", "SELL")
    comes_to_rest(engine)


@pytest.mark.parametrize("moment", AROUND_INGEST)
def test_streams_killed_with_an_event_in_hand(engine: Engine, tmp_path: Path, moment: str) -> None:
    give_stream(engine.account)
    order = resting(engine)

    def stream() -> None:
        with RunningFleet(stream_hints.handlers()):
            await_connected(engine.account.name)
            prints(engine, "58990", "0.01", "SELL")
            wait_until(lambda: False, 30, "the event")

    kill_at(moment, stream, tmp_path)
    assert Fill.objects.filter(order_id=order).count() == (1 if moment == "after_ingest" else 0)
    prints(engine, "58990", "0.02", "SELL")
    comes_to_rest(engine)


@pytest.mark.parametrize("moment", [*AROUND_INGEST, "before_settling_commit", "after_settling"])
def test_killed_while_settling(engine: Engine, tmp_path: Path, moment: str) -> None:
    _, order = engine.place(side="SELL")
    drain("submit-binance")
    make_due()
    kill_at(moment, partial(following.settle_account, engine.account), tmp_path)
    assert status(engine, order["id"]) == ("settled" if moment == "after_settling" else "filled")
    comes_to_rest(engine)


# ---------------------------------------------------------------------------------------------------------- the sweeps


@pytest.mark.parametrize("moment", ["before_ringing_commit", "after_ringing"])
def test_killed_while_ringing_again(engine: Engine, tmp_path: Path, moment: str) -> None:
    _, order = engine.limit("BUY", "0.01", "59000.00", valid_for=3600)
    OrmQ.objects.all().delete()
    make_due()
    kill_at(moment, sweeping.ring_due_commands, tmp_path)
    rung = moment == "after_ringing"
    assert (OrmQ.objects.exists(), Command.objects.filter(rung_at=LONG_AGO).exists()) == (rung, not rung)
    # The next ticker takes over: no start, which would outrank what was not sent.
    rounds()
    assert status(engine, order["id"]) == "open"
    comes_to_rest(engine)
    assert engine.simulator.posted() == {Order.objects.get().exchange_orders.get().client_order_id: 1}
    assert status(engine, order["id"]) == "settled"


@pytest.mark.parametrize("moment", ["before_expiry_commit", "after_expiry"])
def test_killed_while_ending_what_is_stale(engine: Engine, tmp_path: Path, moment: str) -> None:
    orders = [engine.limit("BUY", "0.01", "59000.00")[1]["id"] for _ in range(2)]
    Order.objects.update(valid_until=LONG_AGO)
    kill_at(moment, sweeping.expire_stale_intents, tmp_path)
    denied = Order.objects.filter(status="denied").count()
    assert denied == (1 if moment == "after_expiry" else 0)
    assert len(reserved(engine)) == 1
    comes_to_rest(engine)
    assert [status(engine, order) for order in orders] == ["denied", "denied"]
    assert engine.simulator.posted() == {}


@pytest.mark.parametrize("moment", ["before_recovery_commit", "after_recovery"])
@pytest.mark.parametrize("kind", ["submit", "cancel"])
def test_killed_while_recovering_what_a_killed_worker_left(
    engine: Engine, tmp_path: Path, kind: str, moment: str
) -> None:
    if kind == "submit":
        _, document = engine.limit("BUY", "0.03", "59000.00", valid_for=3600)
        order = document["id"]
    else:
        order = resting(engine)
        engine.request("DELETE", f"order/{order}")
    kill_at("after_send", partial(drain, "submit-binance", "cancel"), tmp_path)
    Attempt.objects.filter(outcome="").update(send_by=LONG_AGO)
    kill_at(moment, sweeping.recover_silent_claims, tmp_path)
    command = Command.objects.get(kind=kind)
    given_up = {"submit": "unknown", "cancel": "queued"}[kind]
    assert command.status == (given_up if moment == "after_recovery" else "claimed")
    if kind == "submit":
        prints(engine, "58990", "0.03", "SELL")
    comes_to_rest(engine)
    assert engine.order(order)["ended_as"] == {"submit": "filled", "cancel": "canceled"}[kind]
    assert set(engine.simulator.posted().values()) == {1}


@pytest.mark.parametrize("moment", ["before_resumption_commit", "after_resumption"])
def test_killed_while_resuming_what_was_answered(engine: Engine, tmp_path: Path, moment: str) -> None:
    order = resting(engine)
    engine.request("DELETE", f"order/{order}")
    prints(engine, "58990", "0.03", "SELL")
    # The refusal of the cancel is stored, and nobody has asked about the order yet.
    kill_at("after_answer", partial(drain, "cancel"), tmp_path)
    Attempt.objects.filter(kind="cancel").update(answered_at=LONG_AGO)
    kill_at(moment, sweeping.resume_answered_commands, tmp_path)
    assert Command.objects.get(kind="cancel").status == ("queued" if moment == "after_resumption" else "claimed")
    comes_to_rest(engine)
    assert (engine.order(order)["ended_as"], engine.order(order)["filled_quantity"]) == ("filled", "0.03")


@pytest.mark.parametrize("moment", ["before_cancel_request_commit", "after_cancel_request"])
@pytest.mark.parametrize(
    "act",
    [
        pytest.param(partial(killing.kill, "global", "", reason="a test", by=BY), id="kill"),
        pytest.param(killing.cancel_in_latched_scopes, id="sweep"),
    ],
)
def test_killed_while_ending_all_in_a_latched_scope(
    engine: Engine, tmp_path: Path, act: Callable[[], object], moment: str
) -> None:
    """The kill that dies after its latch, and the sweep that went on with it and dies as well."""
    orders = [resting(engine, price=price) for price in ("59000.00", "58000.00")]
    _, unsent = engine.limit("BUY", "0.01", "57000.00", valid_for=3600)
    if act is killing.cancel_in_latched_scopes:
        kill_at("before_cancel_request_commit", partial(killing.kill, "global", "", reason="a test", by=BY), tmp_path)
    kill_at(moment, act, tmp_path)
    latched = TradingState.objects.get(scope_kind="global")
    assert (latched.state, latched.latched) == (State.HALTED, True)
    asked = Command.objects.filter(kind="cancel").count() + Order.objects.filter(status="canceled").count()
    assert asked == (1 if moment == "after_cancel_request" else 0)
    OrmQ.objects.all().delete()
    killing.cancel_in_latched_scopes()
    rounds(3)
    assert {engine.order(order)["ended_as"] for order in (*orders, unsent["id"])} == {"canceled"}
    assert_all_over(engine)
    assert len(engine.simulator.posted()) == 2
