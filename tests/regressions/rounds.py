"""What goes on around the orders of these tests: ticks and tasks, time, restarts; and the exchange's own word."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

from exchanges.models import HostPause, RateWindow
from execution_project.common import clock
from execution_project.common.models import Chore
from orders import boot, reconciling_schedule, sweeping
from orders.models import Attempt, Command, ExchangeOrder, Order
from tests.engines import Engine, drain, holdings, reserved

LONG_AGO = "2020-01-01T00:00:00Z"
PLACE = {"binance": "POST /api/v3/order", "btcturk": "POST /api/v1/order"}
CANCEL = {"binance": "DELETE /api/v3/order", "btcturk": "DELETE /api/v1/order"}


class StillClock(clock.SystemClock):
    """Wall time stands still; what waits for the machine's own time goes on."""

    def __init__(self) -> None:
        self._now = super().now()

    def now(self) -> datetime:
        """The moment at which it was made."""
        return self._now


def fault(engine: Engine, kind: str, calls: dict[str, str] = PLACE, **parameters: Any) -> None:
    """Inject a fault into the call of the engine's exchange."""
    engine.simulator.fault(kind, call=calls[engine.account.exchange], **parameters)


def lift_faults(engine: Engine) -> None:
    """No fault from here on."""
    engine.simulator.call("DELETE", "/sim/faults")


def reads_lag(engine: Engine) -> None:
    """No read shows an order or a trade from here on, until faults are lifted."""
    trades = "GET /api/v3/myTrades" if engine.account.exchange == "binance" else "GET /api/v1/users/transactions/trade"
    engine.simulator.fault("not_found_for", call="*", ms=3_600_000)
    engine.simulator.fault("lagging_trades", call=trades, ms=3_600_000)


def prints(engine: Engine, price: str, quantity: str, aggressor: str) -> None:
    """Somebody trades at the engine's exchange; nothing is told to the engine."""
    engine.simulator.trade("BTCUSDT", price, quantity, aggressor, engine.account.exchange)


def resting(engine: Engine, quantity: str = "0.03", price: str = "59000") -> str:
    """A limit buy below the market, open at the exchange; its id."""
    _, order = engine.limit("BUY", quantity, price)
    drain()
    assert status(engine, order["id"]) == "open"
    return str(order["id"])


def status(engine: Engine, order_id: str) -> str:
    """The order's status at the API."""
    return str(engine.order(order_id)["status"])


def make_due() -> None:
    """Whatever waits is due, and budgets are full again, as after a while; bans stay."""
    HostPause.objects.filter(banned=False).delete()
    RateWindow.objects.all().delete()
    Command.objects.filter(status="queued").update(not_before=None, rung_at=LONG_AGO)
    ExchangeOrder.objects.filter(look_next_at__isnull=False).update(look_next_at=LONG_AGO)
    ExchangeOrder.objects.update(last_looked_at=None)
    Order.objects.filter(status__in=["filled", "canceled", "expired"]).update(updated_at=LONG_AGO)
    Chore.objects.update(rung_at=LONG_AGO)


def rounds(count: int = 1) -> None:
    """So many rounds of all that the ticker calls about orders, with whatever waits made due, and of the tasks."""
    for _ in range(count):
        make_due()
        sweeping.ring_due_commands()
        sweeping.expire_stale_intents()
        sweeping.recover_silent_claims()
        sweeping.resume_answered_commands()
        sweeping.ring_probes()
        sweeping.ring_following()
        reconciling_schedule.ring_order_reconciliations()
        drain()


def sent_a_minute_ago(order_id: str) -> None:
    """As if the order had been sent, and last been heard of, a minute ago."""
    minute = timedelta(minutes=1)
    for attempt in Attempt.objects.filter(command__order_id=order_id):
        attempt.stamp_ms -= 60_000
        attempt.send_by -= minute
        attempt.save(update_fields=["stamp_ms", "send_by"])
    ExchangeOrder.objects.filter(order_id=order_id).update(last_report_at=clock.now() - minute)


def restart() -> None:
    """All processes end and start again: what is not in the database is forgotten, and the start's chores run."""
    connection.close()
    boot.boot()
    boot.ring_boot_reconciliations()
    drain()


def calls(engine: Engine, call: str) -> int:
    """How often the exchange was called so."""
    return int(engine.simulator.call("GET", "/sim/counters")["calls"].get(call, 0))


def orders_at_exchange(engine: Engine) -> list[dict[str, Any]]:
    """Every order that the exchange ever took from the account."""
    rows = engine.simulator.call("GET", f"/sim/orders?account={engine.account.name}")
    return [row for row in rows if row["symbol"] == "BTCUSDT"]


def working_at_exchange(engine: Engine) -> list[Decimal]:
    """What is left of every order that works at the exchange, by its own word."""
    rows = orders_at_exchange(engine)
    return [Decimal(row["leaves"]) for row in rows if row["status"] in {"NEW", "PARTIALLY_FILLED"}]


def assert_books_equal_the_exchange(engine: Engine) -> None:
    """Holdings are the balances to the last digit, and no client order id was sent twice."""
    assert holdings(engine) == engine.simulator.balances(engine.account.name)
    assert all(count == 1 for count in engine.simulator.posted().values())


def assert_all_over(engine: Engine) -> None:
    """The same, and nothing is reserved any more."""
    assert_books_equal_the_exchange(engine)
    assert reserved(engine) == {}
