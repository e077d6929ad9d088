"""Paper accounts alone, on the public data of the exchange: no key anywhere, and none goes out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from exchanges.accounts import add_account
from exchanges.adapters import NOBODY
from exchanges.binance.client import BinanceClient
from exchanges.default_urls import DEFAULT_URLS, Urls
from exchanges.models import Account, Depth, Instrument, PublicPrint, Quote
from exchanges.paper import public
from exchanges.paper.engine import MODEL
from exchanges.paper.feed import Print, note_prints
from exchanges.paper.public import public_market, public_markets
from exchanges.streams.fleet import Fleet
from exchanges.syncing import sync_instruments
from execution_project.common import clock
from execution_project.common.money import plain
from execution_project.stream_hints import handlers
from orders.sweeping import ring_instruments, ring_market_data
from orders.tasks import match_paper
from tests.engines import BY, drain, make_engine
from tests.exchanges.streams.fleets import Heard, RunningFleet, give_stream
from tests.factories import AccountFactory
from tests.paper_engines import BIDS, furnish
from tests.simulators import Simulator
from tests.waiting import wait_until

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
    market = told[f"{exchange}:sandbox"]
    assert (market.account.pk, list(market.instruments), market.traded) == (None, ["BTCUSDT"], {"BTCUSDT"})


def test_a_resting_order_fills_by_the_public_trades_of_the_stream(exchange: str, simulator: Simulator) -> None:
    account = add_account("p", exchange=exchange, mode="paper", by=BY)
    ring_instruments()
    drain()
    engine = furnish(account, Instrument.objects.get(exchange=exchange, mode="sandbox", symbol="BTCUSDT"))
    engine.show()
    order = engine.limit("BUY", "1", "60000")
    with RunningFleet(handlers()):
        wait_until(lambda: _hears_trades(exchange, simulator), 20, "the trades are subscribed to")
        shown = Depth.objects.filter(instrument__mode="paper").exclude(bids=[list(level) for level in BIDS])
        wait_until(shown.exists, 20, "the stream's book has come")
        for number, (quantity, aggressor) in enumerate([("0.7", "SELL"), ("0.7", "SELL"), ("5", "BUY")], 1):
            price = "60000" if aggressor == "SELL" else "60010"
            simulator.trade("BTCUSDT", price, quantity, aggressor, exchange)
            wait_until(lambda wanted=number: PublicPrint.objects.count() == wanted, 30, f"trade {number} was heard")
        match_paper(account.pk)
    # One coin stood in front of ours: 0.7 and 0.3 of the second trade were theirs.
    assert engine.order(order["id"])["filled_quantity"] == "0.4"
    (fill,) = engine.order(order["id"])["fills"]
    assert (fill["price"], fill["is_maker"], fill["model"]) == ("60000", True, MODEL)
    told = PublicPrint.objects.order_by("id").values_list("instrument__mode", "price", "quantity", "aggressor")
    assert [(mode, plain(price), plain(size), side) for mode, price, size, side in told] == [
        ("paper", "60000", "0.7", "SELL"),
        ("paper", "60000", "0.7", "SELL"),
        ("paper", "60010", "5", "BUY"),
    ]
    assert None not in PublicPrint.objects.values_list("trade_id", flat=True)
    assert Account.objects.count() == 1


def _hears_trades(exchange: str, simulator: Simulator) -> bool:
    if exchange == "binance":
        return any("btcusdt@trade" in each["market"] for each in simulator.call("GET", "/sim/streams/market"))
    return any("trade:BTCUSDT" in each["joined"] for each in simulator.call("GET", "/sim/btcturk/streams"))


def test_trades_are_listened_to_for_paper_alone(
    exchange: str, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A market that feeds no paper order is asked for books only; what is heard twice is one trade."""
    account = make_engine(simulator, exchange=exchange).account
    give_stream(account)
    heard = Heard(symbols={"BTCUSDT"}, on_paper=set())
    market = Fleet(heard.handlers())._wanted().markets[f"{exchange}:sandbox"]
    assert (market.account, list(market.instruments), market.traded) == (account, ["BTCUSDT"], frozenset())
    heard.on_paper = {"BTCUSDT", "ETHUSDT"}
    assert Fleet(heard.handlers())._wanted().markets[f"{exchange}:sandbox"].traded == {"BTCUSDT"}
    add_account("p", exchange=exchange, mode="paper", by=BY)
    sync_instruments(Account.objects.get(name="p"))
    source = Instrument.objects.get(exchange=exchange, mode="sandbox", symbol="BTCUSDT")
    print_ = Print(source.pk, Decimal(60000), Decimal(1), "SELL", clock.now(), "7")
    for told in ([print_], [print_, replace(print_, trade_id="8")], [replace(print_, trade_id=None)] * 2):
        note_prints(told)
    assert list(PublicPrint.objects.order_by("id").values_list("trade_id", flat=True)) == ["7", "8", None, None]


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
