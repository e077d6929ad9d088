"""Stored answers are read again by today's parsers, on both exchanges."""

from __future__ import annotations

import pytest

from orders.models import Attempt
from tests.commands import run
from tests.engines import drain, make_engine
from tests.simulators import Simulator

pytestmark = pytest.mark.e2e


@pytest.fixture(params=["binance", "btcturk"])
def history(request: pytest.FixtureRequest, transactional_db: None, simulator: Simulator) -> str:
    """A few attempts of all kinds; the account's name."""
    engine = make_engine(simulator, exchange=request.param)
    engine.place(side="SELL", quantity="0.01")
    _, order = engine.limit("BUY", "0.01", "59000")
    drain()
    engine.request("DELETE", f"order/{order['id']}")
    call = "POST /api/v3/order" if request.param == "binance" else "POST /api/v1/order"
    simulator.fault("status", call=call, status=503, html="<html>no</html>")
    engine.limit("BUY", "0.01", "59000")
    drain()
    assert Attempt.objects.count() >= 4
    name: str = engine.account.name
    return name


def replay(account: str) -> tuple[int, str]:
    ran = run("replay_evidence", "--account", account)
    return ran.code, ran.out


def test_history_is_read_as_it_was_recorded(history: str) -> None:
    status, output = replay(history)
    assert (status, output.splitlines()[-1]) == (0, f"{Attempt.objects.count()} answers read, 0 differences.")


def test_what_is_read_differently_is_shown(history: str) -> None:
    attempt = Attempt.objects.filter(kind="submit", outcome="accepted").order_by("id")[0]
    Attempt.objects.filter(id=attempt.id).update(outcome="unknown")
    status, output = replay(history)
    assert status == 3
    assert f"order {attempt.command.order_id} submit outcome: recorded unknown, now accepted" in output
