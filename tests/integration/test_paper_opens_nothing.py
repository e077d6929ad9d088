"""Invariant 7 for paper: whatever is done with a paper account, no connection is opened but to our own database."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands
from django.urls import reverse

from exchanges.checking import check_account
from exchanges.management.account_command import read_failed_sentence
from exchanges.models import Account, PaperOrder, RateWindow
from exchanges.streams.fleet import accounts_with_streams
from orders.boot import boot, finish_boot
from orders.flattening import ring_flattens
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
from positions.paper_deposits import deposit
from risk.models import Flatten
from tests.commands import OURS, run
from tests.engines import BY, drain
from tests.factories import AccountFactory
from tests.kills import kill_ticks, until_verified
from tests.paper_engines import PaperEngine, make_paper_engine
from tests.regressions.rounds import make_due
from tests.staff import signed_in
from tests.waiting import wait_until

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


@pytest.mark.parametrize("exchange", ["binance", "btcturk"])
def test_a_kill_is_verified_and_flattened_and_opens_nothing(
    exchange: str, transactional_db: None, sealed: list[Any]
) -> None:
    engine = make_paper_engine(exchange)
    deposit(engine.account, "BTC", Decimal("-9.7"), reason="less to sell", by=BY)
    engine.show()
    engine.limit("BUY", "0.1", "59000")
    assert engine.request("POST", "kill", {"scope": {"account": engine.account.name}, "reason": "x"})[0] == 200
    episode = until_verified("account", engine.account.name)
    assert not PaperOrder.objects.filter(status__in=["open", "partially_filled"]).exists()
    _, shown = engine.request("GET", f"kills/{episode.id}/flatten")
    assert [(item["asset"], item["quantity"]) for item in shown["items"]] == [("BTC", "0.3")]
    body = {"confirm": shown["confirm"], "reason": "x"}
    assert engine.request("POST", f"kills/{episode.id}/flatten", body)[0] == 202

    def ended() -> bool:
        engine.show()
        make_due()
        ring_flattens()
        kill_ticks()
        return Flatten.objects.get().status != "RUNNING"

    wait_until(ended, 30, "the verdict of the flatten", every=0.2)
    assert Flatten.objects.get().status == "FLAT", list(Flatten.objects.get().items.values())
    assert PaperOrder.objects.filter(side="SELL", status="filled").exists()


# Commands that are about no account's exchange, or end only with the process; the others are run below.
ELSEWHERE = {
    *("add_account", "add_strategy", "create_api_key", "revoke_api_key", "approvals", "approve", "refuse", "breaks"),
    *("draw_lifecycle", "exchange_simulator", "run_cluster", "run_streams", "run_ticker", "seed"),
    *("give_rate", "classify_transfer", "correct_fill", "resolve_break", "resolve_order", "after_restore", "watchdog"),
    *("set_limit", "propose_limit", "rehearse_limit", "export_fills", "export_pnl", "replay_market", "record_market"),
    *("place_demo_orders", "rotate_credentials", "arm_live", "open_books", "start", "alerts", "override_order"),
}


def test_commands_open_nothing(engine: PaperEngine, sealed: list[Any], tmp_path: Path, settings: Any) -> None:
    settings.EXEC_EMERGENCY_PASSPHRASE = "correct horse battery staple"
    name = engine.account.name
    engine.show()
    order = engine.limit("BUY", "0.1", "59000")["id"]
    words = [
        ["sync_instruments", name],
        ["sync_balances", name],
        ["sync_orders", name],
        ["sync_positions", name],
        ["check_exchange", name],
        ["reconcile", "--account", name],
        ["paper_deposit", name, "USDT", "5", "--reason", "x"],
        ["set_paper_terms", name, "--submit-ms", "0", "--reason", "x"],
        ["set_foreign_orders", name, "adopt", "--reason", "x"],
        ["set_market_as_limit_ioc", name, "off", "--reason", "x"],
        f"place_order --account {name} --symbol BTCUSDT --side BUY --type MARKET --quantity 0.1".split(),
        ["cancel_order", order, "--reason", "x"],
        ["cancel_all", "--account", name],
        ["explain_order", order],
        ["positions"],
        ["value_books"],
        ["rebuild_books"],
        ["export_emergency_kit", str(tmp_path / "kit")],
        ["replay_evidence"],
        ["halt", "--account", name, "--reason", "x"],
        ["kill_switch", "--account", name, "--reason", "x", "--wait", "1"],
    ]
    for each in words:
        ran = run(*each)
        assert ran.code in {0, 3}, (each, ran.err)
        engine.show()
        drain()
    ours = {command for command, app in get_commands().items() if app in OURS}
    assert ours - ELSEWHERE == {each[0] for each in words}
    check = check_account(engine.account, read_failed_sentence)
    assert (check.problems, check.host) == ([], f"paper:{name}")
    assert accounts_with_streams() == []


def test_acts_of_the_admin_open_nothing(engine: PaperEngine, sealed: list[Any]) -> None:
    client = signed_in("operations")
    address = reverse("admin:act_sync", args=[engine.account.pk])
    facts = ["instruments", "quotes", "balances", "clock", "orders", "reconciled_orders", "reconciled_trades"]
    assert client.post(address, {"facts": facts, "reason": "x"}).status_code == 302
    assert drain() >= len(facts)
    engine.show()
    order = engine.limit("BUY", "0.1", "59000")
    for act, args, body in (
        ("act_cancel_order", [order["id"]], {}),
        ("act_cancel_scope", [], {"scope_kind": "account", "scope_key": engine.account.name}),
        ("act_kill", [], {"scope_kind": "account", "scope_key": engine.account.name}),
    ):
        answer = client.post(reverse(f"admin:{act}", args=args), {**body, "reason": "x"})
        assert answer.status_code == 302, (act, answer.content.decode())
        drain()
    assert not PaperOrder.objects.filter(status__in=["open", "partially_filled"]).exists()
    page = client.get(reverse("admin:index")).content.decode()
    assert "PAPER" in page


def test_a_row_that_was_tampered_with_is_refused_by_the_sender(sealed: list[Any], transactional_db: None) -> None:
    from exchanges.connections import WrongHost, adapter_for

    for field, value in (("rest_url", "https://api.binance.com"), ("ws_url", "ws://x"), ("api_key_sealed", b"x")):
        account = AccountFactory.build(mode="paper", rest_url="", pk=1)
        setattr(account, field, value)
        with pytest.raises(WrongHost, match="no host and no key"):
            adapter_for(account)
