"""A running simulator process per test session, wiped before each test, and a client for its wires."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from binance.client import Client

from tests.exchanges.simulator.btcturk_client import Turk
from tests.measuring import python

ROOT = Path(__file__).resolve().parents[3]
KEY, SECRET = "key-one", "secret-one"
ORDER = "/api/v3/order"


class Reply(NamedTuple):
    status: int
    body: Any
    headers: dict[str, str]


class Simulator:
    """One simulator process."""

    def __init__(self, data_dir: Path, *arguments: str) -> None:
        self.data_dir = data_dir
        self.process = subprocess.Popen(
            python(
                *("-m", "exchanges.simulator", "--port", "0", "--data-dir", str(data_dir), *arguments),
                source="exchanges/simulator",
            ),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        prefix = "simulator listening on "
        assert line.startswith(prefix), line
        self.url = line.removeprefix(prefix)
        self.port = int(self.url.rpartition(":")[2])

    def stop(self) -> int:
        self.process.terminate()
        return self._wait()

    def kill(self) -> int:
        self.process.kill()
        return self._wait()

    def _wait(self) -> int:
        status = self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    def request(
        self, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            raw = answer.read()
        finally:
            connection.close()
        is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        return Reply(answer.status, json.loads(raw) if is_json else raw, dict(answer.headers))

    def sim(self, method: str, path: str, body: Any = None) -> Any:
        reply = self.request(method, f"/sim/{path}", None if body is None else json.dumps(body).encode())
        assert reply.status == 200, reply
        return reply.body

    def signed(self, method: str, path: str, *, key: str = KEY, secret: str = SECRET, **params: Any) -> Reply:
        params.setdefault("timestamp", int(time.time() * 1000))
        payload = urlencode(params)
        signature = hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
        signed = f"{payload}&signature={signature}"
        headers = {"X-MBX-APIKEY": key}
        if method == "GET":
            return self.request(method, f"{path}?{signed}", None, headers)
        return self.request(method, path, signed.encode(), headers)

    def limit(self, side: str, quantity: str, price: str, **extra: Any) -> Reply:
        params = {"symbol": "BTCUSDT", "type": "LIMIT", "timeInForce": "GTC", **extra}
        return self.signed("POST", ORDER, side=side, quantity=quantity, price=price, **params)

    def market(self, side: str, **extra: Any) -> Reply:
        return self.signed("POST", ORDER, **{"symbol": "BTCUSDT", "type": "MARKET", "side": side, **extra})

    def book(self, bids: list[list[str]], asks: list[list[str]], symbol: str = "BTCUSDT") -> Any:
        return self.sim("POST", f"market/{symbol}", {"bids": bids, "asks": asks})

    def fault(self, kind: str, call: str = "*", **options: Any) -> Any:
        return self.sim("POST", "faults", {"call": call, "kind": kind, **options})

    def account(self, name: str = "one", key: str = KEY, secret: str = SECRET, **options: Any) -> Any:
        balances = {"USDT": "1000000", "BTC": "10", "ETH": "100"}
        body = {"name": name, "api_key": key, "api_secret": secret, "balances": balances, **options}
        return self.sim("POST", "accounts", body)

    def balance(self, asset: str, account: str = "one") -> tuple[Decimal, Decimal]:
        found = self.sim("GET", f"balances?account={account}").get(asset, {"free": "0", "locked": "0"})
        return Decimal(found["free"]), Decimal(found["locked"])

    def counter(self, client_id: str) -> tuple[int, int]:
        counts = self.sim("GET", "counters")["client_order_ids"].get(client_id, {"received": 0, "executed": 0})
        return counts["received"], counts["executed"]

    def until(self, condition: Callable[[], Any], seconds: float = 5.0) -> Any:
        """Ask again until the answer is true; the asking itself is the wait."""
        deadline = time.monotonic() + seconds
        while not (answer := condition()):
            assert time.monotonic() < deadline, "condition never came true"
        return answer

    def client(self, key: str = KEY, secret: str = SECRET) -> Client:
        class Local(Client):
            API_URL = f"{self.url}/api"

        return Local(key, secret, ping=False)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    simulator = Simulator(tmp_path_factory.mktemp("simulator"), "--seed", "7", "--frozen", "--short-bounds")
    yield simulator
    assert simulator.stop() == 0


@pytest.fixture
def simulator(running: Simulator) -> Simulator:
    """A frozen market at 60000 with one account, nothing else."""
    running.sim("POST", "reset")
    running.account()
    running.book([["59999.00", "1"], ["59998.00", "2"]], [["60000.00", "1"], ["60001.00", "2"]])
    return running


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Simulator]]:
    """Start simulators of one's own; all are stopped at the end."""
    started: list[Simulator] = []

    def begin(*arguments: str, data_dir: Path = tmp_path) -> Simulator:
        started.append(Simulator(data_dir, *arguments))
        return started[-1]

    yield begin
    for simulator in started:
        if simulator.process.poll() is None:
            simulator.kill()


@pytest.fixture
def turk(simulator: Simulator) -> Turk:
    """An account at BTCTurk with BTCTRY at 3000000, quotas off and cancels immediate."""
    turk = Turk(simulator)
    turk.open()
    turk.settings(limits_on=False, cancel_delay_ms=0)
    turk.book([["2999000", "1"], ["2998000", "2"]], [["3000000", "1"], ["3001000", "2"]])
    return turk
