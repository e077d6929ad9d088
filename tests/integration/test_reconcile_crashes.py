"""A process that dies at a boundary of a reconciliation: the next one finishes, and nothing is booked twice."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from exchanges.freshness import freshness_of
from orders.models import Break, ExchangeOrder, Order
from orders.reconciliation import reconcile
from positions.models import Fill
from tests.engines import BY, Engine, drain, holdings
from tests.processes import Processes

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

MOMENTS = [
    "reconcile_orders_read",
    "before_adoption_commit",
    "after_adoption",
    "reconcile_trades_read",
    "reconcile_balances_read",
]


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_every_boundary_and_run_again(
    engine: Engine, processes: Processes, tmp_path: Path, moment: str
) -> None:
    _, order = engine.limit("BUY", "0.1", "59000.00")
    drain()
    engine.simulator.trade("BTCUSDT", "58990", "0.04", "SELL")
    foreign = {"account": engine.account.name, "symbol": "BTCUSDT", "side": "BUY"}
    working = {"type": "LIMIT", "price": "58000.00", "time_in_force": "GTC", "quantity": "0.02"}
    engine.simulator.call("POST", "/sim/orders", {**foreign, **working, "client_order_id": "web-1"})
    traded = {"type": "MARKET", "quantity": "0.03"}
    engine.simulator.call("POST", "/sim/orders", {**foreign, **traded, "client_order_id": "web-2"})
    before = freshness_of(engine.account)
    flag = tmp_path / "armed"
    flag.touch()
    killed = processes.manage("reconcile", "--account", engine.account.name, EXEC_FAULT_HOOK=f"{moment}@{flag}")
    assert killed.process.wait(60) == -signal.SIGKILL, killed.output()
    assert freshness_of(engine.account).balances_at == before.balances_at
    assert reconcile(engine.account, by=BY).succeeded
    assert reconcile(engine.account, by=BY).differences == []
    assert Order.objects.filter(origin="external").count() == 2
    assert ExchangeOrder.objects.count() == 3
    assert Break.objects.filter(kind="unknown_order").count() == 2
    assert engine.order(order["id"])["filled_quantity"] == "0.04"
    trades = engine.simulator.call("GET", f"/sim/trades?account={engine.account.name}&symbol=BTCUSDT")
    assert Fill.objects.count() == len(trades)
    assert holdings(engine) == engine.simulator.balances(engine.account.name)
