"""The same way through real processes: gunicorn, two submit clusters, cancel and housekeeping, ticker, simulator."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from exchanges.models import Quote
from execution_project.common import clock
from orders.models import Attempt, Order
from risk.models import Reservation
from tests import web
from tests.engines import Engine, holdings, reserved, started
from tests.processes import Processes
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

CLIENTS = 4
ORDERS_EACH = 6


def call(engine: Engine, base: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """One HTTP call with the engine's key, as a new request."""
    return web.call(base, engine.api_key, method, path, body, **{"Idempotency-Key": str(uuid4())})


def test_two_clusters_and_four_clients_at_once(engine: Engine, processes: Processes) -> None:
    for queue in ("submit-binance", "submit-binance", "cancel-binance", "probe-binance", "housekeeping-binance"):
        processes.manage("run_cluster", queue)
    processes.manage("run_ticker")
    base = web.start_web(processes)
    placed_at = clock.now()
    wait_until(lambda: Quote.objects.filter(confirmed_at__gt=placed_at).exists(), 30, "the ticker to bring quotes")
    wait_until(started, 30, "the start to be reconciled")
    orders: list[str] = []
    together = threading.Barrier(CLIENTS)

    def client(number: int) -> None:
        together.wait()
        for turn in range(ORDERS_EACH):
            body: dict[str, Any] = {"account": engine.account.name, "symbol": "BTCUSDT", "quantity": "0.01"}
            resting = turn % 3 == 0
            if resting:
                body |= {"side": "BUY", "type": "LIMIT", "price": "59000.00", "time_in_force": "GTC"}
            else:
                body |= {"side": "BUY" if number % 2 else "SELL", "type": "MARKET"}
            status, document = call(engine, base, "POST", "order?wait=10", body)
            assert status in {200, 202}, document
            orders.append(document["id"])
            if resting:
                status, document = call(engine, base, "DELETE", f"order/{document['id']}")
                assert status in {200, 202}, document

    with ThreadPoolExecutor(CLIENTS) as pool:
        for done in [pool.submit(client, number) for number in range(CLIENTS)]:
            done.result()
    assert len(set(orders)) == CLIENTS * ORDERS_EACH

    def all_settled() -> bool:
        return Order.objects.filter(id__in=orders, status="settled").count() == len(orders)

    wait_until(all_settled, 60, "every order to be settled")
    assert set(engine.simulator.posted().values()) == {1}
    assert len(engine.simulator.posted()) == len(orders)
    assert reserved(engine) == {}
    assert holdings(engine) == engine.simulator.balances(engine.account.name)
    _, document = call(engine, base, "GET", "fills?limit=1000")
    assert len(document["fills"]) == len(engine.simulator.call("GET", f"/sim/trades?account={engine.account.name}"))


@pytest.mark.drill
@pytest.mark.parametrize("moment", ["after_claim", "after_send", "before_answer_commit", "after_answer"])
def test_worker_killed_at_every_boundary_never_posts_twice(engine: Engine, processes: Processes, moment: str) -> None:
    """Invariant 1: whatever is killed and whenever, a client order id reaches the exchange at most once."""
    flag = processes.folder / "armed"
    flag.touch()
    processes.manage("run_cluster", "submit-binance", EXEC_FAULT_HOOK=f"{moment}@{flag}")
    # A sale of what is held needs no fresh price, however long the cluster takes to start.
    status, order = engine.place(side="SELL", quantity="0.01", valid_for=600)
    assert status == 202, order
    wait_until(lambda: not flag.exists(), 60, f"a worker to die {moment}")
    # The doorbell is delivered again by hand, more often than the broker ever would.
    for _ in range(3):
        connection.cursor().execute(
            "INSERT INTO django_q_ormq (key, payload, lock) SELECT key, payload, now() FROM django_q_ormq LIMIT 1"
        )
    processes.manage("run_cluster", "probe-binance")
    if moment != "after_answer":
        attempt = Attempt.objects.get()
        assert attempt.outcome == ""
        assert Reservation.objects.get(order_id=order["id"]).amount > 0
        Attempt.objects.update(send_by="2020-01-01T00:00:00Z")
        processes.manage("run_ticker")
    # What never left is proven absent, under the simulator's short bounds within seconds.
    expected = "rejected" if moment == "after_claim" else "filled"
    wait_until(lambda: engine.order(order["id"])["status"] == expected, 40, f"the order to be {expected}")
    sent = 0 if moment == "after_claim" else 1
    assert sum(engine.simulator.posted().values()) == sent
    assert Attempt.objects.filter(kind="submit").count() == 1
    assert holdings(engine) == engine.simulator.balances(engine.account.name)
