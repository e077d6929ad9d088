"""The exchange simulator as a process of its own, with a small client for its control API."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.measuring import python
from tests.server import ROOT


class ControlApi:
    """The control API of a simulator that listens somewhere."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One call of the control API (docs/simulator.md)."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    def fault(self, kind: str, call: str = "POST /api/v3/order", times: int | None = 1, **parameters: Any) -> None:
        """Inject a fault into the next ``times`` calls; None: until the faults are lifted."""
        self.call("POST", "/sim/faults", {"call": call, "kind": kind, "times": times, **parameters})

    def posted(self) -> dict[str, int]:
        """How often each client order id reached the exchange, by its own count."""
        counters = self.call("GET", "/sim/counters")["client_order_ids"]
        return {name: counter["received"] for name, counter in counters.items() if counter["received"]}

    def trade(self, symbol: str, price: str, quantity: str, aggressor: str, exchange: str = "binance") -> None:
        """A print that fills resting orders at or through its price, up to its quantity."""
        body = {"price": price, "quantity": quantity, "aggressor": aggressor}
        query = "" if exchange == "binance" else f"?exchange={exchange}"
        self.call("POST", f"/sim/market/{symbol}/trade{query}", body)

    def balances(self, account: str) -> dict[str, Decimal]:
        """Ground truth: free and locked together, per asset, without zeros."""
        rows = self.call("GET", f"/sim/balances?account={account}")
        totals = {asset: Decimal(row["free"]) + Decimal(row["locked"]) for asset, row in rows.items()}
        return {asset: total for asset, total in totals.items() if total}

    def book(self, symbol: str, bid: str, ask: str, quantity: str = "10", exchange: str = "binance") -> None:
        """Set the displayed book: levels of this quantity, one tick apart, from these prices on."""
        query = "" if exchange == "binance" else f"?exchange={exchange}"
        self.call("POST", f"/sim/market/{symbol}{query}", {"bid": bid, "ask": ask, "quantity": quantity})


class Simulator(ControlApi):
    """A running simulator on a free loopback port."""

    def __init__(self, data_dir: Path, *options: str) -> None:
        self._process = subprocess.Popen(
            python(
                *("-m", "exchanges.simulator", "--port", "0", "--data-dir", str(data_dir), *options),
                source="exchanges/simulator",
            ),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert "listening on " in line, f"the simulator said {line!r}"
        super().__init__(line.strip().rsplit(" ", 1)[-1])

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait(60)
