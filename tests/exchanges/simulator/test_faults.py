"""Every kind of fault, over real sockets."""

from __future__ import annotations

import http.client
import time
from typing import Any

import pytest

from tests.exchanges.simulator.conftest import ORDER, Reply, Simulator

POST = f"POST {ORDER}"


def buy(simulator: Simulator, client_id: str = "f", **extra: Any) -> Reply:
    return simulator.market("BUY", quantity="0.1", newClientOrderId=client_id, **extra)


def test_drop_after_executes_and_drop_before_does_not(simulator: Simulator) -> None:
    for kind, executed in (("drop_after", 1), ("drop_before", 0)):
        simulator.fault(kind, POST)
        with pytest.raises(http.client.RemoteDisconnected):
            buy(simulator, kind)
        assert simulator.counter(kind) == (1, executed)
    simulator.fault("drop_after", POST, reset=True)
    with pytest.raises(ConnectionError):
        buy(simulator)
    assert buy(simulator).status == 200
    assert simulator.counter("f") == (2, 2)


def test_delay_executes_late_and_delay_answer_executes_at_once(simulator: Simulator) -> None:
    for kind in ("delay", "delay_answer"):
        simulator.fault(kind, POST, ms=150)
        started = time.monotonic()
        assert buy(simulator, kind).body["status"] == "FILLED"
        assert time.monotonic() - started >= 0.15
        assert simulator.counter(kind) == (1, 1)


def test_delay_beyond_the_window_is_refused_before_the_engine(simulator: Simulator) -> None:
    simulator.fault("delay", POST, ms=150)
    late = buy(simulator, recvWindow="100")
    assert (late.status, late.body["code"]) == (400, -1021)
    assert simulator.counter("f") == (1, 0)
    assert simulator.signed("GET", "/api/v3/rateLimit/order").body[0]["count"] in (0, 1)


@pytest.mark.parametrize("answer", ["504", "drop"])
def test_late_execution(simulator: Simulator, answer: str) -> None:
    simulator.fault("late_execution", POST, ms=100, answer=answer)
    if answer == "drop":
        with pytest.raises(http.client.RemoteDisconnected):
            buy(simulator)
    else:
        reply = buy(simulator)
        assert (reply.status, reply.body["code"]) == (504, -1007)
    assert simulator.counter("f") == (1, 0)
    simulator.until(lambda: simulator.counter("f") == (1, 1))


def test_late_execution_out_of_its_bound_never_happens(simulator: Simulator) -> None:
    simulator.fault("late_execution", POST, ms=1500)
    buy(simulator, recvWindow="300")
    assert simulator.sim("GET", "health")["pending"] == 1
    simulator.until(lambda: simulator.sim("GET", "health")["pending"] == 0)
    assert simulator.counter("f") == (1, 0)


@pytest.mark.parametrize("execute", [True, False])
def test_status_with_or_without_execution(simulator: Simulator, execute: bool) -> None:
    simulator.fault("status", POST, status=503, code=-1008, msg="Busy.", headers={"X-A": "b"}, execute=execute)
    reply = buy(simulator)
    assert (reply.status, reply.body, reply.headers["X-A"]) == (503, {"code": -1008, "msg": "Busy."}, "b")
    assert simulator.counter("f") == (1, int(execute))
    simulator.fault("status", POST, status=502, html="<h1>Bad gateway</h1>")
    assert buy(simulator).body == b"<h1>Bad gateway</h1>"


def test_reset_forgets_what_was_to_execute_later(simulator: Simulator) -> None:
    simulator.fault("late_execution", POST, ms=60_000)
    buy(simulator)
    simulator.sim("POST", "reset")
    simulator.until(lambda: simulator.sim("GET", "health")["pending"] == 0)
    assert simulator.sim("GET", "counters")["client_order_ids"] == {}


def test_rate_limit_ban_reject_and_garbage(simulator: Simulator) -> None:
    simulator.fault("rate_limit", POST, code=-1015, retry_after=7)
    limited = buy(simulator)
    assert (limited.status, limited.body["code"], limited.headers["Retry-After"]) == (429, -1015, "7")
    simulator.fault("reject", POST, msg="This action is disabled on this account.")
    rejected = buy(simulator)
    assert (rejected.status, rejected.body["code"]) == (400, -2010)
    assert rejected.body["msg"] == "This action is disabled on this account."
    assert simulator.counter("f") == (2, 0)
    simulator.fault("garbage", POST)
    garbage = buy(simulator)
    assert (garbage.status, garbage.headers["Content-Type"]) == (200, "text/html")
    assert simulator.counter("f") == (3, 1)
    simulator.fault("ban", POST, retry_after=60)
    assert buy(simulator).status == 418
    banned = simulator.request("GET", "/api/v3/ping")
    assert (banned.status, banned.headers["Retry-After"]) == (418, "60")
    simulator.sim("DELETE", "faults")
    assert simulator.request("GET", "/api/v3/ping").status == 200


def test_lagging_reads(simulator: Simulator) -> None:
    simulator.fault("not_found_for", f"GET {ORDER}", ms=60_000)
    simulator.fault("lagging_trades", "*", ms=60_000)
    buy(simulator)
    missing = simulator.signed("GET", ORDER, symbol="BTCUSDT", origClientOrderId="f")
    assert missing.body == {"code": -2013, "msg": "Order does not exist."}
    assert simulator.signed("GET", "/api/v3/myTrades", symbol="BTCUSDT").body == []
    assert len(simulator.signed("GET", "/api/v3/allOrders", symbol="BTCUSDT").body) == 1
    simulator.sim("DELETE", "faults")
    simulator.fault("not_found_for", "*", ms=60_000)
    assert simulator.signed("GET", "/api/v3/allOrders", symbol="BTCUSDT").body == []
    simulator.sim("DELETE", "faults")
    assert len(simulator.signed("GET", "/api/v3/myTrades", symbol="BTCUSDT").body) == 1


def test_clock_skew(simulator: Simulator) -> None:
    simulator.fault("clock_skew", ms=-3000)
    assert "ahead of the server's time" in buy(simulator).body["msg"]
    assert simulator.request("GET", "/api/v3/time").body["serverTime"] < time.time() * 1000 - 2000
    simulator.sim("DELETE", "faults")
    assert buy(simulator).status == 200


def test_fill_that_overtakes_a_cancel(simulator: Simulator) -> None:
    simulator.limit("BUY", "1", "59000.00", newClientOrderId="race")
    simulator.fault("fill_on_cancel", f"DELETE {ORDER}", match={"client_order_id": "race"})
    canceled = simulator.signed("DELETE", ORDER, symbol="BTCUSDT", origClientOrderId="race")
    assert canceled.body == {"code": -2011, "msg": "Unknown order sent."}
    order = simulator.signed("GET", ORDER, symbol="BTCUSDT", origClientOrderId="race").body
    assert order["status"] == "FILLED"


def test_faults_choose_calls_count_and_are_listed(simulator: Simulator) -> None:
    simulator.fault("reject", POST, times=2, skip=1, match={"client_order_id": "chosen"})
    assert buy(simulator, "other").status == 200
    assert [buy(simulator, "chosen").status for _ in range(4)] == [200, 400, 400, 200]
    assert [fault["hits"] for fault in simulator.sim("GET", "faults")] == [2]
    for bad in (
        {"kind": "nope"},
        {"kind": "delay", "seconds": 1},
        {"kind": "delay", "ms": "1"},
        {"kind": "delay", "match": {"x": "y"}},
    ):
        assert simulator.request("POST", "/sim/faults", str(bad).replace("'", '"').encode()).status == 400
