"""Streams go where their account's mode allows, and nowhere else."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from exchanges.connections import WrongHost, refuse_wrong_host, refuse_wrong_url
from exchanges.streams.fleet import market_url
from tests.factories import AccountFactory

LIVE_WS = "wss://ws-api.binance.com:443/ws-api/v3"
DEMO = {"rest_url": "https://demo-api.binance.com", "ws_url": "wss://demo-ws-api.binance.com/ws-api/v3"}


def test_a_market_stream_is_checked_like_any_other_url() -> None:
    sandbox, live = AccountFactory.build(mode="sandbox", ws_url=LIVE_WS), AccountFactory.build(mode="live", **DEMO)
    for account in (sandbox, live):
        with pytest.raises(WrongHost):
            refuse_wrong_url(account, market_url(account))
    refuse_wrong_url(AccountFactory.build(mode="live"), "wss://stream.binance.com:443/stream")


@pytest.mark.django_db
def test_the_demo_environment_is_a_sandbox_with_streams() -> None:
    account = AccountFactory(mode="sandbox", **DEMO)
    refuse_wrong_host(account)
    refuse_wrong_url(account, market_url(account))
    for wrong in ({"mode": "live", **DEMO}, {"mode": "sandbox", "ws_url": LIVE_WS}):
        with pytest.raises(IntegrityError, match="live_host"), transaction.atomic():
            AccountFactory(**wrong)
