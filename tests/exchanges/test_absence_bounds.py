"""How long a proof of absence waits: a least for live accounts, else what the simulator or the settings say."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks

from exchanges.absence_bounds import LEAST, AbsenceBounds, LowerBounds, bounds_of
from exchanges.models import Account
from tests.exchanges.fake_server import FakeServer, answer
from tests.simulators import Simulator

LOW = {"quiet_ms": 1, "round_gap_ms": 1, "rounds": 1}


def account(exchange: str = "binance", mode: str = "live", rest_url: str = "https://api.binance.com") -> Account:
    return Account(name="a", exchange=exchange, mode=mode, rest_url=rest_url)


def test_the_least_are_those_of_the_exchanges() -> None:
    assert LEAST["binance"] == AbsenceBounds(quiet_ms=10_000, round_gap_ms=30_000, rounds=2)
    assert LEAST["btcturk"] == AbsenceBounds(quiet_ms=180_000, round_gap_ms=30_000, rounds=3)


@pytest.mark.parametrize("exchange", ["binance", "btcturk"])
def test_a_live_account_has_them_and_never_asks_anybody(exchange: str) -> None:
    assert bounds_of(account(exchange)) == LEAST[exchange]


@pytest.mark.parametrize("name", ["quiet_ms", "round_gap_ms", "rounds"])
def test_a_live_account_refuses_lower_ones(settings: Any, name: str) -> None:
    least = LEAST["binance"].as_json()
    settings.EXEC_ABSENCE_BOUNDS = {"binance": {**least, name: least[name] - 1}}
    with pytest.raises(LowerBounds, match="at least"):
        bounds_of(account())
    assert bounds_of(account("btcturk")) == LEAST["btcturk"]


def test_higher_ones_are_taken(settings: Any) -> None:
    settings.EXEC_ABSENCE_BOUNDS = {"binance": {"quiet_ms": 60_000, "round_gap_ms": 45_000, "rounds": 5}}
    assert bounds_of(account()) == AbsenceBounds(60_000, 45_000, 5)


@pytest.mark.parametrize("value", [0, -1, "30000", True, None, 1.5])
def test_what_is_no_bound_is_refused_with_its_name(settings: Any, value: Any) -> None:
    settings.EXEC_ABSENCE_BOUNDS = {"binance": {**LEAST["binance"].as_json(), "round_gap_ms": value}}
    with pytest.raises(LowerBounds, match="round_gap_ms"):
        bounds_of(account())
    assert "exec.E020" in {message.id for message in run_checks()}


def test_the_checks_refuse_lower_ones_in_production(settings: Any) -> None:
    settings.EXEC_ABSENCE_BOUNDS = {"btcturk": LOW}
    assert "exec.E021" not in {message.id for message in run_checks()}
    settings.EXEC_ENV = "production"
    assert "exec.E021" in {message.id for message in run_checks()}


def test_the_simulator_announces_its_own(running: Simulator) -> None:
    for exchange, bounds in {"binance": AbsenceBounds(500, 200, 2), "btcturk": AbsenceBounds(1000, 200, 3)}.items():
        assert bounds_of(account(exchange, "sandbox", running.url)) == bounds


def test_a_live_account_does_not_believe_a_simulator(running: Simulator) -> None:
    assert bounds_of(account("binance", "live", running.url)) == LEAST["binance"]


@pytest.mark.parametrize("body", [b"{}", b"not json", b'{"bounds":{"binance":{"rounds":0}}}', b'{"bounds":[]}'])
def test_anything_else_at_a_loopback_host_changes_nothing(server: FakeServer, body: bytes) -> None:
    server.script = [answer(body)]
    assert bounds_of(account("binance", "sandbox", server.url)) == LEAST["binance"]


def test_nothing_at_the_host_changes_nothing() -> None:
    assert bounds_of(account("binance", "sandbox", "http://127.0.0.1:9")) == LEAST["binance"]
