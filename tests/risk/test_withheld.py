"""What a bound key is told of limits that are wider than it: that they broke, and never how much of them is used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from exchanges.models import Quote
from execution_project.common import clock
from execution_project.common.api.authentication import Principal
from execution_project.common.models import ApiKey
from risk.api.withheld import result_for
from risk.limits import tighten_or_set
from tests.factories import BY, HoldingFactory, api_key, funded_account

pytestmark = pytest.mark.django_db

USED = "60065.005"  # a coin of somebody else at 60 005, and the thousandth that is asked for
ROOM = "-59965.005"
ASKED = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "price": "60000", "time_in_force": "GTC"}


def call(method: str, path: str, key: str, body: Any = None, **headers: str) -> tuple[int, str]:
    answer = Client().generic(
        method,
        f"/api/exec/{path}",
        b"" if body is None else json.dumps(body).encode(),
        content_type="application/json",
        headers={"Authorization": f"Bearer {key}", **headers},
    )
    return answer.status_code, answer.content.decode()


@pytest.fixture
def own() -> str:
    """An account with limits of its own, beside another one that uses up what both may use."""
    account, other = funded_account(USDT="1000"), funded_account(USDT="1000")
    HoldingFactory(account=other, asset="BTC", quantity=Decimal(1))
    for kind, key, value in (("global", "", "100"), ("account", account.name, "50")):
        tighten_or_set("max_asset_exposure", "sandbox", kind, key, Decimal(value), reason="x", by=BY)
    # No pause of this machine makes the price old.
    Quote.objects.update(confirmed_at=clock.now() + timedelta(minutes=1))
    return account.name


def denied(own: str, key: str) -> tuple[str, dict[str, Any]]:
    body = {**ASKED, "account": own, "quantity": "0.001"}
    status, text = call("POST", "order", key, body, **{"Idempotency-Key": "a"})
    assert (status, "MAX_ASSET_EXPOSURE" in text) == (422, True), text
    return text, json.loads(text)


def answers(own: str, key: str) -> Iterator[str]:
    """Everything that tells of a denied order."""
    text, document = denied(own, key)
    yield text
    order = document["order"]["id"]
    yield call("POST", "order", key, {**ASKED, "account": own, "quantity": "0.001", "validate_only": True})[1]
    for path in (f"order/{order}", "orders", "decisions", "breaches"):
        status, text = call("GET", path, key)
        assert status == 200
        assert "MAX_ASSET_EXPOSURE" in text
        yield text


def test_no_answer_tells_a_bound_key_how_much_of_a_wider_limit_is_used(own: str) -> None:
    for text in answers(own, api_key(accounts=[own])):
        assert USED not in text
        assert ROOM not in text


def test_every_answer_tells_it_to_a_key_that_is_not_bound(own: str) -> None:
    assert [USED in text for text in answers(own, api_key())] == [True] * 6


def test_the_control_keeps_outcome_code_and_limits(own: str) -> None:
    _, document = denied(own, api_key(accounts=[own]))
    [shown] = [row for row in document["decision"]["controls"] if row["control"] == "max_asset_exposure"]
    assert (shown["outcome"], shown["code"], shown["limit"]) == ("breach", "MAX_ASSET_EXPOSURE", "100")
    assert (shown["observed"], shown["headroom"]) == (None, None)
    limits = shown["inputs"]["limits"]
    assert {scope: (row["value"], row["observed"]) for scope, row in limits.items()} == {
        "global": ("100", None),
        f"account:{own}": ("50", "60.005"),
    }
    assert shown["inputs"]["withheld"] == ["global"]
    assert set(shown["inputs"]) == {"limits", "limit_scope", "limit_version", "enforcement", "withheld"}
    assert (
        document["detail"]
        == shown["detail"]
        == ("A limit of global is broken; how much of it is used is not for this key to know.")
    )


@pytest.mark.parametrize(
    ("bound", "control", "scope", "told"),
    [
        ({}, "max_concentration", "global", True),
        ({"accounts": ["own"]}, "max_turnover_1h", "account:own", True),
        ({"accounts": ["own"]}, "max_turnover_1h", "strategy:mine", False),
        ({"accounts": ["own"]}, "max_working_orders", "symbol:BTCUSDT", False),
        ({"accounts": ["own"]}, "max_drawdown", "global", False),
        ({"accounts": ["own"]}, "max_order_notional", "global", True),
        # by the equity of the whole mode, and by everybody's live orders, whatever the limit's scope
        ({"accounts": ["own"]}, "max_concentration", "account:own", False),
        ({"accounts": ["own"]}, "self_match", "account:own", False),
        ({"strategies": ["mine"]}, "max_turnover_1h", "strategy:mine", True),
        ({"strategies": ["mine"]}, "max_turnover_1h", "account:own", False),
        ({"accounts": ["own"], "strategies": ["mine"]}, "max_turnover_1h", "account:own", False),
    ],
)
def test_usage_is_told_of_scopes_that_are_wholly_the_keys(
    bound: dict[str, Any], control: str, scope: str, told: bool
) -> None:
    api_key("read", **bound)
    result = {
        "control": control,
        "outcome": "pass",
        "code": "",
        "detail": "",
        "observed": "2",
        "headroom": "-1",
        "inputs": {
            "limits": {scope: {"version": 1, "value": "1", "observed": "2"}},
            "limit_scope": scope,
            "limit_version": 1,
            "enforcement": "BLOCK",
        },
    }
    assert ("2" in json.dumps(result_for(result, Principal(ApiKey.objects.get())))) is told
