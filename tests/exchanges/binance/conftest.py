"""Fixtures: clients and adapters at a scripted server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from exchanges.binance.adapter import BinanceAdapter
from exchanges.binance.client import BinanceClient
from tests.exchanges.binance.samples import CREDENTIALS
from tests.exchanges.closing import adapters_at, closing_all
from tests.exchanges.fake_server import FakeServer


@pytest.fixture
def connect() -> Iterator[Callable[..., BinanceClient]]:
    with closing_all(partial(BinanceClient, CREDENTIALS)) as make:
        yield make


@pytest.fixture
def adapt(server: FakeServer) -> Iterator[Callable[..., BinanceAdapter]]:
    with adapters_at(server, partial(BinanceAdapter, CREDENTIALS)) as make:
        yield make
