"""The state at the API: may we trade, and what is under way."""

from __future__ import annotations

from typing import Any

import pytest

from execution_project.common import clock
from risk.models import State, TradingState
from tests.factories import AccountFactory, OrderFactory, StrategyFactory, api_key
from tests.reading import read

pytestmark = pytest.mark.django_db


def put(kind: str, key: str, state: str) -> None:
    TradingState.objects.create(
        scope_kind=kind, scope_key=key, state=state, changed_by="key:tester", changed_at=clock.now()
    )


def test_the_state_tells_every_scope_and_the_orders_under_way() -> None:
    main = AccountFactory(name="main")
    for status in ("open", "open", "submit_unknown", "filled", "settled", "denied", "rejected"):
        OrderFactory(account=main, status=status, ended_as="filled" if status in ("filled", "settled") else None)
    put("account", "main", State.HALTED)
    put("symbol", "BTCUSDT", State.ACTIVE)
    document = read("state")
    assert document["state"] == "ACTIVE"
    assert [(row["scope"], row["state"]) for row in document["scopes"]] == [
        ({"account": "main"}, "HALTED"),
        ({"symbol": "BTCUSDT"}, "ACTIVE"),
    ]
    assert {status: count for status, count in document["orders"].items() if count} == {
        "open": 2,
        "submit_unknown": 1,
        "filled": 1,
    }
    put("global", "", State.REDUCE_ONLY)
    assert read("state")["state"] == "REDUCE_ONLY"


def test_the_state_of_a_bound_key_leaves_out_others() -> None:
    own, other = AccountFactory(name="own"), AccountFactory(name="other")
    mine = StrategyFactory(name="mine")
    OrderFactory(account=own, status="open")
    OrderFactory(account=own, status="open", strategy=mine)
    OrderFactory(account=other, status="open")
    for kind, key in (("account", "own"), ("account", "other"), ("strategy", "mine"), ("strategy", "theirs")):
        put(kind, key, State.HALTED)
    put("exchange", "binance", State.HALTED)

    def seen(**bound: Any) -> tuple[list[Any], int]:
        document = read("state", key=api_key("read", **bound))
        return [row["scope"] for row in document["scopes"]], document["orders"]["open"]

    exchange = {"exchange": "binance"}
    assert seen(accounts=["own"]) == (
        [{"account": "own"}, exchange, {"strategy": "mine"}, {"strategy": "theirs"}],
        2,
    )
    assert seen(accounts=["own"], strategies=["mine"]) == ([{"account": "own"}, exchange, {"strategy": "mine"}], 1)


def test_the_state_takes_no_parameters() -> None:
    assert read("state", status=400, account="main")["code"] == "UNKNOWN_PARAMETER"
