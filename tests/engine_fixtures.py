"""Fixtures: an engine on a real database and a real simulator process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engines import Engine, make_engine
from tests.simulators import Simulator


@pytest.fixture(scope="session")
def simulator_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """One simulator with a frozen market for the session."""
    running = Simulator(tmp_path_factory.mktemp("simulator"), "--frozen", "--short-bounds")
    yield running
    running.stop()


@pytest.fixture
def simulator(simulator_process: Simulator) -> Simulator:
    """The session's simulator, wiped."""
    simulator_process.call("POST", "/sim/reset", {})
    simulator_process.book("BTCUSDT", "60000.00", "60010.00")
    simulator_process.book("BTCUSDT", "60000", "60010", exchange="btcturk")
    simulator_process.book("USDTTRY", "40.00", "40.01", exchange="btcturk")
    simulator_process.call("POST", "/sim/btcturk", {"cancel_delay_ms": 0})
    simulator_process.book("ETHUSDT", "3000.00", "3001.00")
    return simulator_process


@pytest.fixture
def engine(transactional_db: None, simulator: Simulator) -> Engine:
    """A seeded engine."""
    return make_engine(simulator)
