"""Fixtures of these tests."""

from __future__ import annotations

import pytest

from tests.engines import Engine, make_engine
from tests.simulators import Simulator


def patient(simulator: Simulator, exchange: str) -> Engine:
    """An engine at an exchange that takes calls as fast as rounds make them."""
    simulator.call("POST", "/sim/btcturk", {"limits_on": False})
    return make_engine(simulator, exchange=exchange)


@pytest.fixture(params=["binance", "btcturk"])
def venue(request: pytest.FixtureRequest, transactional_db: None, simulator: Simulator) -> Engine:
    """A seeded engine of each exchange in turn; bid 60000, ask 60010 on both."""
    return patient(simulator, request.param)


@pytest.fixture
def turk(transactional_db: None, simulator: Simulator) -> Engine:
    """A seeded engine at BTCTurk."""
    return patient(simulator, "btcturk")
