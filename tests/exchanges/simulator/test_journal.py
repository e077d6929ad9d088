"""The process: its address, its journal, its end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.exchanges.simulator.conftest import ORDER, ROOT, Simulator

Start = Callable[..., Simulator]


def truth(simulator: Simulator) -> dict[str, Any]:
    paths = ("accounts", "orders", "trades", "balances", "totals", "counters", "market/BTCUSDT")
    return {path: simulator.sim("GET", path) for path in paths}


def test_a_killed_simulator_meets_the_same_exchange_again(start: Start) -> None:
    first = start("--frozen")
    first.account()
    first.account("two", "key-two", "secret-two", bnb_fees=True, maker_fee="0.0002")
    first.book([["59999.00", "1"]], [["60000.00", "1"], ["60001.00", "1"]])
    first.limit("BUY", "1.5", "60000.00", newClientOrderId="part")
    first.limit("SELL", "1", "70000.00", newClientOrderId="ask")
    first.signed("POST", ORDER, symbol="ETHUSDT", side="BUY", type="MARKET", quantity="1", newClientOrderId="eth")
    stop = {"type": "STOP_LOSS_LIMIT", "stopPrice": "50000.00", "newClientOrderId": "stop"}
    first.limit("SELL", "1", "49000.00", **stop)
    first.signed("DELETE", ORDER, symbol="BTCUSDT", origClientOrderId="ask")
    first.limit("BUY", "100000", "1.00", newClientOrderId="refused")
    before = truth(first)
    assert before["market/BTCUSDT"]["bids"][0] == ["60000.00", "0.5"]
    first.kill()

    second = start("--frozen")
    assert truth(second) == before
    second.sim("POST", "market/BTCUSDT/trade", {"price": "49999.00", "quantity": "1", "aggressor": "SELL"})
    statuses = {order["client_order_id"]: order["status"] for order in second.sim("GET", "orders?symbol=BTCUSDT")}
    assert statuses == {"part": "FILLED", "ask": "CANCELED", "stop": "FILLED"}
    assert second.limit("BUY", "1", "40000.00").body["orderId"] == 4
    after = truth(second)
    assert second.stop() == 0

    third = start("--frozen")
    assert truth(third) == after
    third.sim("POST", "reset")
    third.kill()
    assert start("--frozen").sim("GET", "accounts") == []


def test_a_torn_last_line_was_never_acknowledged(start: Start) -> None:
    first = start("--frozen")
    first.account()
    first.kill()
    with (first.data_dir / "simulator.journal").open("ab") as journal:
        journal.write(b'{"balances":[["one","USDT"')
    assert start("--frozen").balance("USDT") == (1000000, 0)


def test_one_simulator_per_data_directory(start: Start) -> None:
    first = start("--frozen")
    command = [sys.executable, "-m", "exchanges.simulator", "--port", "0", "--data-dir", str(first.data_dir)]
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=20)
    assert second.returncode == 1
    assert "in use" in second.stderr


@pytest.mark.parametrize("host", ["192.0.2.1", "example.com"])
def test_only_loopback_is_served(host: str, tmp_path: Any) -> None:
    command = [sys.executable, "-m", "exchanges.simulator", "--host", host, "--port", "0", "--data-dir", str(tmp_path)]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=20)
    assert refused.returncode == 2
    assert host in refused.stderr


def test_a_moving_market_moves_until_it_is_frozen(start: Start) -> None:
    simulator = start("--seed", "3")
    first = simulator.sim("GET", "market/BTCUSDT")
    simulator.until(lambda: simulator.sim("GET", "market/BTCUSDT")["bids"] != first["bids"])
    assert simulator.sim("POST", "market/freeze") == {"frozen": True}
    still = simulator.sim("GET", "market/BTCUSDT")
    simulator.kill()
    again = start("--seed", "3")
    assert again.sim("GET", "market/BTCUSDT") == still
    assert again.sim("POST", "market/unfreeze") == {"frozen": False}
