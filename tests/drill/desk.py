"""A whole engine for a drill, as ``make run`` starts it, with its simulator and a database that may be taken away.

Everything is done through the doors that a desk has: the API, the commands, and the simulator's control API.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import psutil
import psycopg
import requests

from execution_project.postgres import EmbeddedPostgres
from execution_project.processes import die_with_parent
from tests.chaos.verdict import rows
from tests.server import ROOT
from tests.simulators import Simulator
from tests.web import free_port

BINANCE, BTCTURK = "sim-binance", "sim-btcturk"
SYMBOL = {BINANCE: "BTCUSDT", BTCTURK: "USDTTRY"}
DATABASE = "execution"
START_S = 300.0
COMMAND_S = 120.0
LIFT_S = 90.0
PAUSE_S = 0.1
PASSPHRASE = "DRILL_PASSPHRASE"
WHY = "A drill that is over: what it staged is put right."
T = TypeVar("T")


class DrillFailed(Exception):
    """A scene could not be staged, or what has to happen did not; the text says what."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the engine answered, and after how many seconds."""

    status: int
    document: Any
    seconds: float

    def must(self, status: int, what: str) -> Any:
        """The document. Raises ``DrillFailed`` for another status."""
        if self.status != status:
            raise DrillFailed(f"{what}: {self.status} {json.dumps(self.document)[:300]}")
        return self.document


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command came to: exit code, the objects that ``--json`` printed, all that it said."""

    code: int
    documents: list[dict[str, Any]]
    said: str


class Desk:
    """One running engine; a context, after which nothing of it is left but its folder, when ``keep`` is set."""

    def __init__(self, say: Callable[[str], None], *, durable: bool = True, keep: bool = False) -> None:
        """``durable=False``: a database that may lose what it committed, for a quick drill that never stops it."""
        self.say, self._durable, self.keep = say, durable, keep
        self.key = ""
        self._session = requests.Session()

    # ------------------------------------------------------------------------------------------- start and end

    def __enter__(self) -> Desk:
        self.folder = Path(tempfile.mkdtemp(prefix="drill-"))
        self.folder.chmod(0o755)
        (self.folder / "simulator").mkdir()
        self.simulator = Simulator(self.folder / "simulator", "--seed", "7", "--short-bounds")
        self._exchange = psutil.Process(self.simulator.pid)
        self.postgres = EmbeddedPostgres(self.folder / "postgres", durable=self._durable)
        self.postgres.start()
        self.postgres.ensure_database(DATABASE)
        self.url = self.postgres.url(DATABASE)
        self.port = free_port()
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_URL", "EXEC_"))}
        self.environment = clean | {
            "EXEC_READ_DOTENV": "0",
            "EXEC_DATA_DIR": str(self.folder / "data"),
            "EXEC_PORT": str(self.port),
            "EXEC_SIMULATOR_PORT": self.simulator.url.rsplit(":", 1)[-1],
            "EXEC_DEMO": "false",
            "DATABASE_URL": self.url,
            "DJANGO_SETTINGS_MODULE": "execution_project.settings",
            PASSPHRASE: uuid4().hex,
        }
        (self.folder / "data").mkdir()
        self._log = (self.folder / "engine.log").open("wb")
        drill = os.getpid()
        self._supervisor = subprocess.Popen(
            [sys.executable, "-m", "execution_project.supervisor", "--without", "simulator", "--without", "static"],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: die_with_parent(signal.SIGTERM, drill),
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._exchange.resume()
        self._session.close()
        self._supervisor.send_signal(signal.SIGTERM)
        try:
            self._supervisor.wait(2)
        except subprocess.TimeoutExpired:
            self._supervisor.send_signal(signal.SIGTERM)  # hard: nothing is kept
            self._supervisor.wait(60)
        self.simulator.stop()
        self.postgres.stop("immediate")
        self._log.close()
        if self.keep:
            self.say(f"logs in {self.folder}")
        else:
            shutil.rmtree(self.folder)

    def await_ready(self) -> None:
        """Until an order would pass the gate on both accounts. Raises ``DrillFailed`` after five minutes."""

        def ready() -> bool:
            if self._supervisor.poll() is not None:
                raise DrillFailed(f"The engine ended at its start; see {self.folder / 'engine.log'}")
            file = self.folder / "data" / "run" / "api-key"
            self.key = file.read_text(encoding="utf-8").strip() if file.is_file() else ""
            if not self.key:
                return False
            try:
                return all(self.call("POST", "order", self._small_sale(name)).status == 200 for name in SYMBOL)
            except requests.RequestException:
                return False

        try:
            self.until(ready, START_S, "the engine takes orders on both accounts")
        except DrillFailed:
            self.keep = True
            raise

    def await_prices(self) -> None:
        """Until a small order to buy would pass: what a scene finds denied is then denied for its own reason."""
        buy = {"account": BINANCE, "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "time_in_force": "GTC"}

        def passes() -> bool:
            whole = {**buy, "quantity": "0.001", "price": str(self.price("0.99")), "validate_only": True}
            return self.call("POST", "order", whole).status == 200

        self.until(passes, LIFT_S, "a small order to buy would pass")

    def _small_sale(self, account: str) -> dict[str, Any]:
        sale = {"account": account, "symbol": SYMBOL[account], "side": "SELL", "type": "MARKET", "validate_only": True}
        return sale | {"quantity": "0.001" if account == BINANCE else "5"}

    # --------------------------------------------------------------------------------------------------- doors

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One call of the API with the first key."""
        return ask(self._session, self.port, self.key, method, path, body, **headers)

    def place(self, side: str, quantity: str, price: Decimal | str, **changes: Any) -> Answer:
        """A limit order for BTCUSDT on the Binance account."""
        body = {"account": BINANCE, "symbol": "BTCUSDT", "side": side, "type": "LIMIT", "quantity": quantity}
        body |= {"price": str(price), "time_in_force": "GTC", **changes}
        return self.call("POST", "order", body, **{"Idempotency-Key": uuid4().hex})

    def resting(self, **changes: Any) -> str:
        """The id of an order to buy far below the market, once the exchange has it."""
        order = self.place("BUY", "0.01", self.price("0.95"), **changes).must(202, "an order that rests")
        self.until(lambda: self.status(order["id"]) == "open", 30, "the order rests at the exchange")
        return str(order["id"])

    def status(self, order_id: str) -> str:
        """An order's status in the engine."""
        return str(self.call("GET", f"order/{order_id}").must(200, "an order")["status"])

    def price(self, factor: str = "1") -> Decimal:
        """So many times the last price of BTCUSDT, on its tick."""
        last = Decimal(self.simulator.call("GET", "/sim/market/BTCUSDT")["last"])
        return (last * Decimal(factor)).quantize(Decimal("0.01"), ROUND_HALF_UP)

    def working(self, account: str | None = None) -> int:
        """How many orders work at the exchanges, by their own word."""
        names = list(SYMBOL) if account is None else [account]
        found = [order for name in names for order in self.simulator.call("GET", f"/sim/orders?account={name}")]
        return sum(order["status"].upper() in {"NEW", "PARTIALLY_FILLED", "UNTOUCHED", "PARTIAL"} for order in found)

    def manage(self, *arguments: str) -> Ran:
        """Run ``manage.py … --json`` to its end."""
        ran = subprocess.run(
            [sys.executable, "manage.py", *arguments, "--json"],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        documents = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
        return Ran(ran.returncode, documents, f"{ran.stdout}{ran.stderr}".strip())

    def must_manage(self, *arguments: str) -> Ran:
        """The same for a command that has to succeed. Raises ``DrillFailed``."""
        ran = self.manage(*arguments)
        if ran.code != 0:
            raise DrillFailed(f"{arguments[0]} ended with {ran.code}: {ran.said[-300:]}")
        return ran

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """What a query of the engine's database answers: times that no door tells."""
        return rows(self.url, statement, *values)

    def first(self, statement: str, *values: Any) -> Any:
        """The first field of the first row."""
        return self.rows(statement, *values)[0][0]

    def until(self, condition: Callable[[], T], within_s: float, what: str) -> T:
        """The condition's first true value. Raises ``DrillFailed`` after ``within_s`` seconds."""
        ends = time.monotonic() + within_s
        while not (value := condition()):
            if time.monotonic() > ends:
                raise DrillFailed(f"not within {within_s:.0f} s: {what}")
            time.sleep(PAUSE_S)
        return value

    # ------------------------------------------------------------------------------------------------- outages

    def hang_exchange(self) -> None:
        """The simulator takes connections and answers nothing, on both exchanges."""
        self._exchange.suspend()

    def wake_exchange(self) -> None:
        """It answers again."""
        self._exchange.resume()

    def calm(self) -> None:
        """Whatever a scene left: the exchange answers without faults, the database runs."""
        self.wake_exchange()
        self.simulator.call("DELETE", "/sim/faults")
        self.simulator.call("POST", "/sim/market/unfreeze", {})
        if not self.postgres.is_running():
            self.postgres.start()

    # --------------------------------------------------------------------------------------------------- kills

    def kill(self, scope: Any, reason: str) -> tuple[dict[str, Any], float]:
        """Kill a scope at the API; its document, and the seconds until the latch stood and was answered."""
        answer = self.call("POST", "kill", {"scope": scope, "reason": reason})
        return answer.must(200, "the kill")["kill"], answer.seconds

    def kill_document(self, kill_id: str) -> dict[str, Any]:
        """A kill as it stands."""
        document: dict[str, Any] = self.call("GET", f"kills/{kill_id}").must(200, "the kill's page")
        return document

    def await_verdict(self, kill_id: str, verdict: str, within_s: float) -> dict[str, Any]:
        """The kill's document once it has this verdict."""

        def judged() -> dict[str, Any] | None:
            document = self.kill_document(kill_id)
            return document if document["verdict"] == verdict else None

        return self.until(judged, within_s, f"the kill is {verdict}") or {}

    def first_cancel_ms(self, kill_id: str) -> str:
        """From the latch to the first cancel that was stamped for the wire."""
        ms = self.first(
            "SELECT extract(epoch FROM min(a.claimed_at) - k.killed_at) * 1000 FROM risk_killepisode k"
            " LEFT JOIN orders_attempt a ON a.kind = 'cancel' AND a.claimed_at >= k.killed_at WHERE k.id = %s"
            " GROUP BY k.killed_at",
            kill_id,
        )
        return "none" if ms is None else f"{ms:.0f}"

    def cancel_ms(self, order_id: str) -> float:
        """From when an order's cancel was asked for to its first stamp for the wire."""
        return float(
            self.first(
                "SELECT extract(epoch FROM min(a.claimed_at) - min(c.created_at)) * 1000 FROM orders_command c"
                " JOIN orders_attempt a ON a.command_id = c.id WHERE c.kind = 'cancel' AND c.order_id = %s",
                order_id,
            )
        )

    def lift(self, scope: Any, kill_id: str | None = None) -> int:
        """Lift a latch: proposed with the first key, approved by another person; how many approvals it took."""
        if kill_id is not None:
            self.call("POST", f"kills/{kill_id}/cause", {"cause": "a drill"}).must(200, "the cause on record")
        approvals = 0
        while self.state(scope) != "ACTIVE":
            self.until(lambda: self._approved(scope), LIFT_S, "a latch is lifted by two persons")
            approvals += 1
        return approvals

    def _approved(self, scope: Any) -> bool:
        asked = self.call("POST", "start", {"scope": scope, "reason": WHY})
        if asked.status != 202:
            return asked.status == 200
        return self.manage("approve", asked.document["approval"]["id"], "--reason", WHY).code == 0

    def state(self, scope: Any) -> str:
        """ACTIVE, REDUCE_ONLY or HALTED."""
        document = self.call("GET", "state").must(200, "the state")
        found = [each["state"] for each in document["scopes"] if each["scope"] == scope]
        return str(found[0]) if found else "ACTIVE"

    def database_answers(self) -> bool:
        """Whether the database takes connections."""
        try:
            return bool(self.first("SELECT true"))
        except psycopg.OperationalError:
            return False


def ask(
    session: requests.Session, port: int, key: str, method: str, path: str, body: Any = None, **headers: str
) -> Answer:
    """One call of the API of the engine at this port."""
    began = time.monotonic()
    answer = session.request(
        method,
        f"http://127.0.0.1:{port}/api/exec/{path}",
        json=body,
        headers={"Authorization": f"Bearer {key}", **headers},
        timeout=60,
    )
    return Answer(answer.status_code, answer.json(), time.monotonic() - began)
