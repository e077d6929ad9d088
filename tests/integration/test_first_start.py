"""What a first start runs: seed, demo orders through the API, and opening an account's books."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import LazySettings
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django.live_server_helper import LiveServer

from exchanges.models import Account, Instrument
from exchanges.syncing import sync_balances, sync_quotes
from execution_project.common.models import ApiKey
from orders import notifications
from orders.api import waiting
from orders.models import Order
from positions.equity import value_mode
from positions.models import Holding
from risk.models import Limit
from tests.engines import drain, make_engine
from tests.simulators import Simulator
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e


@pytest.fixture
def seeded(transactional_db: None, simulator: Simulator, settings: LazySettings, tmp_path: Path) -> Path:
    """A seeded installation; its data folder."""
    settings.EXEC_SIMULATOR_PORT = urlsplit(simulator.url).port
    settings.EXEC_DATA_DIR = tmp_path
    call_command("seed", stdout=StringIO())
    return tmp_path


def test_seed_makes_both_accounts_once_and_shows_the_same_secrets_again(seeded: Path) -> None:
    names = ["paper-binance", "sim-binance", "sim-btcturk"]
    assert list(Account.objects.order_by("name").values_list("name", flat=True)) == names
    assert not Account.objects.filter(books_opened_at__isnull=True).exists()
    assert Instrument.objects.filter(exchange="btcturk", symbol="BTCTRY").exists()
    first = (seeded / "run" / "welcome.txt").read_text()
    assert (seeded / "run" / "welcome.txt").stat().st_mode & 0o077 == 0
    holdings, limits = Holding.objects.count(), Limit.objects.count()
    assert limits > len(names)
    call_command("seed", stdout=StringIO())
    assert (seeded / "run" / "welcome.txt").read_text() == first
    assert (Account.objects.count(), ApiKey.objects.count(), Limit.objects.count()) == (3, 1, limits)
    assert (Holding.objects.count(), get_user_model().objects.count()) == (holdings, 1)


def test_seed_says_what_is_missing_without_a_simulator(
    transactional_db: None, settings: LazySettings, tmp_path: Path
) -> None:
    settings.EXEC_SIMULATOR_PORT, settings.EXEC_DATA_DIR = 9, tmp_path
    with pytest.raises(CommandError, match="does not answer"):
        call_command("seed", stdout=StringIO())


def test_seed_refuses_production(settings: LazySettings) -> None:
    settings.EXEC_ENV = "production"
    with pytest.raises(CommandError, match="Seeding is for development"):
        call_command("seed", stdout=StringIO())


@pytest.fixture
def worker() -> Iterator[None]:
    """Somebody who runs what is queued, until the test is over."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.05):
            drain()
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    over.set()
    thread.join()


def test_demo_orders_are_placed_through_the_api(
    seeded: Path,
    settings: LazySettings,
    live_server: LiveServer,
    worker: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notifications, "IDLE_S", 0.2)
    address = urlsplit(live_server.url)
    settings.EXEC_HOST, settings.EXEC_PORT = address.hostname, address.port
    account = Account.objects.get(name="sim-binance")
    sync_quotes(account)
    sync_balances(account)
    value_mode(account.mode)
    output = StringIO()
    call_command("place_demo_orders", stdout=output)
    lines = output.getvalue().splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "BUY MARKET for 500 USDT BTC",
        "BUY LIMIT 0.01 BTC",
        "SELL MARKET 0.002 BTC",
    ]
    assert sorted(Order.objects.values_list("side", "type")) == [
        ("BUY", "LIMIT"),
        ("BUY", "MARKET"),
        ("SELL", "MARKET"),
    ]
    assert not Order.objects.filter(status="denied").exists()
    wait_until(lambda: not waiting.listener.is_listening(), 30, "the listener to end")


def test_books_are_opened_once_and_never_over_working_orders(transactional_db: None, simulator: Simulator) -> None:
    engine = make_engine(simulator)
    with pytest.raises(CommandError, match="There is no account 'nobody'"):
        call_command("open_books", "nobody")
    with pytest.raises(CommandError, match="were opened before"):
        call_command("open_books", engine.account.name)
    Account.objects.update(books_opened_at=None)
    assert engine.place(quantity="0.01")[1]["code"] == "BOOKS_NOT_OPEN"
    foreign = {"account": engine.account.name, "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT"}
    body = {**foreign, "quantity": "0.01", "price": "50000.00", "time_in_force": "GTC"}
    order = simulator.call("POST", "/sim/orders", body)
    with pytest.raises(CommandError, match="1 orders are working"):
        call_command("open_books", engine.account.name)
    simulator.call(
        "DELETE",
        "/sim/orders",
        {"account": engine.account.name, "symbol": "BTCUSDT", "order_id": order["order_id"]},
    )
    output = StringIO()
    connection.cursor().execute("TRUNCATE positions_tradecursor, positions_ledgerentry, positions_holding")
    call_command("open_books", engine.account.name, stdout=output)
    assert "BTC 10\n" in output.getvalue()
    assert Holding.objects.get(asset="BTC", strategy=None).quantity == 10
