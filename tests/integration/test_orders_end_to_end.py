"""API, gate, sender, python-binance, simulator, fills, positions: in one process, over real sockets."""

from __future__ import annotations

import pytest

from tests.engines import Engine, drain

pytestmark = pytest.mark.e2e


def test_market_buy_is_filled_and_stands_as_a_position(engine: Engine) -> None:
    status, order = engine.place(quantity="0.01")
    assert status == 202, order
    assert order["status"] == "pending"
    drain()
    order = engine.order(order["id"])
    assert (order["status"], order["filled_quantity"], order["average_price"]) == ("filled", "0.01", "60010")
    _, document = engine.request("GET", "positions")
    (position,) = document["positions"]
    assert (position["net_quantity"], position["average_price"]) == ("0.01", "60010")
