"""Following asks no more than it must: unchanged orders by their list alone, what does not settle ever less often."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from execution_project.common import clock
from orders.following import follow_account, settle_account
from orders.models import ExchangeOrder, Order
from tests.engines import Engine, drain, make_engine
from tests.integration.test_reconciliation import foreign, run
from tests.simulators import Simulator

pytestmark = pytest.mark.e2e
TRADES = "GET /api/v3/myTrades"
QUERY = "GET /api/v3/order"


@pytest.fixture(params=["binance", "btcturk"])
def venue(request: pytest.FixtureRequest, transactional_db: None, simulator: Simulator) -> Engine:
    """A seeded engine of each exchange."""
    return make_engine(simulator, exchange=request.param)


def calls(engine: Engine) -> Counter[str]:
    return Counter(engine.simulator.call("GET", "/sim/counters")["calls"])


def ended_ago(seconds: int) -> None:
    """As if the orders had ended, and were looked at last, so long ago."""
    past = clock.now() - timedelta(seconds=seconds)
    Order.objects.update(updated_at=past)
    ExchangeOrder.objects.update(last_looked_at=past)


def test_unchanged_orders_of_other_programs_are_not_asked_for_singly(venue: Engine) -> None:
    for number in range(3):
        foreign(venue, client_order_id=f"web-{number}")
    run(venue, "orders")
    assert Order.objects.filter(origin="external", status="open").count() == 3
    before = calls(venue)
    for _ in range(2):
        assert follow_account(venue.account) == 0
    [(call, count)] = (calls(venue) - before).items()
    assert ("openOrders" in call, count) == (True, 2)


def test_what_does_not_settle_is_asked_for_ever_less_often(engine: Engine) -> None:
    engine.place()
    drain("submit-binance")
    engine.simulator.fault("lagging_trades", call=TRADES, ms=600_000)
    asked = []
    # Pauses of 2, 4, 8 … 60 s after each try; each step is a second before its end, and then at it.
    for pause in (0, 2, 4, 8, 16, 32, 60, 60):
        for seconds in (max(pause - 1, 1), pause + 1) if pause else (3,):
            ended_ago(seconds)
            before = calls(engine)
            assert settle_account(engine.account) == 0
            asked.append((calls(engine) - before)[QUERY])
    assert asked == [1, *[0, 1] * 7]
    engine.simulator.call("DELETE", "/sim/faults")
    ended_ago(61)
    assert settle_account(engine.account) == 1


def test_a_common_reading_that_failed_is_not_repeated_in_its_round(engine: Engine) -> None:
    for _ in range(4):
        engine.place()
    drain("submit-binance")
    engine.simulator.fault("status", call=TRADES, times=2, status=400, code=-1100, msg="Illegal characters.")
    for seconds in (3, 3):
        ended_ago(seconds)
        before = calls(engine)
        assert settle_account(engine.account) == 0
        assert (calls(engine) - before)[TRADES] == 1
    ended_ago(5)
    before = calls(engine)
    assert settle_account(engine.account) == 4
    assert (calls(engine) - before)[TRADES] == 4, "after two failures each is read by itself"
