"""What goes wrong in a run: faults at the exchange, foreign orders, killed processes, a database that dies."""

from __future__ import annotations

import os
import random
import signal
import threading
import urllib.error
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from execution_project.postgres import EmbeddedPostgres
from tests.simulators import ControlApi

BINANCE, BTCTURK = "binance", "btcturk"
POST = {BINANCE: "POST /api/v3/order", BTCTURK: "POST /api/v1/order"}
DELETE = {BINANCE: "DELETE /api/v3/order", BTCTURK: "DELETE /api/v1/order"}
QUERY = {BINANCE: "GET /api/v3/order", BTCTURK: "GET /api/v1/order/{id}"}
TRADES = {BINANCE: "GET /api/v3/myTrades", BTCTURK: "GET /api/v1/users/transactions/trade"}
OPEN = {BINANCE: "GET /api/v3/openOrders", BTCTURK: "GET /api/v1/openOrders"}
REPLACE = "POST /api/v3/order/cancelReplace"
AMEND = "PUT /api/v3/order/amend/keepPriority"
EVENTS = {BINANCE: ("executionReport", "outboundAccountPosition"), BTCTURK: ("423", "441", "451", "452")}

Fault = dict[str, Any]


def _writes(call: str) -> list[Fault]:
    return [
        {"call": call, "kind": "drop_after"},
        {"call": call, "kind": "drop_after", "reset": True},
        {"call": call, "kind": "drop_before"},
        {"call": call, "kind": "delay", "ms": 700},
        {"call": call, "kind": "delay_answer", "ms": 900},
        {"call": call, "kind": "status", "status": 503, "execute": True},
        {"call": call, "kind": "status", "status": 500, "execute": False},
        {"call": call, "kind": "status", "status": 502, "html": "<h1>Bad gateway</h1>", "execute": True},
        {"call": call, "kind": "garbage", "execute": True},
        {"call": call, "kind": "rate_limit", "retry_after": 1},
    ]


def faults(exchange: str) -> list[Fault]:
    """Every kind of fault that the simulator knows, on the calls that it concerns."""
    found: list[Fault] = []
    for call in (POST[exchange], DELETE[exchange], *((REPLACE, AMEND) if exchange == BINANCE else ())):
        found += _writes(call)
    found.append({"call": POST[exchange], "kind": "reject"})
    found.append({"call": POST[exchange], "kind": "late_execution", "ms": 300, "answer": "504"})
    found.append({"call": POST[exchange], "kind": "late_execution", "ms": 300, "answer": "drop"})
    found += [{"call": DELETE[exchange], "kind": "fill_on_cancel"}] * 3
    if exchange == BINANCE:
        found.append({"call": REPLACE, "kind": "fill_on_cancel"})
    else:
        found += [{"call": POST[exchange], "kind": "hang", "execute": done} for done in (True, False)]
    for call in (QUERY[exchange], TRADES[exchange], OPEN[exchange]):
        found += [
            {"call": call, "kind": "status", "status": 500},
            {"call": call, "kind": "drop_before"},
            {"call": call, "kind": "garbage"},
            {"call": call, "kind": "delay_answer", "ms": 1500},
        ]
    for event in EVENTS[exchange]:
        found += [
            {"call": event, "kind": kind}
            for kind in ("stream_drop", "stream_duplicate", "stream_reorder", "stream_delay", "stream_disconnect")
        ]
    # a fault on every call of one exchange only: the other goes on
    return [{**fault, "match": {"exchange": exchange}} if exchange == BTCTURK else fault for fault in found]


STANDING: list[Fault] = [
    {"kind": "not_found_for", "ms": 800},
    {"kind": "lagging_trades", "ms": 1500},
    {"kind": "clock_skew", "ms": 250},
    {"kind": "clock_skew", "ms": -250},
    {"kind": "stream_silence", "pings": True},
    {"kind": "ban", "retry_after": 2},
]
STANDING_S = 3.0
FOREIGN = {
    "sim-binance": {"symbol": "BTCUSDT", "quantity": "0.002"},
    "sim-btcturk": {"symbol": "BTCTRY", "quantity": "0.002"},
}


class Mischief(threading.Thread):
    """One kind of trouble, again and again until told to stop; counts what it did."""

    def __init__(self, name: str, seed: int, pause: tuple[float, float]):
        super().__init__(name=name, daemon=True)
        self.random = random.Random(f"{name}-{seed}")
        self.counts: Counter[str] = Counter()
        self.broken: list[str] = []
        """Why it could not do what it was to do: trouble that did not happen makes a run easier than it says."""
        self.stopping = threading.Event()
        self._pause = pause

    def run(self) -> None:
        """Until ``stopping`` is set."""
        while not self.stopping.wait(self.random.uniform(*self._pause)):
            try:
                self.act()
            except Exception as error:
                self.broken.append(f"{self.name}: {type(error).__name__}: {error}")

    def act(self) -> None:
        """One piece of trouble."""
        raise NotImplementedError


class Faults(Mischief):
    """Faults of single calls and events."""

    def __init__(self, seed: int, control: ControlApi):
        super().__init__("faults", seed, (0.1, 0.6))
        self._control = control
        self._known = {exchange: faults(exchange) for exchange in (BINANCE, BTCTURK)}

    def act(self) -> None:
        """The next matching call suffers it."""
        fault = self.random.choice(self._known[self.random.choice([BINANCE, BTCTURK])])
        self._control.call("POST", "/sim/faults", {"times": 1, **fault})
        self.counts[fault["kind"]] += 1


class StandingFaults(Mischief):
    """Faults that hold for some seconds: lagging reads, a skewed clock, a silent stream, a ban."""

    def __init__(self, seed: int, control: ControlApi):
        super().__init__("standing", seed, (4, 8))
        self._control = control

    def act(self) -> None:
        """Hold it, then lift everything."""
        fault = self.random.choice(STANDING)
        self._control.call("POST", "/sim/faults", {"times": 1, **fault})
        self.counts[fault["kind"]] += 1
        self.stopping.wait(STANDING_S)
        self._control.call("DELETE", "/sim/faults")


class ForeignOrders(Mischief):
    """Somebody else trades on the same accounts."""

    def __init__(self, seed: int, control: ControlApi):
        super().__init__("foreign", seed, (5, 10))
        self._control = control

    def act(self) -> None:
        """A market order by hand."""
        account = self.random.choice(list(FOREIGN))
        body = {"account": account, "side": "SELL", "type": "MARKET", **FOREIGN[account]}
        body["client_order_id"] = f"by-hand-{sum(self.counts.values())}"
        try:
            self._control.call("POST", "/sim/orders", body)
        except urllib.error.HTTPError:
            return  # the exchange refused it
        self.counts["foreign order"] += 1


class Kills(Mischief):
    """SIGKILL to a process of the engine, drawn among all that the supervisor started and their children."""

    def __init__(self, seed: int, supervisor: int):
        super().__init__("kills", seed, (2, 5))
        self._supervisor = supervisor

    def act(self) -> None:
        """One process dies."""
        processes = psutil.Process(self._supervisor).children(recursive=True)
        if not processes:
            return
        process = self.random.choice(processes)
        try:
            words = " ".join(process.cmdline())
            process.kill()
        except psutil.Error:
            return
        part = next((word for word in ("gunicorn", "run_ticker", "run_streams") if word in words), "cluster")
        self.counts[f"killed {part}"] += 1


class DatabaseDeaths(Mischief):
    """PostgreSQL dies as in a crash; the supervisor starts it again."""

    def __init__(self, seed: int, data_dir: Path):
        super().__init__("database", seed, (30, 50))
        self._folder = data_dir / "postgres"
        self._postgres = EmbeddedPostgres(self._folder)

    def act(self) -> None:
        """It dies without a word to anybody: as in a crash, or its main process alone by SIGKILL."""
        if self.random.random() < 0.5:
            self._postgres.stop("immediate")
            self.counts["PostgreSQL crashed"] += 1
            return
        try:
            main = int((self._folder / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0])
            os.kill(main, signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            return  # it is down already
        self.counts["PostgreSQL killed"] += 1
