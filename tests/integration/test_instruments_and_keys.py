"""Status changes at the exchange are honoured, and accounts may hold keys of every kind that Binance takes."""

from __future__ import annotations

import secrets

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from django.test import Client

from exchanges.accounts import add_account
from exchanges.models import Instrument
from exchanges.syncing import sync_instruments
from execution_project.common.api_keys import create_api_key
from orders.sweeping import ring_instruments
from positions.opening import open_books
from risk.limits import tighten_or_set
from tests.engines import BALANCES, BY, Engine, drain, make_engine
from tests.simulators import Simulator

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("exchange", ["binance", "btcturk"])
def test_a_pair_that_stops_trading_is_denied_until_it_trades_again(
    transactional_db: None, simulator: Simulator, exchange: str
) -> None:
    engine = make_engine(simulator, exchange=exchange)

    def set_status(trading: bool) -> None:
        if exchange == "binance":
            status = "TRADING" if trading else "BREAK"
            simulator.call("POST", "/sim/market/BTCUSDT/status", {"status": status})
        else:
            status = "TRADING" if trading else "PAUSED"
            simulator.call("POST", "/sim/btcturk", {"pairs": {"BTCUSDT": {"status": status}}})

    set_status(trading=False)
    assert ring_instruments() == 1
    drain("housekeeping")
    assert not Instrument.objects.get(symbol="BTCUSDT").is_trading
    status, problem = engine.limit("SELL", "0.01", "61000")
    assert (status, problem["code"]) == (422, "INSTRUMENT_NOT_TRADING")
    set_status(trading=True)
    sync_instruments(engine.account)
    assert engine.limit("SELL", "0.01", "61000")[0] == 202


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_an_account_with_a_private_key_trades(transactional_db: None, simulator: Simulator, kind: str) -> None:
    key = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else rsa.generate_private_key(65537, 2048)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    name, api_key = f"key-{kind}", secrets.token_hex(32)
    body = {"name": name, "api_key": api_key, "public_key": public, "balances": BALANCES["binance"]}
    simulator.call("POST", "/sim/accounts", body)
    account = add_account(
        name, exchange="binance", mode="sandbox", rest_url=simulator.url, key=api_key, secret=secret, by=BY
    )
    sync_instruments(account)
    tighten_or_set("max_order_notional", "sandbox", "account", name, 10**6, reason="test", by=BY)
    open_books(account, by=BY)
    account.refresh_from_db()
    engine = Engine(simulator, account, create_api_key(name, ["read", "trade"], by=BY)[1], Client())
    engine.refresh()
    _, order = engine.place(quantity="0.01")
    drain()
    assert engine.order(order["id"])["status"] == "filled"
