"""An engine with a paper account whose market the tests move by hand; no simulator and no connection."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django.test import Client

from exchanges.accounts import add_account
from exchanges.models import Account, Instrument, Mode, PaperAccount
from exchanges.paper.feed import Print, note_prints
from exchanges.paper.flows import QUIET, set_terms
from exchanges.quotes import Levels20, store_books
from exchanges.syncing import sync_instruments
from execution_project.common import clock, installation
from execution_project.common.api_keys import create_api_key
from execution_project.common.models import Strategy
from positions.opening import open_books
from positions.paper_deposits import deposit
from risk.limits import tighten_or_set
from tests.engines import BY, drain
from tests.factories import InstrumentFactory

BIDS = (("60000", "1"), ("59990", "2"))
ASKS = (("60010", "1"), ("60020", "2"))
START = {"binance": {"USDT": "1000000", "BTC": "10"}, "btcturk": {"USDT": "1000000", "BTC": "10"}}


@dataclass
class PaperEngine:
    """One paper account with open books and a key for the API."""

    account: Account
    source: Instrument
    api_key: str
    client: Client

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """One call of the API; (status, document)."""
        import json

        answer = self.client.generic(
            method,
            f"/api/exec/{path}",
            b"" if body is None else json.dumps(body).encode(),
            content_type="application/json",
            headers={"Authorization": f"Bearer {self.api_key}", **headers},
        )
        return answer.status_code, answer.json()

    def place(self, **body: Any) -> Any:
        """Place and let the queues run; the order's document."""
        whole = {"account": self.account.name, "symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", **body}
        status, document = self.request("POST", "order", whole, **{"Idempotency-Key": str(uuid4())})
        assert status in {200, 202}, document
        drain()
        return self.order(document["id"])

    def limit(self, side: str, quantity: str, price: str, tif: str = "GTC") -> Any:
        """Place a limit order and let the queues run; the order's document."""
        return self.place(side=side, type="LIMIT", quantity=quantity, price=price, time_in_force=tif)

    def order(self, order_id: str) -> Any:
        """The order's document."""
        status, document = self.request("GET", f"order/{order_id}")
        assert status == 200, document
        return document

    def show(self, bids: Any = BIDS, asks: Any = ASKS) -> None:
        """Let the market that feeds the paper account show this book now."""

        def levels(pairs: Any) -> Any:
            return tuple((Decimal(price), Decimal(size)) for price, size in pairs)

        store_books([Levels20(self.source.pk, levels(bids), levels(asks), clock.now())])

    def trade(self, price: str, quantity: str, aggressor: str) -> None:
        """Let others trade there."""
        note_prints([Print(self.source.pk, Decimal(price), Decimal(quantity), aggressor, clock.now())])

    def arm(self, kind: str, call: str = "any", times: int = 1) -> None:
        """Arm a fault."""
        PaperAccount.objects.filter(account=self.account).update(faults=[{"kind": kind, "call": call, "times": times}])


def make_paper_engine(exchange: str = "binance", **terms: Any) -> PaperEngine:
    """Seed the (empty) test database with a paper account in the market of a sandbox pair."""
    installation.prefix.cache_clear()
    source = InstrumentFactory(exchange=exchange, mode=Mode.SANDBOX)
    account = add_account(f"paper-{secrets.token_hex(3)}", exchange=exchange, mode=Mode.PAPER, by=BY)
    engine = furnish(account, source, **terms)
    engine.show()
    return engine


def furnish(account: Account, source: Instrument, **terms: Any) -> PaperEngine:
    """Give a paper account its terms, pairs, a limit, money, open books and a key."""
    set_terms(account, {**QUIET, **terms}, reason="a test", by=BY)
    sync_instruments(account)
    Strategy.objects.get_or_create(name="demo")
    tighten_or_set("max_order_notional", "paper", "account", account.name, Decimal(1_000_000), reason="test", by=BY)
    for asset, amount in START[account.exchange].items():
        deposit(account, asset, Decimal(amount), reason="a start", by=BY)
    open_books(account, by=BY)
    account.refresh_from_db()
    _, key = create_api_key("paper", ["read", "trade", "operate"], by=BY, requests_per_second=1_000_000)
    return PaperEngine(account, source, key, Client())
