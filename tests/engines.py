"""A seeded engine in the test database, against a running simulator: accounts, books, limits, keys."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django.test import Client
from django.utils.module_loading import import_string
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from exchanges.accounts import add_account
from exchanges.freshness import PARTS, mark_fresh
from exchanges.models import Account, Exchange, Mode
from exchanges.syncing import sync_balances, sync_instruments, sync_quotes
from execution_project.common import clock, installation
from execution_project.common.actors import Actor
from execution_project.common.api_keys import create_api_key
from execution_project.common.models import Event, Strategy
from execution_project.common.rights import EVERYTHING
from orders import sweeping
from orders.models import Attempt
from positions.models import Holding
from positions.opening import open_books
from risk.boot_halt import accounts_halted_for_boot
from risk.limits import tighten_or_set
from risk.models import Reservation
from tests.simulators import Simulator
from tests.waiting import wait_until

BY = Actor("test", "a test", rights=EVERYTHING)
BALANCES: dict[str, dict[str, str]] = {
    "binance": {"USDT": "1000000", "BTC": "10", "ETH": "100", "BNB": "10"},
    "btcturk": {"USDT": "1000000", "TRY": "10000000", "BTC": "10", "ETH": "100"},
}


@dataclass
class Engine:
    """One account with open books, a key for the API, and the simulator behind it."""

    simulator: Simulator
    account: Account
    api_key: str
    client: Client

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """One call of the API through Django's test client; returns (status, document)."""
        answer = self.client.generic(
            method,
            f"/api/exec/{path}",
            b"" if body is None else json.dumps(body).encode(),
            content_type="application/json",
            headers={"Authorization": f"Bearer {self.api_key}", **headers},
        )
        return answer.status_code, answer.json()

    def place(self, *, key: str | None = None, **body: Any) -> Any:
        """Place an order (default: market buy of 0.01 BTC); returns (status, document)."""
        whole = {"account": self.account.name, "symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", **body}
        if "quantity" not in whole and "quote_quantity" not in whole:
            whole["quantity"] = "0.01"
        return self.request("POST", "order", whole, **{"Idempotency-Key": key or str(uuid4())})

    def limit(self, side: str, quantity: str, price: str, time_in_force: str = "GTC", **body: Any) -> Any:
        """Place a limit order; returns (status, document)."""
        return self.place(side=side, type="LIMIT", quantity=quantity, price=price, time_in_force=time_in_force, **body)

    def order(self, order_id: str) -> Any:
        """The order's document."""
        status, document = self.request("GET", f"order/{order_id}")
        assert status == 200, document
        return document

    def refresh(self) -> None:
        """Fresh quotes, balances and comparisons with the exchange, as the ticker would bring them."""
        sync_quotes(self.account)
        sync_balances(self.account)
        mark_fresh(self.account, PARTS, clock.now())


def make_engine(
    simulator: Simulator,
    *,
    limit: str = "1000000",
    exchange: str = Exchange.BINANCE,
    balances: dict[str, str] | None = None,
) -> Engine:
    """Seed the (empty) test database with one simulator account of its own at one exchange."""
    # The database was emptied since the last test, and with it the prefix that this process remembers.
    installation.prefix.cache_clear()
    mark = secrets.token_hex(4)
    name, key = f"acc-{mark}", secrets.token_hex(32)
    secret = base64.b64encode(secrets.token_bytes(24)).decode() if exchange == "btcturk" else secrets.token_hex(32)
    simulator.call(
        "POST",
        "/sim/accounts",
        {
            "exchange": str(exchange),
            "name": name,
            "api_key": key,
            "api_secret": secret,
            "balances": balances or BALANCES[exchange],
        },
    )
    account = add_account(
        name, exchange=exchange, mode=Mode.SANDBOX, rest_url=simulator.url, key=key, secret=secret, by=BY
    )
    sync_instruments(account)
    Strategy.objects.get_or_create(name="demo")
    tighten_or_set("max_order_notional", account.mode, "account", name, Decimal(limit), reason="test", by=BY)
    open_books(account, by=BY)
    account.refresh_from_db()
    # Tests and measurements ask faster than any client; the rate has tests of its own.
    _, api_key = create_api_key(f"key-{mark}", ["read", "trade", "operate"], by=BY, requests_per_second=1_000_000)
    engine = Engine(simulator, account, api_key, Client())
    engine.refresh()
    return engine


def started() -> bool:
    """Whether the ticker's start is over: accounts were halted, reconciled, and may trade again."""
    begun = Event.objects.filter(kind="trading.halted", actor="engine:boot").exists()
    return begun and not accounts_halted_for_boot()


def drain(*queues: str) -> int:
    """Run what is queued, in order, in this process; returns how many tasks ran.

    ``queues``: of these alone; "cancel" and "submit" are those of every exchange, cancels with what is asked after
    them. What this process was too slow to send in time is sent in another attempt.
    """
    ran, began = 0, clock.now()
    while True:
        rows = OrmQ.objects.order_by("id")
        if queues:
            named = [*queues, "probe"] if "cancel" in queues else queues
            rows = rows.filter(key__regex=f"^({'|'.join(named)})(-|$)")
        row = rows.first()
        if row is None:
            late = Attempt.objects.filter(claimed_at__gte=began, code="too_late", command__status="queued").first()
            if late is None:
                return ran
            wait_until(sweeping.ring_due_commands, 30, "what came too late to be due again")
            continue
        row.delete()
        package = SignedPackage.loads(row.payload)
        import_string(package["func"])(*package["args"])
        ran += 1


def reserved(engine: Engine) -> dict[str, Decimal]:
    """Live reservations of the account, per asset."""
    totals: dict[str, Decimal] = {}
    for row in Reservation.objects.filter(account_name=engine.account.name, amount__gt=0):
        totals[row.asset] = totals.get(row.asset, Decimal(0)) + row.amount
    return totals


def holdings(engine: Engine) -> dict[str, Decimal]:
    """Holdings of the account over all strategies, per asset, without zeros."""
    totals: dict[str, Decimal] = {}
    for row in Holding.objects.filter(account=engine.account):
        totals[row.asset] = totals.get(row.asset, Decimal(0)) + row.quantity
    return {asset: total for asset, total in totals.items() if total}
