"""Names of the greatest length that is allowed go through everything that keeps them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from exchanges.models import Account
from execution_project.common.actors import Actor
from execution_project.common.api_keys import create_api_key
from execution_project.common.approvals import decide_and_carry_out
from execution_project.common.models import Event, IdempotencyKey
from execution_project.common.rights import EVERYTHING
from orders.models import Order
from risk.limits import tighten_or_set
from risk.models import KillSweep, TradingState
from risk.trading_state import propose_start
from tests.factories import BY, LimitFactory, StrategyFactory, funded_account
from tests.kills import take_for_proven
from tests.people import client_of, person

pytestmark = pytest.mark.django_db(transaction=True)
STRATEGY, KEY, USER = "s" * 64, "k" * 64, "u" * 150
ACCOUNT = "a" * 64


def long_named() -> Account:
    """A funded account with the longest name."""
    account = funded_account(USDT="1000")
    LimitFactory(scope_key=ACCOUNT)
    account.name = ACCOUNT
    account.save()
    return account


def call(path: str, key: str, body: Any, expected: int) -> Any:
    """The document of one POST, which must answer with this status."""
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "long"}
    answer = Client().post(f"/api/exec/{path}", json.dumps(body), content_type="application/json", headers=headers)
    assert answer.status_code == expected, answer.content
    return answer.json()


def test_an_order_and_acts_by_a_key_with_the_longest_names() -> None:
    account = long_named()
    StrategyFactory(name=STRATEGY)
    key = create_api_key(KEY, ["read", "trade", "operate"], by=BY)[1]
    body = {"account": account.name, "strategy": STRATEGY, "symbol": "BTCUSDT", "side": "BUY", "type": "MARKET"}
    first = call("order", key, {**body, "quantity": "0.001"}, 202)
    assert call("order", key, {**body, "quantity": "0.001"}, 202)["id"] == first["id"], "the same again"
    assert IdempotencyKey.objects.get().principal == f"key:{KEY}"
    for scope in ({"account": ACCOUNT}, {"strategy": STRATEGY}):
        call("stop", key, {"scope": scope, "reason": "a drill"}, 200)
        call("start", key, {"scope": scope, "reason": "the drill is over"}, 200)
        call("kill", key, {"scope": scope, "reason": "a drill"}, 200)
    subjects = set(Event.objects.filter(actor=f"key:{KEY}").values_list("subject_id", flat=True))
    assert {f"account:{ACCOUNT}", f"strategy:{STRATEGY}"} <= subjects


def test_acts_by_people_with_the_longest_names() -> None:
    account = long_named()
    user: User = person(USER, "operations")
    client = client_of(user)
    for act in ("act_halt", "act_kill"):
        address = f"{reverse(f'admin:{act}')}?kind=account&key={account.name}"
        answer = client.post(address, {"reason": "a drill of the desk"})
        assert answer.status_code == 302, answer.content.decode()
        assert client.get(answer["Location"]).status_code == 200
    state = TradingState.objects.get()
    assert (state.scope_key, state.latched, state.changed_by) == (ACCOUNT, True, f"user:{USER}")
    by = Actor(f"user:{USER}", "a drill", rights=EVERYTHING)
    KillSweep.objects.all().delete()
    take_for_proven("account", ACCOUNT)
    approval = propose_start("account", ACCOUNT, reason="the drill of the desk is over", by=by)
    other = Actor(f"user:{'v' * 150}", "a drill", rights=EVERYTHING)
    decide_and_carry_out(approval.id, approved=True, by=other)
    limit = tighten_or_set(
        "max_order_notional", account.mode, "account", ACCOUNT, Decimal("5"), reason="a drill", by=by
    )
    assert limit.set_by == f"user:{USER}"
    assert Event.objects.filter(subject_id=f"max_order_notional/{account.mode}/account:{ACCOUNT}").exists()
    assert not Order.objects.exists()
