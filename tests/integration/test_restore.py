"""A database restored from an older backup: halted, what it forgot is adopted, no client order id is used again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from django_q.models import OrmQ

from exchanges import rate_budget
from exchanges.connections import host_of
from exchanges.models import RateWindow
from exchanges.syncing import sync_balances
from execution_project.common import clock, installation
from execution_project.common.models import Event, Installation
from orders import boot, sweeping
from orders.models import Attempt, Break, Command, ExchangeOrder, Order
from orders.reconciliation import reconcile, wanted_cursors
from positions.models import Fill
from risk.boot_halt import accounts_halted_for_boot
from risk.models import TradingState
from risk.trading_state import halt
from tests.engines import BY, Engine, drain, holdings, make_engine, reserved
from tests.simulators import Simulator
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e
D = Decimal


@pytest.fixture(params=["binance", "btcturk"])
def venue(request: pytest.FixtureRequest, transactional_db: None, simulator: Simulator) -> Engine:
    """A seeded engine of each exchange."""
    return make_engine(simulator, exchange=request.param)


def _sql(*statements: str) -> None:
    """Statements about databases, from a connection to another database and as the server's owner."""
    with _elsewhere() as cursor:
        for statement in statements:
            cursor.execute(statement)


@contextmanager
def _elsewhere() -> Iterator[Any]:
    name = connection.settings_dict["NAME"]
    connection.close()
    parameters = connection.get_connection_params()
    wanted = {key: parameters[key] for key in ("host", "port", "user", "password") if key in parameters}
    with psycopg.connect(dbname="postgres", autocommit=True, **wanted) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        yield cursor


@pytest.fixture
def backup() -> Iterator[Any]:
    """``take()`` copies the whole database as it stands; ``put_back()`` puts the copy in its place."""
    name = connection.settings_dict["NAME"]
    copy, lost = f"{name}_backup", f"{name}_lost"

    def take() -> None:
        _sql(f'DROP DATABASE IF EXISTS "{copy}"', f'CREATE DATABASE "{copy}" TEMPLATE "{name}"')

    def put_back() -> None:
        _sql(f'ALTER DATABASE "{name}" RENAME TO "{lost}"', f'ALTER DATABASE "{copy}" RENAME TO "{name}"')
        _sql(f'DROP DATABASE "{lost}" WITH (FORCE)')

    yield take, put_back
    _sql(f'DROP DATABASE IF EXISTS "{copy}"')
    installation.prefix.cache_clear()


def state_of(engine: Engine) -> str:
    row = TradingState.objects.filter(scope_kind="account", scope_key=engine.account.name).first()
    return "ACTIVE" if row is None else row.state


def start_up() -> None:
    """What the ticker of a new start does first, and what it rings."""
    boot.boot()
    boot.ring_boot_reconciliations()
    drain()


# --------------------------------------------------------------------------------------------------------------- start


def test_a_start_halts_until_all_parts_are_reconciled(venue: Engine) -> None:
    assert boot.boot() == 1
    row = TradingState.objects.get()
    assert (row.state, row.changed_by, row.reason) == ("HALTED", "engine:boot", "reconciling after start")
    status, problem = venue.limit("BUY", "0.01", "50000.00")
    assert (status, problem["code"]) == (422, "TRADING_HALTED")
    boot.ring_boot_reconciliations()
    drain()
    assert state_of(venue) == "ACTIVE"
    assert venue.limit("BUY", "0.01", "50000.00")[0] == 202


def test_a_start_stays_halted_while_a_part_fails(engine: Engine) -> None:
    engine.simulator.fault("status", call="GET /api/v3/myTrades", times=3, status=503, code=-1000, msg="down")
    start_up()
    assert state_of(engine) == "HALTED"
    engine.simulator.call("DELETE", "/sim/faults")
    boot.ring_boot_reconciliations()
    drain()
    assert state_of(engine) == "ACTIVE"


def grant(engine: Engine, weight: int) -> None:
    """Leave so much of the rate budget."""
    limit = rate_budget.WEIGHT.limit * (100 - rate_budget.RESERVED_PERCENT) // 100
    RateWindow.objects.filter(subject=host_of(engine.account), kind="weight_1m").update(used=limit - weight)


def test_a_start_goes_on_where_the_rate_budget_ended(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    # One window for the whole test, whatever minute ends in it.
    monkeypatch.setattr(rate_budget, "WEIGHT", rate_budget.Window("weight_1m", timedelta(days=1), 6000))
    sync_balances(engine.account)
    before = reads(engine)
    boot.boot()
    assert boot.finish_boot(engine.account)
    in_one_go = reads(engine) - before
    boot.boot()
    before = reads(engine)
    rounds = 0
    while accounts_halted_for_boot() and rounds < 20:
        grant(engine, 100)
        boot.ring_boot_reconciliations()
        drain()
        rounds += 1
    assert state_of(engine) == "ACTIVE"
    assert rounds > 1
    asked = reads(engine) - before
    for call in ("GET /api/v3/myTrades", "GET /api/v3/openOrders", "GET /api/v3/account"):
        assert asked[call] == in_one_go[call] > 0, "nothing is asked for twice"


def test_a_second_start_compares_again_what_the_first_one_did(engine: Engine) -> None:
    boot.boot()
    reconcile(engine.account, parts=("orders", "trades"), by=BY)
    before = reads(engine)
    boot.boot()
    assert boot.finish_boot(engine.account)
    asked = reads(engine) - before
    assert asked["GET /api/v3/myTrades"] >= len(wanted_cursors(engine.account)) > 0
    assert asked["GET /api/v3/openOrders"] == 1


def reads(engine: Engine) -> Counter[str]:
    return Counter(engine.simulator.call("GET", "/sim/counters")["calls"])


def test_orders_queued_before_a_start_are_outranked(engine: Engine) -> None:
    _, order = engine.place()
    start_up()
    document = engine.order(order["id"])
    assert (document["status"], document["reason"]) == ("denied", "TRADING_HALTED")
    assert engine.simulator.posted() == {}


@pytest.mark.parametrize("latched", [False, True])
def test_a_halt_in_between_stays(engine: Engine, latched: bool) -> None:
    boot.boot()
    halt("account", engine.account.name, reason="an operator", by=BY, latched=latched)
    assert boot.finish_boot(engine.account) is False
    row = TradingState.objects.get()
    assert (row.state, row.latched, row.changed_by) == ("HALTED", latched, BY.name)


def test_a_halt_before_the_start_stays(engine: Engine) -> None:
    halt("account", engine.account.name, reason="an operator", by=BY)
    assert boot.boot() == 0
    assert accounts_halted_for_boot() == []
    assert boot.finish_boot(engine.account) is False
    assert state_of(engine) == "HALTED"


def test_a_start_gives_back_reduce_only(engine: Engine) -> None:
    TradingState.objects.create(
        scope_kind="account",
        scope_key=engine.account.name,
        state="REDUCE_ONLY",
        changed_by="user:risk",
        changed_at=clock.now(),
    )
    boot.boot()
    boot.boot()  # a crash in the start
    assert boot.finish_boot(engine.account)
    assert state_of(engine) == "REDUCE_ONLY"


# ------------------------------------------------------------------------------------------------------------- restore


def test_a_restored_database_adopts_what_it_forgot_and_catches_up(venue: Engine, backup: Any) -> None:
    take, put_back = backup
    _, resting = venue.limit("BUY", "0.1", "59000.00")
    drain()
    take()
    before = installation.prefix()
    # Since the backup: a fill, a new order that works, and one that was filled.
    venue.simulator.trade("BTCUSDT", "58990", "0.04", "SELL", exchange=venue.account.exchange)
    venue.limit("BUY", "0.02", "58000.00")
    venue.limit("BUY", "0.03", "60010.00")
    drain()
    forgotten = set(venue.simulator.posted())
    put_back()
    assert Order.objects.count() == 1
    assert Fill.objects.count() == 0
    start_up()
    assert state_of(venue) == "ACTIVE"
    assert venue.order(resting["id"])["filled_quantity"] == "0.04"
    adopted = Order.objects.filter(origin="adopted")
    assert sorted(str(order.status) for order in adopted) == ["filled", "open"]
    assert set(ExchangeOrder.objects.values_list("client_order_id", flat=True)) == forgotten
    assert set(Break.objects.filter(kind="adopted_order").values_list("severity", flat=True)) == {"informational"}
    assert holdings(venue) == venue.simulator.balances(venue.account.name)
    assert reconcile(venue.account, by=BY).succeeded
    assert not Break.objects.filter(kind="balance_mismatch").exists()
    assert installation.prefix() != before
    assert before in installation.known_prefixes()


def test_no_client_order_id_is_used_again_after_a_restore(venue: Engine, backup: Any) -> None:
    """What waits in the backup went out since: it is looked for, and never posted a second time."""
    take, put_back = backup
    _, resting = venue.limit("BUY", "0.1", "59000.00")
    take()
    drain()
    assert set(venue.simulator.posted().values()) == {1}
    put_back()
    queue = f"submit-{venue.account.exchange}"
    # A worker is faster than the start: the claim itself refuses.
    drain(queue)
    assert venue.order(resting["id"])["status"] == "pending"
    assert OrmQ.objects.filter(key=queue).count() == 0
    start_up()
    assert venue.order(resting["id"])["status"] == "open"
    assert set(venue.simulator.posted().values()) == {1}
    assert reserved(venue)["USDT"] >= 5900
    assert Break.objects.count() == 0


def test_what_waited_and_never_went_out_is_proven_absent(engine: Engine, backup: Any) -> None:
    take, put_back = backup
    _, order = engine.place(quantity="0.01")
    take()
    put_back()
    start_up()
    document = engine.order(order["id"])
    assert document["status"] == "submit_unknown"
    assert Attempt.objects.get().worker == "before the restore"
    assert reserved(engine)["USDT"] > 0
    assert engine.simulator.posted() == {}
    assert Command.objects.get().status == "unknown"
    Attempt.objects.update(recv_window_ms=0)
    rounds = 0
    while engine.order(order["id"])["status"] == "submit_unknown" and rounds < 20:
        ExchangeOrder.objects.update(look_next_at=clock.now() - timedelta(seconds=1))
        sweeping.ring_probes()
        drain()
        rounds += 1
        _let_the_bounds_pass()
    assert engine.order(order["id"])["status"] == "rejected"
    assert engine.simulator.posted() == {}


def _let_the_bounds_pass() -> None:
    start = clock.now()
    wait_until(lambda: clock.now() - start > timedelta(milliseconds=250), 5, "the simulator's gap between rounds")


def test_a_replacement_after_a_restore_takes_an_id_of_the_new_prefix(engine: Engine, backup: Any) -> None:
    """Both replaced the same order to the same generation: only the prefix keeps the ids apart."""
    take, put_back = backup
    _, order = engine.limit("BUY", "0.1", "59000.00")
    drain()
    take()
    engine.request("PATCH", f"order/{order['id']}", {"price": "59100.00"})
    drain()
    put_back()
    start_up()
    # The old exchange order was replaced; the new one is there under its own id.
    assert engine.order(order["id"])["ended_as"] == "canceled"
    alive = Order.objects.get(origin="adopted")
    status, _ = engine.request("PATCH", f"order/{alive.id}", {"price": "59200.00"})
    assert status == 202
    drain()
    posted = engine.simulator.posted()
    assert len(posted) == 3
    assert set(posted.values()) == {1}
    assert Order.objects.get(id=alive.id).price == D("59200")


def test_a_replace_that_went_out_since_the_backup_is_found(venue: Engine, backup: Any) -> None:
    """It waits in the backup; what it placed takes the old one's place instead of being taken for a stranger's."""
    take, put_back = backup
    _, order = venue.limit("BUY", "0.1", "59000.00")
    drain()
    assert venue.request("PATCH", f"order/{order['id']}", {"price": "59100.00"})[0] == 202
    take()
    drain()
    assert set(venue.simulator.posted().values()) == {1}
    placed = set(venue.simulator.posted())
    assert len(placed) == 2
    put_back()
    start_up()
    stored = Order.objects.get()
    assert (str(stored.id), stored.status, stored.price) == (order["id"], "open", D("59100"))
    assert Command.objects.get(kind="replace").status == "done"
    assert set(venue.simulator.posted()) == placed
    # BTCTurk takes the fee of a buy in quote.
    assert D(5910) <= reserved(venue)["USDT"] < D(5930)
    assert venue.request("DELETE", f"order/{order['id']}")[0] == 202
    drain()
    assert venue.order(order["id"])["status"] == "canceled"
    assert reserved(venue) == {}


def test_a_replace_that_never_went_out_is_looked_for_until_it_is_proven_absent(engine: Engine, backup: Any) -> None:
    take, put_back = backup
    _, order = engine.limit("BUY", "0.1", "59000.00")
    drain()
    engine.request("PATCH", f"order/{order['id']}", {"price": "59100.00"})
    take()
    put_back()
    start_up()
    command = Command.objects.get(kind="replace")
    assert (command.status, engine.order(order["id"])["status"]) == ("unknown", "open")
    assert reserved(engine) == {"USDT": D(5910)}, "either of the two may work"
    Attempt.objects.update(recv_window_ms=0)
    for _ in range(20):
        ExchangeOrder.objects.update(look_next_at=clock.now() - timedelta(seconds=1))
        sweeping.ring_probes()
        drain()
        if Command.objects.get(kind="replace").status == "done":
            break
        _let_the_bounds_pass()
    assert Command.objects.get(kind="replace").status == "done"
    document = engine.order(order["id"])
    assert (document["status"], document["price"]) == ("open", "59000")
    assert reserved(engine) == {"USDT": D(5900)}
    assert len(engine.simulator.posted()) == 1


def test_a_restore_that_cannot_be_noticed_is_told_by_hand(engine: Engine) -> None:
    _, order = engine.place(quantity="0.01")
    before = installation.prefix()
    fresh, looked_for = boot.after_restore(by=BY)
    assert (looked_for, fresh != before, installation.prefix()) == (1, True, fresh)
    assert engine.order(order["id"])["status"] == "submit_unknown"
    assert state_of(engine) == "HALTED"
    assert Event.objects.filter(kind="installation.prefix_changed", from_status=before).count() == 1


def test_the_same_database_keeps_its_prefix(engine: Engine) -> None:
    before = installation.prefix()
    installation.prefix.cache_clear()
    assert installation.prefix() == before
    assert Installation.objects.get().database == installation.database_identity()
    assert settings.EXEC_ON_BOOT == "orders.boot.boot"
