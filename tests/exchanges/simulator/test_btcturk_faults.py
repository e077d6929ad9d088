"""Faults, quotas and lags on BTCTurk's calls, over real sockets."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any

import pytest

from exchanges.simulator.btcturk_limits import FixedWindows
from tests.exchanges.simulator.btcturk_client import ORDER, POST, Turk, refused
from tests.exchanges.simulator.conftest import Reply

CANCEL = f"DELETE {ORDER}"
QUERY = "GET /api/v1/order/{id}"


def buy(turk: Turk, client_id: str = "f") -> Reply:
    return turk.market("buy", "1000", newOrderClientId=client_id)


def counts(turk: Turk, client_id: str = "f") -> tuple[int, int]:
    return turk.simulator.counter(client_id)


def test_lost_answers(turk: Turk) -> None:
    for kind, executed in (("drop_after", 1), ("drop_before", 0)):
        turk.simulator.fault(kind, POST)
        with pytest.raises(http.client.RemoteDisconnected):
            buy(turk, kind)
        assert counts(turk, kind) == (1, executed)
    turk.simulator.fault("drop_after", POST, reset=True)
    with pytest.raises(ConnectionError):
        buy(turk)
    assert buy(turk).status == 200
    assert counts(turk) == (2, 2)


def test_delays_before_and_after_execution(turk: Turk) -> None:
    for kind in ("delay", "delay_answer"):
        turk.simulator.fault(kind, POST, ms=120)
        started = time.monotonic()
        assert buy(turk, kind).status == 200
        assert time.monotonic() - started >= 0.12
        assert counts(turk, kind) == (1, 1)


def test_a_delay_past_the_bound_executes_nothing(turk: Turk) -> None:
    turk.simulator.fault("delay", POST, ms=1050)
    reply = buy(turk)
    assert (reply.status, reply.headers["Content-Type"]) == (504, "text/html; charset=UTF-8")
    assert counts(turk) == (1, 0)


@pytest.mark.parametrize("execute", [True, False])
def test_a_post_that_hangs_may_execute_and_ends_in_a_504_page(turk: Turk, execute: bool) -> None:
    turk.simulator.fault("hang", POST, execute=execute)
    started = time.monotonic()
    reply = buy(turk)
    assert 0.3 <= time.monotonic() - started < 1
    assert (reply.status, b"504" in reply.body, "cf-ray" in reply.headers) == (504, True, True)
    assert counts(turk) == (1, int(execute))


def test_a_client_that_gave_up_still_has_an_order_later(turk: Turk) -> None:
    turk.simulator.fault("hang", POST, ms=600)
    body = json.dumps(
        {
            "pairSymbol": "BTCTRY",
            "orderMethod": "market",
            "orderType": "buy",
            "quantity": "1000",
            "newOrderClientId": "f",
        }
    )
    connection = http.client.HTTPConnection("127.0.0.1", turk.simulator.port, timeout=0.1)
    connection.request("POST", ORDER, body, {**turk.headers(), "Content-Type": "application/json"})
    with pytest.raises(TimeoutError):
        connection.getresponse()
    connection.close()
    assert counts(turk) == (1, 0)
    turk.simulator.until(lambda: counts(turk) == (1, 1))


@pytest.mark.parametrize("answer", ["504", "drop"])
def test_late_execution(turk: Turk, answer: str) -> None:
    turk.simulator.fault("late_execution", POST, ms=100, answer=answer)
    if answer == "drop":
        with pytest.raises(http.client.RemoteDisconnected):
            buy(turk)
    else:
        assert buy(turk).status == 504
    assert counts(turk) == (1, 0)
    turk.simulator.until(lambda: counts(turk) == (1, 1))


def test_late_execution_out_of_its_bound_never_happens(turk: Turk) -> None:
    turk.simulator.fault("late_execution", POST, ms=1020)
    buy(turk)
    assert turk.simulator.sim("GET", "health")["pending"] == 1
    turk.simulator.until(lambda: turk.simulator.sim("GET", "health")["pending"] == 0)
    assert counts(turk) == (1, 0)


def test_a_late_execution_is_forgotten_by_a_reset(turk: Turk) -> None:
    turk.simulator.fault("late_execution", POST, ms=900)
    buy(turk)
    turk.simulator.sim("POST", "reset")
    turk.simulator.until(lambda: turk.simulator.sim("GET", "health")["pending"] == 0)
    assert turk.simulator.sim("GET", "counters")["client_order_ids"] == {}


@pytest.mark.parametrize("execute", [True, False])
@pytest.mark.parametrize(
    ("options", "body"),
    [
        ({"status": 500}, {"success": False, "message": "INTERNAL_ERROR", "code": "INTERNAL_ERROR"}),
        (
            {"status": 503},
            {"success": False, "message": "SYSTEM_UNDER_MAINTENANCE", "code": "SYSTEM_UNDER_MAINTENANCE"},
        ),
        ({"status": 400, "msg": "ODD", "code": "TEXT"}, {"success": False, "message": "ODD", "code": "TEXT"}),
        (
            {"status": 200, "msg": "FAILED_SET_ORDER_UNEXPECTED"},
            {"success": False, "message": "FAILED_SET_ORDER_UNEXPECTED", "code": 1117},
        ),
        ({"status": 504, "html": "<h1>504</h1>"}, b"<h1>504</h1>"),
        ({"status": 200, "html": ""}, b""),
        ({"status": 401, "html": ""}, b""),
        ({"status": 401}, b""),
        ({"status": 403, "html": "error code: 1020"}, b"error code: 1020"),
    ],
)
def test_errors_with_or_without_execution(turk: Turk, execute: bool, options: dict[str, Any], body: Any) -> None:
    turk.simulator.fault("status", POST, execute=execute, **options)
    reply = buy(turk)
    wanted = {**body, "data": None, "httpStatusCode": options["status"]} if isinstance(body, dict) else body
    assert (reply.status, reply.body) == (options["status"], wanted)
    assert counts(turk) == (1, int(execute))


def test_refusals_garbage_and_blocks(turk: Turk) -> None:
    turk.simulator.fault("reject", POST)
    assert refused(buy(turk)) == (400, "FAILED_ORDER_WITH_OPEN_ORDERS", 1122)
    turk.simulator.fault("reject", POST, msg="FAILED_MARKET_ORDER")
    assert refused(buy(turk)) == (400, "FAILED_MARKET_ORDER", 1118)
    turk.simulator.fault("reject", POST, msg="FAILED_MIN_TOTAL_AMOUNT", code=1124)
    assert refused(buy(turk)) == (400, "FAILED_MIN_TOTAL_AMOUNT", 1124)
    assert counts(turk) == (3, 0)
    turk.simulator.fault("garbage", POST)
    garbage = buy(turk)
    assert (garbage.status, garbage.headers["Content-Type"], counts(turk)) == (200, "text/html", (4, 1))
    turk.simulator.fault("ban", POST)
    assert {buy(turk).status, turk.get("users/balances").status} == {403}
    assert turk.simulator.request("GET", "/api/v3/ping").status == 200
    turk.simulator.sim("DELETE", "faults")
    assert buy(turk).status == 200
    turk.simulator.fault("status", "GET /api/v2/orderbook", status=503)
    assert turk.simulator.request("GET", "/api/v2/orderbook?pairSymbol=BTCTRY").status == 503


def test_faults_choose_their_exchange_account_pair_and_label(turk: Turk) -> None:
    turk.simulator.fault(
        "reject", "*", match={"exchange": "btcturk", "account": "turk", "symbol": "BTCTRY"}, times=None
    )
    assert turk.simulator.market("BUY", quantity="0.1").status == 200
    assert turk.limit("buy", "10", "40", pairSymbol="USDTTRY").status == 200
    assert buy(turk).status == 400
    turk.simulator.sim("DELETE", "faults")
    order_id = turk.limit("buy", "0.01", "2900000", newOrderClientId="chosen").body["data"]["id"]
    turk.simulator.fault("status", CANCEL, match={"client_order_id": "chosen"}, status=500)
    assert [turk.cancel(order_id).status for _ in range(2)] == [500, 200]
    refusal = turk.simulator.request("POST", "/sim/faults", b'{"kind":"hang","call":"POST /api/v3/order"}')
    assert refusal.status == 400


@pytest.mark.parametrize("delay", [0, 50])
def test_a_fill_that_overtakes_a_cancel(turk: Turk, delay: int) -> None:
    turk.settings(cancel_delay_ms=delay)
    ids = [turk.limit("buy", "0.01", "2900000").body["data"]["id"] for _ in range(2)]
    turk.simulator.fault("fill_on_cancel", CANCEL)
    turk.simulator.fault("fill_on_cancel", CANCEL, quantity="0.004")
    first, second = (turk.cancel(each) for each in ids)
    assert first.status == (200 if delay else 400)
    assert second.status == 200
    assert turk.order(ids[0])["status"] == "Closed"
    turk.simulator.until(lambda: turk.order(ids[1])["status"] == "Canceled")
    assert turk.order(ids[1])["leftAmount"] == "0.00600000"
    assert len(turk.trades()) == 2


def test_lagging_reads(turk: Turk) -> None:
    turk.simulator.fault("not_found_for", QUERY, ms=60_000)
    turk.simulator.fault("lagging_trades", "*", ms=60_000, match={"client_order_id": "f"})
    order_id = buy(turk).body["data"]["id"]
    assert refused(turk.get(f"order/{order_id}")) == (400, "Order not found", 1152)
    assert (len(turk.orders()), turk.trades(), turk.trades(orderId=order_id)) == (1, [], [])
    buy(turk, "other")
    assert len(turk.trades()) == 1
    turk.simulator.fault("not_found_for", "GET /api/v1/allOrders", ms=60_000, match={"client_order_id": "other"})
    assert [row["orderClientId"] for row in turk.orders()] == ["f"]
    turk.simulator.fault("not_found_for", "*", ms=60_000)
    turk.limit("buy", "0.01", "2900000")
    assert (turk.orders(), turk.data("openOrders")) == ([], {"asks": [], "bids": []})
    turk.simulator.sim("DELETE", "faults")
    assert (len(turk.orders()), len(turk.trades()), turk.order(order_id)["status"]) == (3, 2, "Closed")


# -- quotas --------------------------------------------------------------------------------------------------------


def test_windows_open_with_their_first_call_and_refused_calls_do_not_count() -> None:
    windows, limits = FixedWindows(), [(3, 60), (2, 1)]
    assert [windows.count("order", "a", limits, now) for now in (1500, 1600)] == [None, None]
    short = windows.count("order", "a", limits, 2400)
    assert short is not None and (short.limit, short.period, short.retry_after) == (2, 1, 1)
    assert windows.count("order", "b", limits, 2400) is None
    assert windows.count("order", "a", limits, 2500) is None
    long = windows.count("order", "a", limits, 8500)
    assert long is not None and (long.limit, long.period, long.retry_after) == (3, 60, 53)
    assert windows.count("order", "a", limits, 61_500) is None


def test_quota_answers(turk: Turk) -> None:
    limits = {"order": [[2, 60]], "balances": [[1, 60]]}
    turk.settings(limits_on=True, limits=limits)
    order_id = turk.limit("buy", "0.01", "2900000", newOrderClientId="q").body["data"]["id"]
    assert turk.cancel(order_id).status == 200
    reply = turk.limit("buy", "0.01", "2900000", newOrderClientId="q")
    assert reply.status == 429
    wait = reply.headers["Retry-After"]
    assert reply.body == {
        "message": "TOO_MANY_REQUESTS",
        "success": False,
        "code": 429,
        "details": f"Quota exceeded. Maximum allowed: 2 per 1m. Please try again in {wait} second(s).",
        "limit": "2",
        "period": "1m",
        "policy": "account",
    }
    assert counts(turk, "q") == (2, 1)
    assert [turk.get("users/balances").status for _ in range(2)] == [200, 429]
    assert (turk.get("users/balances").body["policy"], turk.get("openOrders").status) == ("ip", 200)
    other = Turk(turk.simulator, "other", "key-other")
    other.open()
    assert other.limit("buy", "0.01", "2900000").status == 200
    turk.settings(limits_on=False)
    turk.simulator.fault("rate_limit", POST, retry_after=7)
    limited = turk.limit("buy", "0.01", "2900000")
    assert (limited.status, limited.headers["Retry-After"], limited.body["limit"]) == (429, "7", "2")


def test_published_quotas_stand_until_changed(turk: Turk) -> None:
    turk.settings(limits_on=True)
    statuses = [turk.limit("buy", "0.001", "2900000").status for _ in range(11)]
    assert statuses[:10] == [200] * 10
    assert turk.simulator.sim("GET", "btcturk")["limits"]["order"] == [[300, 60], [10, 1]]
    for bad in (
        {"limits": {"nope": []}},
        {"limits": 5},
        {"pairs": {"BTCTRY": {"status": 1}}},
        {"stamps": "some"},
        {"x": 1},
        {"pairs": {"X": {}}},
    ):
        assert turk.simulator.request("POST", "/sim/btcturk", json.dumps(bad).encode()).status in (400, 404)
