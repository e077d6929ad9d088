"""Limits at the API and by two persons: tighten at once, loosen by proposal, expire by themselves, show their usage."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.approvals import consequences, decide_and_carry_out
from execution_project.common.models import Approval, Event
from execution_project.common.problems import Problem
from execution_project.common.rights import EVERYTHING
from orders.placing import OrderRequest, place
from risk.limits import Change, in_force, newest, propose, tighten_or_set
from risk.models import Decision, Limit
from risk.pausing import pause
from risk.rehearsing import rehearse
from risk.usage import usage_of
from tests.commands import run
from tests.factories import (
    BY,
    AccountFactory,
    HoldingFactory,
    InstrumentFactory,
    QuoteFactory,
    ReservationFactory,
    api_key,
    funded_account,
)

pytestmark = pytest.mark.django_db
D = Decimal
SECOND = Actor("user:second", "a test", rights=EVERYTHING)
KEY = ("max_order_notional", "sandbox", "account", "main")
WHY = "the desk has grown"


@pytest.fixture(autouse=True)
def _main(db: None) -> None:
    AccountFactory(name="main")


def call(method: str, path: str, body: Any = None, **options: Any) -> Any:
    answer = Client().generic(
        method,
        f"/api/exec/{path}",
        b"" if body is None else json.dumps(body).encode(),
        content_type="application/json",
        headers={"Authorization": f"Bearer {options.get('key') or api_key()}"},
    )
    return answer.status_code, answer.json()


def post(**changes: Any) -> Any:
    body = {"control": "max_order_notional", "scope": {"account": "main"}, "value": "100", "reason": "test"}
    return call("POST", "limits", {**body, **changes})


def change(value: str | None, enforcement: str = "BLOCK", expires_in: timedelta | None = None) -> Change:
    expires_at = None if expires_in is None else clock.now() + expires_in
    return Change(*KEY, None if value is None else D(value), enforcement, expires_at)


def value_now() -> Decimal | None:
    row = newest(*KEY)
    assert row is not None
    value: Decimal | None = row.value
    return value


# ----------------------------------------------------------------------------------------------------------- by person


def test_a_limit_is_set_and_tightened_at_once_and_loosened_by_a_second_person() -> None:
    status, first = post()
    assert (status, first["version"], first["value"], first["enforcement"], first["number"]) == (
        200,
        1,
        "100",
        "BLOCK",
        4,
    )
    assert post(value="90")[1]["version"] == 2
    status, asked = post(value="200", reason=WHY)
    assert (status, asked["approval"]["act"]) == (202, "change_limit")
    assert value_now() == 90
    approval = Approval.objects.get()
    assert any("90 (BLOCK) becomes 200 (BLOCK)" in line for line in consequences(approval))
    decide_and_carry_out(approval.id, approved=True, by=SECOND)
    assert value_now() == 200
    assert Event.objects.filter(kind="limit.set").last().evidence["approval"] == str(approval.id)


@pytest.mark.parametrize(
    ("body", "looser"),
    [
        ({"value": "100"}, False),
        ({"value": "100.000000000000000001"}, True),
        ({"value": None}, True),
        ({"value": "50", "enforcement": "WARN"}, True),
        ({"value": "50", "enforcement": "BLOCK"}, False),
    ],
)
def test_what_counts_as_looser(body: dict[str, Any], looser: bool) -> None:
    post()
    assert post(**body, reason=WHY)[0] == (202 if looser else 200)


def test_a_longer_window_for_duplicates_is_tighter() -> None:
    assert post(control="duplicate_window", value="5")[0] == 200
    assert post(control="duplicate_window", value="10")[0] == 200
    assert post(control="duplicate_window", value="9", reason=WHY)[0] == 202


def test_whoever_asks_cannot_approve_and_a_change_in_between_ends_the_proposal() -> None:
    tighten_or_set(*KEY, D(100), reason="x", by=BY)
    approval = propose(change("200"), reason=WHY, by=BY)
    with pytest.raises(Problem, match="second person"):
        decide_and_carry_out(approval.id, approved=True, by=BY)
    tighten_or_set(*KEY, D(50), reason="x", by=BY)
    with pytest.raises(Problem) as caught:
        decide_and_carry_out(approval.id, approved=True, by=SECOND)
    assert caught.value.code == "LIMIT_CHANGED"
    assert consequences(approval)[0].startswith("Nothing")
    assert value_now() == 50


def test_a_proposal_has_a_reason_and_loosens() -> None:
    tighten_or_set(*KEY, D(100), reason="x", by=BY)
    for asked, reason, code in ((change("200"), "short", "REASON_TOO_SHORT"), (change("90"), WHY, "LIMIT_NOT_LOOSER")):
        with pytest.raises(Problem) as caught:
            propose(asked, reason=reason, by=BY)
        assert caught.value.code == code


# -------------------------------------------------------------------------------------------------------------- expiry


def at(monkeypatch: pytest.MonkeyPatch, later: timedelta) -> None:
    now = clock.now() + later
    monkeypatch.setattr(clock, "now", lambda: now)


def test_a_temporary_limit_gives_way_to_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    tighten_or_set(*KEY, D(100), reason="x", by=BY)
    approval = propose(change("200", expires_in=timedelta(hours=1)), reason=WHY, by=BY)
    decide_and_carry_out(approval.id, approved=True, by=SECOND)
    assert value_now() == 200
    # Tighter than the temporary one only: it ends with it, and does not loosen what comes back.
    tighten_or_set(*KEY, D(150), reason="x", by=BY)
    assert (value_now(), in_force().get().version) == (150, 3)
    at(monkeypatch, timedelta(hours=1))
    assert (value_now(), in_force().get().version) == (100, 1)


def test_a_limit_that_is_tighter_for_good_outlives_a_temporary_one(monkeypatch: pytest.MonkeyPatch) -> None:
    tighten_or_set(*KEY, D(100), reason="x", by=BY)
    approval = propose(change("200", expires_in=timedelta(hours=1)), reason=WHY, by=BY)
    decide_and_carry_out(approval.id, approved=True, by=SECOND)
    tighten_or_set(*KEY, D(90), reason="x", by=BY)
    at(monkeypatch, timedelta(hours=2))
    assert value_now() == 90


# ------------------------------------------------------------------------------------------------------------- requests


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"value": 5}, "INVALID_REQUEST"),
        ({"value": "-1"}, "INVALID_REQUEST"),
        ({"value": "NaN"}, "INVALID_REQUEST"),
        ({"control": "nothing"}, "INVALID_REQUEST"),
        ({"scope": {"account": "nobody"}}, "INVALID_REQUEST"),
        ({"scope": {"asset": "NONE"}}, "INVALID_REQUEST"),
        ({"scope": "everything"}, "INVALID_REQUEST"),
        ({"enforcement": "NEVER"}, "INVALID_REQUEST"),
        ({"expires_at": "tomorrow"}, "INVALID_REQUEST"),
        ({"reason": " "}, "INVALID_REQUEST"),
        ({"more": 1}, "INVALID_REQUEST"),
        ({"mode": "live"}, "WRONG_MODE"),
        ({"scope": "global"}, "WRONG_MODE"),
        ({"control": "max_asset_exposure", "scope": {"symbol": "BTCUSDT"}, "mode": "sandbox"}, "LIMIT_SCOPE"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "EXPIRY_PASSED"),
    ],
)
def test_a_request_that_can_be_no_limit_says_why_and_stores_nothing(changes: dict[str, Any], code: str) -> None:
    InstrumentFactory()
    status, document = post(**changes)
    assert (status, document["code"]) == (400, code)
    assert not Limit.objects.exists()


def test_a_bound_key_changes_no_limit() -> None:
    key = api_key("operate", accounts=["main"])
    body = {"control": "max_order_notional", "scope": {"account": "main"}, "value": "1", "reason": "x"}
    status, document = call("POST", "limits", body, key=key)
    assert (status, document["code"]) == (403, "SCOPE_NOT_ALLOWED")


def test_the_versions_that_count_are_listed() -> None:
    for value in ("100", "90"):
        post(value=value)
    post(control="max_working_orders", scope="global", mode="live", value="7")
    status, document = call("GET", "limits")
    assert status == 200
    assert [(row["control"], row["value"], row["mode"]) for row in document["limits"]] == [
        ("max_order_notional", "90", "sandbox"),
        ("max_working_orders", "7", "live"),
    ]
    assert [row["value"] for row in call("GET", "limits?mode=live")[1]["limits"]] == ["7"]


# --------------------------------------------------------------------------------------------------- usage, decisions


def test_usage_and_headroom_of_every_limit_in_one_call() -> None:
    account = funded_account(USDT="1000", BTC="0.5")
    HoldingFactory(account=account, asset="ETH", quantity=D(1))
    QuoteFactory(instrument=InstrumentFactory(base_asset="ETH"), bid=D(1999), ask=D(2001))
    shown = {"account_name": account.name, "exchange": "binance", "symbol": "BTCUSDT", "gained_asset": "BTC"}
    ReservationFactory(**shown, side="BUY", exposure=D(500))
    ReservationFactory(**shown, side="BUY", amount=0, exposure=0, live=False)
    for control, kind, key, value in (
        ("max_asset_exposure", "global", "", "61005"),
        ("max_gross_exposure", "account", account.name, "32000"),
        ("max_net_exposure", "global", "", "64005"),
        ("max_working_orders", "symbol", "BTCUSDT", "4"),
        ("max_exchange_exposure", "exchange", "binance", "100000"),
        ("max_turnover_1h", "global", "", "10"),
    ):
        tighten_or_set(control, "sandbox", kind, key, D(value), reason="x", by=BY)
    status, document = call("GET", "risk?mode=sandbox")
    assert (status, document["mode"], document["reporting_currency"]) == (200, "sandbox", "USDT")
    seen = {row["control"]: (row["used"], row["headroom"], row["share"], row["subject"]) for row in document["limits"]}
    assert seen["max_asset_exposure"] == ("30502.5", "30502.5", "0.5", "BTC")
    assert seen["max_gross_exposure"] == ("32502.5", "-502.5", "1.0158", "")
    assert seen["max_net_exposure"] == ("32002.5", "32002.5", "0.5", "")
    assert seen["max_working_orders"] == ("1", "3", "0.25", "")
    assert seen["max_exchange_exposure"][0] == "33502.5"
    assert seen["max_turnover_1h"] == ("0", "10", "0", "")
    assert seen["max_order_notional"] == (None, None, None, "")
    assert document["pauses"] == []
    assert [usage.limit.control for usage in usage_of("live")] == []


def test_pauses_that_stand_are_shown_with_the_limits_of_their_mode() -> None:
    given: dict[str, Any] = {"length": timedelta(minutes=5), "reason": "losses", "evidence": {}, "by": BY}
    pause("sandbox", "account", "main", control="max_losing_closes_1h", **given)
    pause("live", "symbol", "BTCUSDT", control="max_range_1m", **given)
    with clock.using(clock.ManualClock(clock.now() - timedelta(minutes=6))):
        pause("sandbox", "strategy", "over", control="max_losing_closes_1h", **given)
    (shown,) = call("GET", "risk?mode=sandbox")[1]["pauses"]
    assert (shown["scope"], shown["control"], shown["reason"]) == (
        {"account": "main"},
        "max_losing_closes_1h",
        "losses",
    )
    assert shown["until"] > shown["began_at"]


def ask(quantity: str = "0.01", key: str = "k", **changes: Any) -> Decision:
    account = changes.pop("account")
    request = OrderRequest(
        account.name, "BTCUSDT", "BUY", "LIMIT", D(quantity), price=D("60000"), time_in_force="GTC", **changes
    )
    return place(request, idempotency_key=key, body_hash=key, account=account, by=BY).decision


def test_decisions_are_listed_with_every_control_and_a_value_is_rehearsed_on_them() -> None:
    account = funded_account(USDT="100000")
    small, large = ask("0.01", "a", account=account), ask("0.1", "b", account=account)
    denied = ask("100", "c", account=account)
    status, document = call("GET", f"decisions?account={account.name}")
    assert status == 200
    assert [row["id"] for row in document["decisions"]] == [str(d.id) for d in (denied, large, small)]
    shown = document["decisions"][1]
    assert (shown["notional"], shown["symbol"], shown["kind"], shown["reducing"]) == (
        "6000.5",
        "BTCUSDT",
        "order",
        False,
    )
    assert {control["control"] for control in shown["controls"]} >= {"max_order_notional", "funds", "health"}
    assert "self_match" in shown["inputs"]["not_set"]
    for query, expected in (
        ("accepted=false", [denied]),
        (f"order={small.order_id}", [small]),
        ("kind=replace", []),
        ("symbol=ETHUSDT", []),
    ):
        found = call("GET", f"decisions?{query}")[1]["decisions"]
        assert [row["id"] for row in found] == [str(decision.id) for decision in expected]
    told = rehearse("max_order_notional", "sandbox", "account", account.name, D("6000"), 1)
    assert (told.looked_at, told.unknown, [row.order_id for row in told.would_deny]) == (2, 0, [large.order_id])
    assert rehearse("max_order_notional", "sandbox", "global", "", D("6000.5"), 1).would_deny == []
    assert rehearse("max_asset_exposure", "sandbox", "global", "", D(1), 1).unknown == 2
    answer = run(
        "rehearse_limit", "max_order_notional", f"account:{account.name}", "600", "--days", "1", "--json"
    ).document
    assert [row["observed"] for row in answer["would_deny"]] == ["600.05", "6000.5"]


def test_a_limit_that_warns_lets_pass_and_says_so() -> None:
    account = funded_account(USDT="100000")
    tighten_or_set("max_working_orders", "sandbox", "global", "", D(0), reason="x", by=BY, enforcement="WARN")
    decision = ask(account=account)
    assert decision.accepted
    row = call("GET", "decisions")[1]["decisions"][0]
    assert (row["breaches"], row["warnings"]) == ([], ["MAX_WORKING_ORDERS"])
    assert Event.objects.get(kind="order.accepted").evidence["warnings"] == ["MAX_WORKING_ORDERS"]


def test_commands_propose_and_expire() -> None:
    scope = ("--scope", "asset:BTC", "--mode", "sandbox", "--reason", WHY)
    InstrumentFactory()
    first = run("set_limit", "max_asset_exposure", "100", *scope, "--enforcement", "WARN", "--json").document
    assert (first["scope"], first["enforcement"]) == ({"asset": "BTC"}, "WARN")
    assert run("set_limit", "max_asset_exposure", "50", *scope, "--expires", "2020-01-01T00:00:00Z").code == 1
    assert "would be asked" in run("propose_limit", "max_asset_exposure", "off", *scope, "--dry-run").out
    assert not Approval.objects.exists()
    asked = run("propose_limit", "max_asset_exposure", "off", *scope)
    assert (asked.code, Approval.objects.get().parameters["value"]) == (3, None)
