"""Paper accounts alone, on the public data of the exchange: no key anywhere, and none goes out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from exchanges.accounts import add_account
from exchanges.adapters import NOBODY
from exchanges.binance.client import BinanceClient
from exchanges.default_urls import DEFAULT_URLS, Urls
from exchanges.models import Account, Instrument, Quote
from exchanges.paper import public
from exchanges.paper.public import public_market, public_markets
from exchanges.streams.fleet import Fleet
from execution_project.stream_hints import handlers
from orders.sweeping import ring_instruments, ring_market_data
from tests.engines import BY, drain
from tests.factories import AccountFactory
from tests.simulators import Simulator

pytestmark = pytest.mark.e2e


@pytest.fixture(params=["binance", "btcturk"])
def exchange(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, simulator: Simulator, transactional_db: None
) -> Iterator[str]:
    """The simulator stands for the exchange's own hosts, which no test may reach."""
    name: str = request.param
    path = "/ws-api/v3" if name == "binance" else "/ws"
    urls = Urls(simulator.url, simulator.url.replace("http", "ws") + path)
    monkeypatch.setitem(DEFAULT_URLS, (name, "sandbox"), urls)
    for other in [key for key in DEFAULT_URLS if key[1] == "sandbox" and key[0] != name]:
        monkeypatch.delitem(DEFAULT_URLS, other)
    monkeypatch.setattr(public, "KEYLESS_MODES", frozenset({"sandbox"}))
    yield name


def test_pairs_and_quotes_come_without_a_key(exchange: str, simulator: Simulator) -> None:
    assert public_markets() == []
    add_account("p", exchange=exchange, mode="paper", by=BY)
    ring_instruments()
    drain()
    paper = Instrument.objects.filter(exchange=exchange, mode="paper", is_trading=True)
    assert paper.filter(symbol="BTCUSDT").exists()
    assert ring_market_data() == 1
    drain()
    quote = Quote.objects.get(instrument__mode="paper", instrument__symbol="BTCUSDT")
    assert (quote.bid, quote.ask) == (60000, 60010)
    assert Account.objects.count() == 1, "what is asked stands for nobody and is not stored"
    headers = BinanceClient(NOBODY, simulator.url).session.headers
    assert "X-MBX-APIKEY" not in {name.upper() for name in headers}


def test_books_are_listened_to_for_what_paper_trades(exchange: str, monkeypatch: pytest.MonkeyPatch) -> None:
    add_account("p", exchange=exchange, mode="paper", by=BY)
    ring_instruments()
    drain()
    told: dict[str, Any] = {}
    fleet = Fleet(handlers())
    monkeypatch.setattr(fleet, "_handlers", handlers().__class__(*(lambda *given: ["BTCUSDT"] for _ in range(5))))
    told.update(fleet._wanted().markets)
    account, instruments = told[f"{exchange}:sandbox"]
    assert (account.pk, list(instruments)) == (None, ["BTCUSDT"])


@pytest.mark.django_db
def test_an_account_of_the_mode_feeds_the_market_instead(settings: Any) -> None:
    AccountFactory(mode="paper", rest_url="")
    assert public_market("binance") is None, "the simulator, unless the environment names the exchange"
    settings.EXEC_PAPER_MARKET = "live"
    found = public_market("binance")
    assert found is not None
    assert (found.pk, found.rest_url, bytes(found.api_key_sealed)) == (None, "https://api.binance.com", b"")
    AccountFactory(mode="live", rest_url="https://api.binance.com")
    assert public_market("binance") is None
