"""Accounts and balances at the API: may it trade, on whose word, and how fresh is what we know."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from exchanges.connections import host_of
from exchanges.models import AccountFreshness, HostClock, StreamState
from execution_project.common import clock
from execution_project.common.clock import rfc3339
from risk.models import State, TradingState
from tests.factories import (
    AccountFactory,
    BalanceFactory,
    InstrumentFactory,
    QuoteFactory,
    ReservationFactory,
    api_key,
)
from tests.reading import read

pytestmark = pytest.mark.django_db
BINANCE = {"exchange": "binance"}


def put(kind: str, key: str, state: str, **values: Any) -> TradingState:
    return TradingState.objects.create(
        scope_kind=kind, scope_key=key, state=state, changed_by="key:tester", changed_at=clock.now(), **values
    )


def account(name: str, *, key: str | None = None) -> dict[str, Any]:
    (found,) = read("accounts", key=key, account=name)["accounts"]
    result: dict[str, Any] = found
    return result


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], ("ACTIVE", None)),
        ([("account", "main", State.ACTIVE)], ("ACTIVE", None)),
        ([("account", "other", State.HALTED), ("exchange", "btcturk", State.HALTED)], ("ACTIVE", None)),
        ([("account", "main", State.REDUCE_ONLY)], ("REDUCE_ONLY", {"account": "main"})),
        (
            [("account", "main", State.HALTED), ("exchange", "binance", State.HALTED)],
            ("HALTED", {"exchange": "binance"}),
        ),
        ([("account", "main", State.HALTED), ("global", "", State.REDUCE_ONLY)], ("HALTED", {"account": "main"})),
        ([("global", "", State.HALTED), ("account", "main", State.HALTED)], ("HALTED", "global")),
        ([("symbol", "main", State.HALTED), ("strategy", "binance", State.HALTED)], ("ACTIVE", None)),
    ],
)
def test_the_strictest_and_then_widest_scope_says_whether_an_account_trades(
    states: list[tuple[str, str, State]], expected: tuple[str, Any]
) -> None:
    AccountFactory(name="main")
    for kind, key, state in states:
        put(kind, key, state)
    found = account("main")
    assert (found["state"], found["stopped_by"] and found["stopped_by"]["scope"]) == expected


def test_a_stop_is_told_with_who_why_and_whether_it_is_latched() -> None:
    AccountFactory(name="main")
    row = put("account", "main", State.HALTED, latched=True, reason="drill")
    assert account("main")["stopped_by"] == {
        "scope": {"account": "main"},
        "state": "HALTED",
        "latched": True,
        "reason": "drill",
        "changed_by": "key:tester",
        "changed_at": rfc3339(row.changed_at),
    }


def test_what_was_never_learnt_is_null_and_not_fresh() -> None:
    AccountFactory(name="main", books_opened_at=None)
    found = account("main")
    assert found["books_opened_at"] is None
    assert found["freshness"].pop("blocked_by") == ""
    assert set(found["freshness"].values()) == {None}


def test_freshness_tells_the_oldest_balance_the_newest_price_and_the_rest() -> None:
    now = clock.now()
    main = AccountFactory(name="main")
    BalanceFactory(account=main, asset="USDT", as_of=now - timedelta(seconds=5))
    BalanceFactory(account=main, asset="BTC", as_of=now - timedelta(seconds=90))
    BalanceFactory(as_of=now - timedelta(days=1))
    QuoteFactory(confirmed_at=now - timedelta(seconds=2))
    QuoteFactory(instrument=InstrumentFactory(base_asset="ETH"), confirmed_at=now - timedelta(seconds=60))
    QuoteFactory(instrument=InstrumentFactory(mode="live"), confirmed_at=now)
    HostClock.objects.create(host=host_of(main), offset_ms=-12, round_trip_ms=30, sampled_at=now)
    AccountFreshness.objects.create(account=main, orders_at=now, trades_at=now, blocked_by="balance of BTC")
    StreamState.objects.create(
        kind="private", subject="main", exchange="binance", connected_since=now, last_message_at=now, written_at=now
    )
    fresh = account("main")["freshness"]
    assert fresh["balances_as_of"] == rfc3339(now - timedelta(seconds=90))
    assert 90_000 <= fresh["balances_age_ms"] < 100_000
    assert fresh["last_quote_at"] == rfc3339(now - timedelta(seconds=2))
    assert 2_000 <= fresh["last_quote_age_ms"] < 12_000
    assert fresh["clock"] == {"offset_ms": -12, "round_trip_ms": 30, "sampled_at": rfc3339(now)}
    assert (fresh["orders_compared_at"], fresh["balances_compared_at"]) == (rfc3339(now), None)
    assert fresh["blocked_by"] == "balance of BTC"
    assert fresh["stream_connected_since"] == fresh["stream_last_message_at"] == rfc3339(now)


def test_accounts_are_filtered_and_others_are_not_there() -> None:
    for name, exchange in (("one", "binance"), ("two", "btcturk"), ("three", "binance")):
        AccountFactory(name=name, exchange=exchange)

    def names(key: str | None = None, **query: str) -> list[str]:
        return [row["name"] for row in read("accounts", key=key, **query)["accounts"]]

    assert names() == ["one", "two", "three"]
    assert names(exchange="binance") == ["one", "three"]
    assert names(mode="live") == []
    assert names(key=api_key("read", accounts=["two"])) == ["two"]
    assert names(key=api_key("read", accounts=[])) == []
    assert names(key=api_key("read", accounts=["two"]), account="one") == []


def test_secrets_and_addresses_of_an_account_are_not_told() -> None:
    AccountFactory(name="main")
    text = str(account("main"))
    for word in ("sealed", "secret", "tail", "127.0.0.1"):
        assert word not in text


def test_accounts_take_the_same_statements_for_few_and_many() -> None:
    key = api_key("read")

    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            read("accounts", key=key)
        return len(captured)

    BalanceFactory(account=AccountFactory())
    few = statements()
    for _ in range(10):
        BalanceFactory(account=AccountFactory())
    assert statements() == few


def test_balances_come_with_what_live_orders_may_still_consume() -> None:
    main = AccountFactory(name="main")
    as_of = clock.now() - timedelta(seconds=3)
    BalanceFactory(account=main, asset="USDT", free=Decimal("900.50"), locked=Decimal("99.5"), as_of=as_of)
    BalanceFactory(account=main, asset="BTC", free=Decimal("0"))
    BalanceFactory(account=AccountFactory(name="other"), asset="USDT")
    ReservationFactory(amount=Decimal("40"))
    ReservationFactory(amount=Decimal("2.5"))
    ReservationFactory(amount=Decimal("0"))
    ReservationFactory(account_name="somebody", amount=Decimal("7"))
    usdt, btc, others = read("balances")["balances"]
    assert 3_000 <= usdt.pop("age_ms") < 13_000
    assert usdt == {
        "account": "main",
        "mode": "sandbox",
        "exchange": "binance",
        "asset": "USDT",
        "free": "900.5",
        "locked": "99.5",
        "reserved": "42.5",
        "as_of": rfc3339(as_of),
    }
    assert (btc["free"], btc["reserved"]) == ("0", "0")
    assert (others["account"], others["reserved"]) == ("other", "0")
    assert [row["asset"] for row in read("balances", account="main", zero="false")["balances"]] == ["USDT"]
    assert [row["account"] for row in read("balances", asset="BTC")["balances"]] == ["main"]
    bound = api_key("read", accounts=["other"])
    assert [row["account"] for row in read("balances", key=bound)["balances"]] == ["other"]
