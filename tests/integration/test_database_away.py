"""A database that is gone for five seconds: every request gets a clear answer, and afterwards nothing is half done."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from execution_project.common import clock
from execution_project.postgres import EmbeddedPostgres
from tests import web
from tests.processes import Processes
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
SEED = (
    "from tests.factories import api_key, funded_account; "
    "print(funded_account(BTC='1').name, api_key(requests_per_second=1000))"
)
AWAY_S = 5
# Rows of everything that an accepted order consists of.
PARTS = (
    *("orders_order", "risk_decision", "orders_exchangeorder", "risk_reservation", "orders_command"),
    *("django_q_ormq", "common_idempotencykey"),
)


@pytest.fixture
def postgres() -> Iterator[EmbeddedPostgres]:
    """A server of its own, which may be stopped, and keeps what it has committed."""
    folder = Path(os.environ["EXEC_DATA_DIR"]) / f"away-{os.getpid()}"
    server = EmbeddedPostgres(folder)
    server.start()
    try:
        server.ensure_database("execution")
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def test_a_database_that_is_gone_for_five_seconds_leaves_nothing_half_written(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    url = postgres.url("execution")
    with Processes(tmp_path, database_url=url) as processes:
        processes.run("migrate", EXEC_DATABASE_ROLE="", timeout=120)
        account, key = processes.run("shell", "-v", "0", "-c", SEED).split()[-2:]
        base = web.start_web(processes)
        # A sale of what is held needs no fresh price, however long the database is away.
        order = {"account": account, "symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": "0.001"}

        def place(idempotency_key: str) -> tuple[int, dict[str, str]]:
            return web.call(base, key, "POST", "order", order, **{"Idempotency-Key": idempotency_key})

        assert place("before")[0] == 202
        postgres.stop("immediate")
        gone_at = clock.monotonic()

        def is_over() -> bool:
            calls = [place("meanwhile"), web.call(base, key, "GET", "positions")]
            calls.append(web.call(base, key, "POST", "stop", {"scope": "global", "reason": "a test"}))
            for status, document in calls:
                assert (status, document["code"]) == (503, "DATABASE_UNAVAILABLE"), document
            return clock.monotonic() > gone_at + AWAY_S

        wait_until(is_over, 30, "five seconds of outage", every=0.5)
        postgres.start()
        status, first = place("meanwhile")
        assert status == 202, first
        status, again = place("meanwhile")
        assert (status, again["id"]) == (202, first["id"])
        assert web.call(base, key, "GET", "positions")[0] == 200
    with psycopg.connect(url) as connection:
        counts = {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone() for table in PARTS}
        halted = connection.execute("SELECT count(*) FROM risk_tradingstate").fetchone()
    assert counts == dict.fromkeys(PARTS, (2,))
    assert halted == (0,)
