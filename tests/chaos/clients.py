"""Clients that trade through the API as the client guide says: a repetition of a request carries the same key."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import requests

from tests.simulators import ControlApi

PATIENCE_S = 90.0
SYMBOLS = {"sim-binance": ("BTCUSDT", "ETHUSDT"), "sim-btcturk": ("BTCTRY", "USDTTRY")}
SIZES = {"BTCUSDT": "0.001", "ETHUSDT": "0.01", "BTCTRY": "0.001", "USDTTRY": "5"}
TICKS = {"BTCUSDT": "0.01", "ETHUSDT": "0.01", "BTCTRY": "1", "USDTTRY": "0.01"}
MARKET_VALUE = {"BTCTRY": "3000", "USDTTRY": "500"}


class GaveUp(Exception):
    """The engine did not answer a request for longer than any outage of a run lasts."""


@dataclass
class Ledger:
    """What the clients know: every key with the order that the engine answered for it."""

    orders: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    unanswered: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str) -> None:
        """One more."""
        with self.lock:
            self.counts[what] += 1


class Client(threading.Thread):
    """One trading program: places, cancels and replaces at one account until it is told to stop."""

    def __init__(self, number: int, seed: int, base: str, key: str, account: str, control: ControlApi, ledger: Ledger):
        super().__init__(name=f"client-{number}", daemon=True)
        self._random = random.Random(seed * 100 + number)
        self._number, self._seed = number, seed
        self._base, self._account, self._control, self._ledger = base, account, control, ledger
        self._headers = {"Authorization": f"Bearer {key}"}
        self._mine: list[str] = []
        self._asked = 0
        self.stopping = threading.Event()

    def run(self) -> None:
        """Until ``stopping`` is set, about three acts a second."""
        while not self.stopping.is_set():
            act = self._random.choices(
                [self._market, self._limit, self._cancel, self._replace], weights=[30, 40, 15, 15]
            )[0]
            try:
                act()
            except Exception as error:
                # A client that dies would make the run easier than it says: its end is a failure of the run.
                with self._ledger.lock:
                    self._ledger.unanswered.append(f"{type(error).__name__}: {error}")
            self.stopping.wait(self._random.uniform(0.1, 0.5))

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and document; repeats what got no answer, 429 and 503, with the same key."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                answer = requests.request(
                    method, f"{self._base}/{path}", json=body, headers={**self._headers, **headers}, timeout=15
                )
                document = answer.json()
            except (requests.RequestException, ValueError):
                self._ledger.count("client calls without an answer")
                time.sleep(0.3)
                continue
            if answer.status_code in {429, 500, 503}:
                self._ledger.count(f"client calls answered {answer.status_code}")
                time.sleep(0.5)
                continue
            return answer.status_code, document
        raise GaveUp(f"{method} {path} {headers}")

    def _place(self, **body: Any) -> None:
        self._asked += 1
        key = f"chaos-{self._seed}-{self._number}-{self._asked}"
        status, document = self.call("POST", "order", {"account": self._account, **body}, **{"Idempotency-Key": key})
        order = document.get("id") or document.get("order", {}).get("id")
        if order is None:
            self._ledger.count(f"orders refused {document.get('code')}")
            return
        with self._ledger.lock:
            self._ledger.orders[key] = order
        self._ledger.count("orders" if status < 400 else f"orders denied {document.get('code')}")
        if status < 400:
            self._mine.append(order)

    def _symbol(self) -> str:
        return self._random.choice(SYMBOLS[self._account])

    def _market(self) -> None:
        symbol, side = self._symbol(), self._random.choice(["BUY", "SELL"])
        sized = {"quantity": SIZES[symbol]}
        if side == "BUY" and symbol in MARKET_VALUE:
            sized = {"quote_quantity": MARKET_VALUE[symbol]}
        self._place(symbol=symbol, side=side, type="MARKET", **sized)

    def _limit(self) -> None:
        symbol, side = self._symbol(), self._random.choice(["BUY", "SELL"])
        times = ["GTC"] * 3 + (["IOC"] if self._account == "sim-binance" else [])
        self._place(
            symbol=symbol,
            side=side,
            type="LIMIT",
            quantity=str(Decimal(SIZES[symbol]) * self._random.randint(1, 5)),
            price=self._price(symbol, side),
            time_in_force=self._random.choice(times),
        )

    def _price(self, symbol: str, side: str) -> str:
        """Around the market: some cross it, some rest and are met by it later, some rest far away."""
        last = Decimal(self._control.call("GET", f"/sim/market/{symbol}")["last"])
        away = Decimal(self._random.choice(["-0.0005", "0.0001", "0.0005", "0.001", "0.01"]))
        price = last * (1 - away if side == "BUY" else 1 + away)
        return str(price.quantize(Decimal(TICKS[symbol])))

    def _cancel(self) -> None:
        if self._mine:
            order = self._mine.pop(self._random.randrange(len(self._mine)))
            self.call("DELETE", f"order/{order}")
            self._ledger.count("cancels asked for")

    def _replace(self) -> None:
        if not self._mine:
            return
        order = self._random.choice(self._mine[-5:])
        status, document = self.call("GET", f"order/{order}")
        if status != 200 or document["status"] not in {"open", "partially_filled"}:
            return
        symbol, side = document["symbol"], document["side"]
        body = (
            {"quantity": str(Decimal(document["quantity"]) * 2)}
            if document["quantity"] is not None and self._random.random() < 0.3
            else {"price": self._price(symbol, side)}
        )
        status, document = self.call("PATCH", f"order/{order}", body)
        self._ledger.count("replaces accepted" if status == 202 else "replaces refused")
