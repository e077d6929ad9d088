"""Fixtures: clients and adapters at a scripted server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from exchanges.btcturk.adapter import BtcturkAdapter
from exchanges.btcturk.client import BtcturkClient
from tests.exchanges.btcturk.samples import CREDENTIALS
from tests.exchanges.closing import adapters_at, closing_all
from tests.exchanges.fake_server import FakeServer


@pytest.fixture
def connect() -> Iterator[Callable[..., BtcturkClient]]:
    with closing_all(partial(BtcturkClient, CREDENTIALS)) as make:
        yield make


@pytest.fixture
def adapt(server: FakeServer) -> Iterator[Callable[..., BtcturkAdapter]]:
    with adapters_at(server, partial(BtcturkAdapter, CREDENTIALS)) as make:
        yield make
