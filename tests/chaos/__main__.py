"""``make chaos SEED=n``: clients trade on both exchanges while everything fails; then everything must come to rest.

Exit status 0 when no order was sent twice or lost and the books equal the exchange to the last digit, else 1.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import requests

from execution_project.common import clock
from tests.chaos.clients import Client, Ledger
from tests.chaos.mischief import DatabaseDeaths, Faults, ForeignOrders, Kills, Mischief, StandingFaults
from tests.chaos.verdict import Line, restless, rows, verdict
from tests.server import ROOT
from tests.simulators import Simulator
from tests.web import free_port

ACCOUNTS = ["sim-binance", "sim-btcturk"]
CLIENTS_EACH = 2
START_S = 240.0
REST_S = 420.0
"""BTCTurk grants few readings a minute, and what is unknown waits until every trade is explained."""
LONG_ENOUGH_S = 45.0
"""In so many seconds every kind of trouble happens."""


class Run:
    """One engine with its supervisor, one simulator, and the trouble between them."""

    def __init__(self, folder: Path, seed: int, seconds: float, say: Callable[[str], None]):
        self.folder, self.seed, self.seconds, self.say = folder, seed, seconds, say
        self.data_dir = folder / "data"
        self.counts: Counter[str] = Counter()
        self.broken: list[str] = []
        self.ledger = Ledger()

    def __enter__(self) -> Run:
        (self.folder / "simulator").mkdir()
        self.data_dir.mkdir()
        self.simulator = Simulator(self.folder / "simulator", "--seed", str(self.seed), "--short-bounds")
        self.port = free_port()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DATABASE_URL")}
        environment |= {
            "EXEC_READ_DOTENV": "0",
            "EXEC_DATA_DIR": str(self.data_dir),
            "EXEC_PORT": str(self.port),
            "EXEC_SIMULATOR_PORT": self.simulator.url.rsplit(":", 1)[-1],
            "EXEC_DEMO": "false",
            "EXEC_DATABASE_ROLE": "exec_engine",
            "DJANGO_SETTINGS_MODULE": "execution_project.settings",
        }
        self.log = (self.folder / "engine.log").open("wb")
        self.supervisor = subprocess.Popen(
            [sys.executable, "-m", "execution_project.supervisor", "--without", "simulator", "--without", "static"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.send_signal(signal.SIGTERM)
        try:
            self.supervisor.wait(60)
        except subprocess.TimeoutExpired:
            self.supervisor.send_signal(signal.SIGTERM)
            self.supervisor.wait(60)
        self.simulator.stop()
        self.log.close()

    @property
    def base(self) -> str:
        """Of the API."""
        return f"http://127.0.0.1:{self.port}/api/exec"

    @property
    def url(self) -> str:
        """Of the engine's database."""
        return (self.data_dir / "run" / "database-url").read_text(encoding="utf-8").strip()

    def _key(self) -> str:
        return (self.data_dir / "run" / "api-key").read_text(encoding="utf-8").strip()

    def await_ready(self) -> None:
        """Until an order would pass the gate on both accounts."""
        deadline = time.monotonic() + START_S
        waiting = dict.fromkeys(ACCOUNTS, "nothing asked yet")
        while waiting:
            if self.supervisor.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"The engine is not ready: {waiting}; see {self.folder / 'engine.log'}")
            for account in list(waiting):
                symbol = "BTCUSDT" if account == "sim-binance" else "USDTTRY"
                body = {"account": account, "symbol": symbol, "side": "SELL", "type": "MARKET"}
                body |= {"quantity": "0.001" if symbol == "BTCUSDT" else "5", "validate_only": True}
                try:
                    answer = requests.post(
                        f"{self.base}/order", json=body, headers={"Authorization": f"Bearer {self._key()}"}, timeout=5
                    )
                    waiting[account] = answer.text[:300]
                    if answer.status_code == 200:
                        del waiting[account]
                except (OSError, requests.RequestException) as error:
                    waiting[account] = str(error)
            time.sleep(0.3)

    def trade(self) -> None:
        """Clients and trouble, for the time that was asked for."""
        key = self._key()
        clients = [
            Client(number, self.seed, self.base, key, account, self.simulator, self.ledger)
            for number, account in enumerate(ACCOUNTS * CLIENTS_EACH)
        ]
        trouble: list[Mischief] = [
            Faults(self.seed, self.simulator),
            StandingFaults(self.seed, self.simulator),
            ForeignOrders(self.seed, self.simulator),
            Kills(self.seed, self.supervisor.pid),
            DatabaseDeaths(self.seed, self.data_dir),
        ]
        threads = [*clients, *trouble]
        for thread in threads:
            thread.start()
        ends = time.monotonic() + self.seconds
        while (left := ends - time.monotonic()) > 0:
            time.sleep(min(10, left))
            self.say(f"{max(0, ends - time.monotonic()):4.0f} s left, {len(self.ledger.orders)} orders")
        for thread in trouble:
            thread.stopping.set()
        for thread in clients:
            thread.stopping.set()
        for thread in threads:
            thread.join()
        for mischief in trouble:
            self.counts += mischief.counts
            self.broken += mischief.broken
            if not mischief.counts and self.seconds >= LONG_ENOUGH_S:
                self.broken.append(f"{mischief.name} did nothing")

    def come_to_rest(self) -> tuple[float, dict[str, int]]:
        """The exchange works again, every order is asked to end; seconds until nothing moves, and what still does."""
        self.simulator.call("DELETE", "/sim/faults")
        began = time.monotonic()
        ender = Client(99, self.seed, self.base, self._key(), ACCOUNTS[0], self.simulator, self.ledger)
        for account in ACCOUNTS:
            ender.call("DELETE", f"orders?account={account}")
        moving: dict[str, int] = {"everything": 1}
        while moving and time.monotonic() - began < REST_S:
            time.sleep(0.5)
            moving = restless(self.url) or self._books_behind()
            if int(time.monotonic() - began) % 20 == 0:
                self.say(f"coming to rest: {moving}")
        return time.monotonic() - began, moving

    def _books_behind(self) -> dict[str, int]:
        """Trades of foreign orders that are not booked yet: nothing of ours moves, and still the books are late."""
        there = sum(len(self.simulator.call("GET", f"/sim/trades?account={account}")) for account in ACCOUNTS)
        [(here,)] = rows(self.url, "SELECT count(*) FROM positions_fill")
        return {"trades not booked": there - here} if there > here else {}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one seed came to: its table as text, and whether everything in it is as it must be."""

    seed: int
    table: str
    passed: bool


def run_seed(seed: int, seconds: float, *, keep: bool = False) -> Outcome:
    """Trouble for so many seconds, then rest, then the judgement; the folder stays when it failed, or with ``keep``."""
    folder = Path(tempfile.mkdtemp(prefix=f"chaos-{seed}-"))
    folder.chmod(0o755)

    def say(text: str) -> None:
        print(f"chaos {seed}: {text}", file=sys.stderr, flush=True)

    with Run(folder, seed, seconds, say) as run:
        run.await_ready()
        say("ready")
        run.trade()
        took, moving = run.come_to_rest()
        lines, words = verdict(run.url, run.simulator, ACCOUNTS, run.ledger)
    words += [f"not answered: {text}" for text in run.ledger.unanswered]
    words += [f"trouble that did not happen: {text}" for text in run.broken]
    words += [f"still moving: {count} {what}" for what, count in moving.items()]
    lines += [Line(f"trouble: {what}", str(count)) for what, count in sorted(run.counts.items())]
    lines.append(Line("seconds until nothing moved", f"{took:.1f}", not moving))
    failed = bool(words) or any(line.good is False for line in lines)
    width = max(len(line.what) for line in lines)
    marks = {None: " ", True: "✓", False: "✗"}
    table = [f"seed {seed}, {seconds:.0f} s of trouble"]
    table += [f"{marks[line.good]} {line.what:<{width}}  {line.figure}" for line in lines]
    table += [f"  {text}" for text in words[:50]]
    table.append("FAILED" if failed else "passed")
    if failed or keep:
        say(f"logs in {folder}")
    else:
        shutil.rmtree(folder)
    return Outcome(seed, "\n".join(table), not failed)


def _seeds(text: str) -> list[int]:
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=_seeds, default=[1], metavar="N[-M]", help="one seed, or from N to M")
    parser.add_argument("--seconds", type=float, default=60, help="how long it is troubled (default 60)")
    parser.add_argument("--keep", action="store_true", help="leave the folders with logs and databases behind")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the tables of all seeds to this file as well")
    parser.add_argument("--jobs", type=int, default=1, help="seeds that run at the same time (default 1)")
    arguments = parser.parse_args()

    def run(seed: int) -> Outcome:
        return run_seed(seed, arguments.seconds, keep=arguments.keep)

    outcomes: list[Outcome] = []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for outcome in pool.map(run, arguments.seed):
            outcomes.append(outcome)
            print(outcome.table, flush=True)
    failed = [outcome.seed for outcome in outcomes if not outcome.passed]
    told = f"{len(outcomes)} seeds, {len(failed)} failed" + (f": {failed}" if failed else "")
    if len(outcomes) > 1:
        print(told)
    if arguments.write is not None:
        head = [
            "What `make proof` printed: trades on both exchanges while everything fails, then the count.",
            f"{clock.now():%Y-%m-%d}, {os.cpu_count()} processors, {told}.",
        ]
        arguments.write.write_text(
            "\n\n".join(["\n".join(head), *(o.table for o in outcomes)]) + "\n", encoding="utf-8"
        )
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
