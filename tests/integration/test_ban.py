"""A ban: every process falls silent, the highest alarm is raised, and cancels and probes come back first."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from exchanges import rate_budget
from exchanges.models import HostClock, HostPause
from execution_project.common import clock
from execution_project.common.models import Event
from orders import sweeping
from orders.models import ExchangeOrder
from tests.engines import Engine, drain
from tests.people import client_of, person
from tests.regressions.rounds import (
    assert_all_over,
    fault,
    lift_faults,
    make_due,
    resting,
    rounds,
    status,
)

pytestmark = pytest.mark.e2e


def calls(engine: Engine) -> dict[str, int]:
    """How often each call reached the exchange."""
    counted: dict[str, int] = engine.simulator.call("GET", "/sim/counters")["calls"]
    return counted


def since(engine: Engine, before: dict[str, int]) -> dict[str, int]:
    """The calls that have come in addition."""
    return {call: count - before.get(call, 0) for call, count in calls(engine).items() if count > before.get(call, 0)}


def budget_words() -> Any:
    """What readiness says of the budget."""
    checks = Client().get("/readyz").json()["checks"]
    return next(check for check in checks if check["name"] == "rate budget")


def test_a_ban_stops_everything_is_told_everywhere_and_ends_with_cancels_and_probes(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    working = resting(engine)
    fault(engine, "drop_after")
    _, lost = engine.limit("BUY", "0.02", "58000.00")
    drain("submit-binance")
    assert status(engine, lost["id"]) == "submit_unknown"
    engine.refresh()
    engine.simulator.fault("ban", call="GET /api/v3/ticker/bookTicker", retry_after=120)
    _, waiting = engine.limit("BUY", "0.03", "57000.00", valid_for=3600)
    make_due()
    sweeping.ring_market_data()
    drain("housekeeping")
    ban = HostPause.objects.get()
    assert ban.banned

    # Nothing goes out, whoever asks, not even without any sample of the clock.
    before = calls(engine)
    HostClock.objects.all().delete()
    engine.request("DELETE", f"order/{working}")
    rounds(2)
    assert since(engine, before) == {}
    assert [status(engine, order) for order in (working, lost["id"], waiting["id"])] == [
        "open",
        "submit_unknown",
        "pending",
    ]
    row = ExchangeOrder.objects.get(order_id=lost["id"])
    assert (row.look_next_at, row.absence_rounds.count()) == (ban.until, 0)
    event = Event.objects.get(kind="host.banned")
    assert (event.evidence["severity"], event.evidence["until"]) == ("critical", clock.rfc3339(ban.until))
    sentence = f"{ban.host} is banned until {ban.until:%FT%TZ}: nothing goes there, not even cancels and probes"
    words = budget_words()
    assert not words["ok"] and sentence in words["says"]
    assert sentence in client_of(person("olga", "operations")).get("/admin/orders/order/").content.decode()

    # Its end, and the time right after it for as long as this test likes.
    monkeypatch.setattr(rate_budget, "AFTER_BAN", timedelta(hours=1))
    lift_faults(engine)
    HostPause.objects.update(until=clock.now())
    rounds()
    assert [status(engine, order) for order in (working, lost["id"], waiting["id"])] == ["canceled", "open", "pending"]
    assert set(since(engine, before)) <= {
        "DELETE /api/v3/order",
        "GET /api/v3/order",
        "GET /api/v3/time",
        "GET /api/v3/openOrders",
        "GET /api/v3/allOrders",
        "GET /api/v3/myTrades",
    }
    assert budget_words()["ok"]

    monkeypatch.undo()
    HostPause.objects.update(until=clock.now() - timedelta(hours=1))
    engine.refresh()
    rounds()
    assert status(engine, waiting["id"]) == "open"
    for order in (lost["id"], waiting["id"]):
        engine.request("DELETE", f"order/{order}")
    rounds(2)
    assert_all_over(engine)
