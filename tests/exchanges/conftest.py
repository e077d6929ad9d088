"""Fixtures: a scripted server, and a simulator process for each module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.exchanges.fake_server import FakeServer
from tests.simulators import Simulator


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as running:
        yield running


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """One simulator with a frozen market for the module; a test that wants it wiped resets it."""
    started = Simulator(tmp_path_factory.mktemp("simulator"), "--frozen", "--short-bounds")
    yield started
    started.stop()
