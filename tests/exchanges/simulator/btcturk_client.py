"""A client for the simulator's BTCTurk side: signs with stamps that strictly increase, shows raw answers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from tests.exchanges.simulator.conftest import Reply, Simulator

PUBLIC = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
SECRET = base64.b64encode(bytes(range(32))).decode()
ORDER = "/api/v1/order"
POST = f"POST {ORDER}"

_last = [0]


def next_stamp() -> int:
    """Now, or one more than the last stamp: strictly increasing."""
    _last[0] = max(_last[0] + 1, int(time.time() * 1000))
    return _last[0]


def signature(secret: str, message: str) -> str:
    return base64.b64encode(hmac.digest(base64.b64decode(secret), message.encode(), hashlib.sha256)).decode()


class Turk:
    """One account at the simulated BTCTurk."""

    def __init__(self, simulator: Simulator, name: str = "turk", key: str = PUBLIC, secret: str = SECRET) -> None:
        self.simulator, self.name, self.key, self.secret = simulator, name, key, secret

    def open(self, **options: Any) -> Any:
        balances = {"TRY": "10000000", "BTC": "10", "USDT": "100000"}
        body = {"exchange": "btcturk", "name": self.name, "api_key": self.key, "api_secret": self.secret}
        return self.simulator.sim("POST", "accounts", {**body, "balances": balances, **options})

    def settings(self, **changes: Any) -> Any:
        return self.simulator.sim("POST", "btcturk", changes)

    def book(self, bids: list[list[str]], asks: list[list[str]], symbol: str = "BTCTRY") -> Any:
        return self.simulator.sim("POST", f"btcturk/market/{symbol}", {"bids": bids, "asks": asks})

    def print_trade(self, price: str, quantity: str, aggressor: str, symbol: str = "BTCTRY") -> Any:
        body = {"price": price, "quantity": quantity, "aggressor": aggressor}
        return self.simulator.sim("POST", f"btcturk/market/{symbol}/trade", body)

    def headers(self, stamp: int | str | None = None) -> dict[str, str]:
        text = str(next_stamp() if stamp is None else stamp)
        return {"X-PCK": self.key, "X-Stamp": text, "X-Signature": signature(self.secret, self.key + text)}

    def call(self, method: str, target: str, body: Any = None, **headers: str) -> Reply:
        raw = None if body is None else json.dumps(body).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        return self.simulator.request(method, target, raw, {**self.headers(), **kind, **headers})

    def get(self, path: str, **params: Any) -> Reply:
        return self.call("GET", f"/api/v1/{path}?{urlencode(params, doseq=True)}")

    def data(self, path: str, **params: Any) -> Any:
        reply = self.get(path, **params)
        assert (reply.status, reply.body["success"], reply.body["message"]) == (200, True, "SUCCESS"), reply
        return reply.body["data"]

    def post(self, **fields: Any) -> Reply:
        return self.call("POST", ORDER, {"pairSymbol": "BTCTRY", "orderMethod": "limit", "orderType": "buy", **fields})

    def limit(self, side: str, quantity: str, price: str, **extra: Any) -> Reply:
        return self.post(orderType=side, quantity=quantity, price=price, **extra)

    def market(self, side: str, quantity: str, **extra: Any) -> Reply:
        return self.post(orderMethod="market", orderType=side, quantity=quantity, **extra)

    def cancel(self, order_id: int) -> Reply:
        return self.call("DELETE", f"{ORDER}?id={order_id}")

    def order(self, order_id: int) -> Any:
        return self.data(f"order/{order_id}")

    def orders(self, **params: Any) -> Any:
        return self.data("allOrders", **{"pairSymbol": "BTCTRY", **params})

    def trades(self, **params: Any) -> Any:
        return self.data("users/transactions/trade", **params)

    def balance(self, asset: str) -> tuple[Decimal, Decimal]:
        return self.simulator.balance(asset, self.name)


def refused(reply: Reply) -> tuple[int, str, Any]:
    """Status, message and code of a refusal."""
    assert reply.body["success"] is False
    return reply.status, reply.body["message"], reply.body["code"]
