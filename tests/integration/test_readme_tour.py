"""The README's tour and the client guide's recipes, run line by line against web, clusters and ticker as processes."""

from __future__ import annotations

import sys
from decimal import Decimal

import pytest
from django.conf import settings

from exchanges.accounts import add_account
from exchanges.models import Account, Quote
from exchanges.syncing import sync_instruments
from execution_project.common import clock
from positions.opening import open_books
from positions.paper_deposits import deposit
from risk.limits import tighten_or_set
from tests.engines import BY, Engine, make_engine, started
from tests.integration.documents import blocks, run_python, run_shell
from tests.processes import Processes, current_database_url
from tests.waiting import wait_until
from tests.web import start_web

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.xdist_group("engines")]


def start_everything(engine: Engine, processes: Processes) -> tuple[dict[str, str], dict[str, str]]:
    """Both exchanges, every cluster, ticker and web; returns the names to put in place and the environment."""
    turk = make_engine(engine.simulator, exchange="btcturk")
    Account.objects.filter(pk=engine.account.pk).update(
        ws_url=engine.simulator.url.replace("http", "ws") + "/ws-api/v3"
    )
    paper = add_account("paper", exchange="binance", mode="paper", by=BY)
    sync_instruments(paper)
    deposit(paper, "USDT", Decimal(100_000), reason="a tour", by=BY)
    tighten_or_set("max_order_notional", "paper", "account", "paper", Decimal(25_000), reason="a tour", by=BY)
    open_books(paper, by=BY)
    processes.manage("run_streams")
    for queue in settings.EXEC_QUEUES:
        processes.manage("run_cluster", queue)
    processes.manage("run_ticker")
    base = start_web(processes)
    placed_at = clock.now()
    wait_until(lambda: Quote.objects.filter(confirmed_at__gt=placed_at).count() >= 8, 30, "quotes of both exchanges")
    wait_until(started, 30, "the start to be reconciled")
    names = {"sim-binance": engine.account.name, "sim-btcturk": turk.account.name, "paper-binance": "paper"}
    return names, {"BASE": f"{base}/api/exec", "KEY": engine.api_key}


def test_the_documents_do_what_they_say_line_by_line(engine: Engine, processes: Processes) -> None:
    """The README's tour, the client guide's recipes, and going live against the simulator instead of the exchange.

    One engine for all of them: starting one takes longer than any document.
    """
    names, environment = start_everything(engine, processes)
    lines = [line for _, text in blocks("README.md", "Tour") for line in text.splitlines()]
    assert run_shell(lines, names=names, **environment) >= 14
    whole = blocks("docs/client-guide.md")
    run_python("\n".join(text for language, text in whole if language == "python"), names=names, **environment)
    lines = [line for language, text in whole if language == "sh" for line in text.splitlines()]
    assert run_shell(lines, names=names, **environment) >= 12
    go_live(engine)


def go_live(engine: Engine) -> None:
    """Every command of the document; nothing but the exchange's address differs."""
    key, secret = "desk-key-0001", "desk-secret-0001"
    body = {"name": "desk", "api_key": key, "api_secret": secret, "balances": {"USDT": "1000", "BTC": "0.01"}}
    engine.simulator.call("POST", "/sim/accounts", body)
    lines = [line for language, text in blocks("docs/going-live.md") for line in text.splitlines() if language == "sh"]
    names = {
        "manage.py ": f"{sys.executable} manage.py ",
        "--mode live": f"--mode sandbox --rest-url {engine.simulator.url}",
    }
    environment = {
        "DESK_KEY": key,
        "DESK_SECRET": secret,
        "DATABASE_URL": current_database_url(),
        "DJANGO_SETTINGS_MODULE": "execution_project.settings",
    }
    assert run_shell(lines, names=names, **environment) >= 6
