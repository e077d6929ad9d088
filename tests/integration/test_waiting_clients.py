"""Clients that wait for their orders hold up nobody who wants to stop trading."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from orders.models import Order
from risk.models import TradingState
from tests import web
from tests.factories import api_key, funded_account
from tests.processes import Processes
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True), pytest.mark.timeout(120)]
CLIENTS = 50
STOPS = 10
BOUND_S = 0.1


def test_with_fifty_waiting_clients_a_stop_commits_within_a_tenth_of_a_second(processes: Processes) -> None:
    """The best of ten stops counts: a wait behind the clients would slow every one of them, a busy machine does not."""
    account = funded_account(BTC="1")
    key = api_key(requests_per_second=1000)
    # Half of the threads may wait; nobody sends the orders, so that every client waits for its whole time.
    base = web.start_web(processes, threads=2 * CLIENTS)
    body = {"account": account.name, "symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": "0.001"}

    def client(number: int) -> tuple[int, Any]:
        return web.call(base, key, "POST", "order?wait=10", body, **{"Idempotency-Key": f"client-{number}"})

    with ThreadPoolExecutor(CLIENTS) as pool:
        waiting = [pool.submit(client, number) for number in range(CLIENTS)]
        wait_until(lambda: Order.objects.filter(status="pending").count() == CLIENTS, 20, "every order to be placed")
        took = []
        for turn in range(STOPS):
            began = time.perf_counter()
            status, document = web.call(
                base, key, "POST", "stop", {"scope": {"account": account.name}, "reason": f"stop {turn}"}
            )
            took.append(time.perf_counter() - began)
            assert (status, document["state"]) == (200, "HALTED")
            assert TradingState.objects.get().reason == f"stop {turn}", "the answer came after the commit"
        assert not any(future.done() for future in waiting), "all clients waited through all stops"
        assert min(took) < BOUND_S, took
        status, document = web.call(base, key, "DELETE", f"orders?account={account.name}")
        assert (status, document["cancels_requested"]) == (202, CLIENTS)
        answers = [future.result() for future in waiting]
    assert {(status, order["status"]) for status, order in answers} == {(200, "canceled")}
