"""Invariant 7: a paper or sandbox account cannot reach a live endpoint, by constraint and by the sender."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from exchanges.connections import WrongHost, adapter_for
from exchanges.models import Account
from orders.models import Attempt, Order
from tests.engines import Engine, drain
from tests.factories import AccountFactory

LIVE = "https://api.binance.com"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("mode", "url"),
    [
        ("sandbox", LIVE),
        ("sandbox", "https://api1.binance.com"),
        ("sandbox", "https://API.Binance.com"),
        ("sandbox", "https://api.btcturk.com"),
        ("paper", LIVE),
        ("paper", "http://127.0.0.1:8900"),
        ("live", "http://127.0.0.1:8900"),
        ("live", "https://testnet.binance.vision"),
        ("live", "https://api.binance.com.evil.example"),
    ],
)
def test_invariant_07_the_database_refuses_mode_and_host_that_do_not_match(mode: str, url: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        AccountFactory(mode=mode, rest_url=url)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("mode", "rest_url", "ws_url"),
    [
        ("sandbox", "http://127.0.0.1:8900", "wss://ws-api.binance.com/ws-api/v3"),
        ("sandbox", "http://127.0.0.1:8900", "wss://ws-feed-pro.btcturk.com"),
        ("live", LIVE, "ws://127.0.0.1:8900/ws-api/v3"),
        ("paper", "", "wss://ws-api.binance.com/ws-api/v3"),
    ],
)
def test_invariant_07_the_stream_of_an_account_obeys_the_same_rule(mode: str, rest_url: str, ws_url: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        AccountFactory(mode=mode, rest_url=rest_url, ws_url=ws_url)
    with pytest.raises(WrongHost):
        adapter_for(Account(pk=1, name="a", exchange="binance", mode=mode, rest_url=rest_url, ws_url=ws_url))


@pytest.mark.parametrize("mode", ["sandbox", "paper"])
@pytest.mark.parametrize(
    "url", [LIVE, "https://api-gcp.binance.com", "https://API.binance.com:443/", "https://api.btcturk.com"]
)
def test_invariant_07_the_sender_refuses_before_any_socket(mode: str, url: str) -> None:
    with pytest.raises(WrongHost):
        adapter_for(Account(pk=1, name="a", exchange="binance", mode=mode, rest_url=url))


@pytest.mark.e2e
def test_invariant_07_an_order_of_a_redirected_account_is_denied_unsent(engine: Engine) -> None:
    """Even with the constraint gone, the account row decides in the sender."""
    from django.db import connection

    _, order = engine.place(quantity="0.001")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE exchanges_account DROP CONSTRAINT account_sandbox_off_live_host")
        try:
            cursor.execute("UPDATE exchanges_account SET rest_url = %s", [LIVE])
            drain("submit-binance")
        finally:
            cursor.execute("UPDATE exchanges_account SET rest_url = %s", [engine.simulator.url])
            with connection.schema_editor() as editor:
                wanted = "account_sandbox_off_live_host"
                editor.add_constraint(Account, next(c for c in Account._meta.constraints if c.name == wanted))
    assert (Order.objects.get(id=order["id"]).status, Order.objects.get(id=order["id"]).reason) == (
        "denied",
        "WRONG_HOST",
    )
    assert Attempt.objects.count() == 0
