"""The README's tour and the client guide's recipes, run line by line against web, clusters and ticker as processes."""

from __future__ import annotations

import sys

import pytest

from exchanges.models import Quote
from execution_project.common import clock
from tests.engines import Engine, make_engine, started
from tests.integration.documents import blocks, run_python, run_shell
from tests.processes import Processes, current_database_url
from tests.waiting import wait_until
from tests.web import start_web

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def start_everything(engine: Engine, processes: Processes) -> tuple[dict[str, str], dict[str, str]]:
    """Both exchanges, every cluster, ticker and web; returns the names to put in place and the environment."""
    turk = make_engine(engine.simulator, exchange="btcturk")
    for queue in ("submit-binance", "submit-btcturk", "cancel", "housekeeping"):
        processes.manage("run_cluster", queue)
    processes.manage("run_ticker")
    base = start_web(processes)
    placed_at = clock.now()
    wait_until(lambda: Quote.objects.filter(confirmed_at__gt=placed_at).count() >= 8, 30, "quotes of both exchanges")
    wait_until(started, 30, "the start to be reconciled")
    names = {"sim-binance": engine.account.name, "sim-btcturk": turk.account.name}
    return names, {"BASE": f"{base}/api/exec", "KEY": engine.api_key}


def test_the_readmes_tour_and_the_client_guide_do_what_they_say(engine: Engine, processes: Processes) -> None:
    names, environment = start_everything(engine, processes)
    lines = [line for _, text in blocks("README.md", "Tour") for line in text.splitlines()]
    assert run_shell(lines, names=names, **environment) >= 14
    whole = blocks("docs/client-guide.md")
    run_python("\n".join(text for language, text in whole if language == "python"), names=names, **environment)
    lines = [line for language, text in whole if language == "sh" for line in text.splitlines()]
    assert run_shell(lines, names=names, **environment) >= 12


def test_going_live_in_the_order_of_its_document(engine: Engine, processes: Processes) -> None:
    """Every command, against the simulator instead of the exchange; nothing else differs."""
    start_everything(engine, processes)
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
