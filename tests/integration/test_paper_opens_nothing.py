"""Invariant 7 for paper: whatever is done with a paper account, no connection is opened but to our own database."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import reverse

from exchanges.checking import check_account
from exchanges.management.account_command import read_failed_sentence
from exchanges.models import Account, PaperOrder, RateWindow
from exchanges.streams.fleet import accounts_with_streams
from orders.boot import boot, finish_boot
from orders.following import probe
from orders.models import Attempt, Order
from orders.reconciliation import reconcile
from orders.sweeping import (
    ring_account_data,
    ring_following,
    ring_instruments,
    ring_market_data,
    ring_paper_matching,
    ring_probes,
)
from tests.commands import run
from tests.engines import BY, drain
from tests.factories import AccountFactory
from tests.paper_engines import PaperEngine, make_paper_engine
from tests.staff import signed_in

pytestmark = pytest.mark.e2e


class Connected(AssertionError):
    """Somebody tried to."""


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Python's sockets refuse to connect anywhere; libpq, which talks to the database, does not use them."""
    tried: list[Any] = []

    def refuse(self: socket.socket, address: Any) -> None:
        tried.append(address)
        raise Connected(f"a paper account led to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **more: refuse(None, given))  # type: ignore[arg-type]
    yield tried
    assert tried == []


@pytest.fixture
def engine(transactional_db: None) -> PaperEngine:
    return make_paper_engine()


@pytest.fixture
def turk(transactional_db: None) -> PaperEngine:
    return make_paper_engine("btcturk")


def test_the_seal_holds(sealed: list[Any]) -> None:
    with pytest.raises(Connected):
        socket.create_connection(("127.0.0.1", 9), timeout=1)
    sealed.clear()


def _whole_life(engine: PaperEngine) -> None:
    """Place, rest, cancel, replace, lose, probe, follow, reconcile, kill, start again."""
    sizes = {"quantity": "0.1"} if engine.account.exchange == "binance" else {"quote_quantity": "6000"}
    engine.place(**sizes)
    document = engine.limit("BUY", "0.1", "59000")
    engine.request("PATCH", f"order/{document['id']}", {"price": "59100"})
    drain()
    engine.request("PATCH", f"order/{document['id']}", {"quantity": "0.05"})
    drain()
    engine.request("DELETE", f"order/{document['id']}")
    drain()
    engine.limit("SELL", "0.1", "61000")
    engine.show()
    RateWindow.objects.all().delete()  # BTCTurk's few a second are not what this is about
    engine.arm("lost_request", "place")
    lost = engine.place(**sizes)
    assert lost["status"] == "submit_unknown"
    probe(Order.objects.get(id=lost["id"]).id)
    for ring in (
        *(ring_following, ring_account_data, ring_market_data, ring_instruments),
        *(ring_paper_matching, ring_probes),
    ):
        ring()
    drain()
    assert reconcile(engine.account, by=BY).succeeded
    assert boot() == 1
    finish_boot(Account.objects.get())
    scope = {"scope": {"account": engine.account.name}, "reason": "x"}
    assert engine.request("POST", "kill", scope)[0] == 200
    drain()
    assert not PaperOrder.objects.filter(status__in=["open", "partially_filled"]).exists()
    assert Attempt.objects.count() >= 4


def test_a_whole_life_on_binance_opens_nothing(engine: PaperEngine, sealed: list[Any]) -> None:
    _whole_life(engine)


def test_a_whole_life_on_btcturk_opens_nothing(turk: PaperEngine, sealed: list[Any]) -> None:
    _whole_life(turk)


def test_commands_open_nothing(engine: PaperEngine, sealed: list[Any]) -> None:
    name = engine.account.name
    for words in (
        ["sync_instruments", name],
        ["sync_balances", name],
        ["sync_orders", name],
        ["sync_positions", name],
        ["check_exchange", name],
        ["reconcile", "--account", name],
        ["paper_deposit", name, "USDT", "5", "--reason", "x"],
        ["set_paper_terms", name, "--submit-ms", "0", "--reason", "x"],
        ["cancel_all", "--account", name],
        ["replay_evidence"],
        ["kill_switch", "--account", name, "--reason", "x"],
    ):
        ran = run(*words)
        assert ran.code in {0, 3}, (words, ran.err)
    check = check_account(engine.account, read_failed_sentence)
    assert (check.problems, check.host) == ([], f"paper:{name}")
    assert accounts_with_streams() == []


def test_acts_of_the_admin_open_nothing(engine: PaperEngine, sealed: list[Any]) -> None:
    client = signed_in("operations")
    address = reverse("admin:act_sync", args=[engine.account.pk])
    facts = ["instruments", "quotes", "balances", "clock", "orders", "reconciled_orders", "reconciled_trades"]
    assert client.post(address, {"facts": facts, "reason": "x"}).status_code == 302
    assert drain() >= len(facts)
    page = client.get(reverse("admin:index")).content.decode()
    assert "PAPER" in page


def test_a_row_that_was_tampered_with_is_refused_by_the_sender(sealed: list[Any], transactional_db: None) -> None:
    from exchanges.connections import WrongHost, adapter_for

    for field, value in (("rest_url", "https://api.binance.com"), ("ws_url", "ws://x"), ("api_key_sealed", b"x")):
        account = AccountFactory.build(mode="paper", rest_url="", pk=1)
        setattr(account, field, value)
        with pytest.raises(WrongHost, match="no host and no key"):
            adapter_for(account)
