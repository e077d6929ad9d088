"""A restart of the process meets the same BTCTurk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.exchanges.simulator.btcturk_client import Turk
from tests.exchanges.simulator.conftest import Simulator


def truth(simulator: Simulator) -> dict[str, Any]:
    paths = (
        "accounts",
        "orders?account=turk",
        "trades?account=turk",
        "balances?account=turk",
        "totals?exchange=btcturk",
    )
    return {path: simulator.sim("GET", path) for path in (*paths, "counters", "btcturk/market/BTCTRY", "totals")}


def begin(start: Callable[..., Simulator]) -> Turk:
    turk = Turk(start("--frozen", "--short-bounds"))
    turk.settings(limits_on=False, cancel_delay_ms=60_000)
    return turk


def test_a_killed_simulator_comes_back_whole(start: Callable[..., Simulator]) -> None:
    turk = begin(start)
    turk.simulator.account()
    turk.open(tax_rate="0.18", permissions=["trade", "account"], ip="127.0.0.1")
    turk.book([["2999000", "1"]], [["3000000", "0.001"], ["3001000", "1"]])
    turk.market("buy", "5000", newOrderClientId="mb")
    turk.limit("buy", "0.01", "2900000", newOrderClientId="rest")
    turk.limit("sell", "0.5", "3001000", newOrderClientId="ask")
    turk.limit("sell", "0.01", "2800000", orderMethod="stopLimit", stopPrice="2850000", newOrderClientId="stop")
    going = turk.limit("buy", "0.02", "2900000", newOrderClientId="going").body["data"]["id"]
    turk.cancel(going)
    turk.simulator.limit("BUY", "0.5", "50000.00", newOrderClientId="binance")
    before = truth(turk.simulator)
    turk.simulator.kill()

    turk = begin(start)
    assert truth(turk.simulator) == before
    assert turk.get("users/balances").status == 401
    assert [row["leftAmount"] for row in turk.data("openOrders")["bids"]] == ["0.01000000", "0.02000000"]
    turk.print_trade("2850000", "0.1", "SELL")
    statuses = {row["orderClientId"]: row["status"] for row in turk.orders()[1:]}
    assert statuses == {"mb": "Closed", "rest": "Closed", "ask": "Untouched", "stop": "Canceled", "going": "Closed"}
    assert turk.limit("buy", "0.01", "2900000").body["data"]["id"] == going + 2
    ids = [row["id"] for row in turk.trades()]
    assert ids == sorted(ids, reverse=True)
    assert turk.simulator.stop() == 0


def test_an_accepted_cancel_is_carried_out_after_a_restart(start: Callable[..., Simulator]) -> None:
    turk = begin(start)
    turk.open()
    turk.settings(cancel_delay_ms=300)
    order_id = turk.limit("buy", "0.01", "2900000").body["data"]["id"]
    turk.cancel(order_id)
    turk.simulator.kill()
    turk = begin(start)
    turk.simulator.until(lambda: turk.order(order_id)["status"] == "Canceled")
    assert turk.balance("TRY") == (10_000_000, 0)
