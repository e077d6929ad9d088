"""Orders at the API: lists with filters and pages, one order's whole history, mass cancel, kill, and bound keys."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from exchanges.models import Account
from execution_project.common import clock
from execution_project.common.models import Approval, Event, Strategy
from orders.history import NEWEST, history_of
from orders.models import Attempt, Command, Order
from risk.models import KillSweep, TradingState
from tests.factories import (
    AbsenceEvidenceFactory,
    AccountFactory,
    FillFactory,
    InstrumentFactory,
    OrderFactory,
    StrategyFactory,
    api_key,
    funded_account,
    lost_order,
    whole_order,
)
from tests.kills import WHY, take_for_proven

pytestmark = pytest.mark.django_db
BODY = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001"}


def call(method: str, path: str, body: Any = None, *, key: str | None = None, **headers: str) -> Any:
    """(status, document, response) of one call; a key of all scopes unless given."""
    answer = Client().generic(
        method,
        f"/api/exec/{path}",
        b"" if body is None else json.dumps(body).encode(),
        content_type="application/json",
        headers={"Authorization": f"Bearer {key or api_key()}", **headers},
    )
    return answer.status_code, json.loads(answer.content) if answer.content else None, answer


def listed(query: str = "", **options: Any) -> list[str]:
    """The ids that a list answers."""
    status, document, _ = call("GET", f"orders?{query}", **options)
    assert status == 200, document
    return [order["id"] for order in document["orders"]]


def decided_order(**values: Any) -> Order:
    """An order that was placed through the gate, with its decision."""
    account = values.pop("account", None) or funded_account(USDT="1000")
    headers = {"Idempotency-Key": values.pop("idempotency_key", "one")}
    status, order, _ = call("POST", "order", {**BODY, "account": account.name, **values}, **headers)
    assert status == 202, order
    return Order.objects.get(id=order["id"])


# ---------------------------------------------------------------------------------------------------------- lists


def test_every_order_says_what_it_does_to_exposure() -> None:
    """A buy increases; a sale of what is held reduces, however it is marked; more than is held is not sold."""
    account = funded_account(USDT="1000", BTC="0.002")
    placed = {
        side: decided_order(account=account, idempotency_key=side, side=side, **more)
        for side, more in (("BUY", {}), ("SELL", {"quantity": "0.0015"}))
    }
    headers = {"Idempotency-Key": "more"}
    body = {**BODY, "account": account.name, "side": "SELL", "quantity": "0.0015"}
    status, refused, _ = call("POST", "order", body, **headers)
    assert (status, refused["order"]["effect"], refused["code"]) == (422, "increases", "INSUFFICIENT_FUNDS")
    found = OrderFactory(account=account, origin="external", decision_id=None)
    _, listing, _ = call("GET", "orders")
    told = {order["id"]: order["effect"] for order in listing["orders"]}
    assert told == {
        str(placed["BUY"].id): "increases",
        str(placed["SELL"].id): "reduces",
        refused["order"]["id"]: "increases",
        str(found.id): None,
    }
    for order in told:
        assert call("GET", f"order/{order}")[1]["effect"] == told[order]
    _, canceled, _ = call("DELETE", f"order/{placed['SELL'].id}")
    assert canceled["effect"] == "reduces"


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", "abc"),
        ("account=first", "ac"),
        ("account=nobody", ""),
        ("symbol=ETHUSDT", "b"),
        ("side=SELL", "c"),
        ("strategy=trend", "b"),
        ("status=open", "a"),
        ("status=open,settled", "ac"),
        ("ended_as=canceled", "c"),
        ("idempotency_key=the-key", "b"),
        ("created_after=2026-01-02T00:00:00Z", "bc"),
        ("created_before=2026-01-02T00:00:00Z", "a"),
        ("created_after=2026-01-02T00:00:00%2B01:00&created_before=2026-01-03T00:00:00Z", "b"),
        ("account=first&side=BUY", "a"),
    ],
)
def test_every_filter_keeps_what_it_names(query: str, wanted: str) -> None:
    first = AccountFactory(name="first")
    day = clock.now().replace(year=2026, month=1, day=1, hour=12)
    orders = {
        "a": OrderFactory(account=first, status="open", created_at=day),
        "b": OrderFactory(
            instrument=InstrumentFactory(base_asset="ETH"),
            strategy=StrategyFactory(name="trend"),
            idempotency_key="the-key",
            created_at=day + timedelta(days=1),
        ),
        "c": OrderFactory(
            account=first, side="SELL", status="settled", ended_as="canceled", created_at=day + timedelta(days=2)
        ),
    }
    assert listed(query) == [str(orders[name].id) for name in reversed(wanted)]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("colour=red", "UNKNOWN_PARAMETER"),
        ("status=opened", "INVALID_PARAMETER"),
        ("status=open,", "INVALID_PARAMETER"),
        ("side=buy", "INVALID_PARAMETER"),
        ("ended_as=settled", "INVALID_PARAMETER"),
        ("created_after=yesterday", "INVALID_PARAMETER"),
        ("created_before=2026-01-01", "INVALID_PARAMETER"),
        ("account=a&account=b", "INVALID_PARAMETER"),
        ("after=nowhere", "INVALID_PARAMETER"),
        ("limit=0", "INVALID_LIMIT"),
        ("idempotency_key=%00", "INVALID_PARAMETER"),
    ],
)
def test_a_query_that_is_not_clear_is_refused(query: str, code: str) -> None:
    status, document, _ = call("GET", f"orders?{query}")
    assert (status, document["code"]) == (400, code)


def test_pages_stay_as_they_are_while_orders_arrive() -> None:
    account = AccountFactory()
    there = [str(OrderFactory(account=account).id) for _ in range(7)]
    key, seen, after = api_key("read"), [], ""
    while after is not None:
        _, document, _ = call("GET", f"orders?limit=3{after and f'&after={after}'}", key=key)
        seen += [order["id"] for order in document["orders"]]
        after = document["next"]
        OrderFactory(account=account)
    assert seen == there[::-1]


def test_a_list_takes_the_same_statements_however_long_it_is() -> None:
    key, counts = api_key("read"), []
    for more in (1, 9):
        for _ in range(more):
            OrderFactory(strategy=StrategyFactory())
        with CaptureQueriesContext(connection) as queries:
            assert len(listed(key=key)) >= more
        counts.append(len(queries))
    assert counts[0] == counts[1] == 3, "the key, the page, what its decisions said"


# ---------------------------------------------------------------------------------------------------------- one order


def test_one_order_is_shown_with_all_that_is_on_record_about_it() -> None:
    order = decided_order()
    command = Command.objects.get()
    moment = clock.now()
    Attempt.objects.create(
        command=command,
        exchange_order=command.exchange_order,
        kind="submit",
        fence=1,
        stamp_ms=1,
        recv_window_ms=5000,
        send_by=moment,
        body_hash="",
        worker="w",
        claimed_at=moment,
        request={"path": "/api/v3/order"},
    )
    FillFactory(account=order.account, instrument=order.instrument, order_id=order.id, trade_id="7")
    _, document, _ = call("GET", f"order/{order.id}")
    assert document["id"] == str(order.id)
    (row,) = document["exchange_orders"]
    assert (row["generation"], row["client_order_id"]) == (0, command.exchange_order.client_order_id)
    (shown,) = document["commands"]
    assert (shown["id"], shown["kind"], shown["status"]) == (str(command.id), "submit", "queued")
    (attempt,) = shown["attempts"]
    assert (attempt["kind"], attempt["outcome"], attempt["request"]) == ("submit", None, {"path": "/api/v3/order"})
    assert [fill["trade_id"] for fill in document["fills"]] == ["7"]
    assert [event["kind"] for event in document["events"]] == ["order.accepted"]
    assert document["decision"]["id"] == str(order.decision_id)
    assert document["decision"]["accepted"] is True
    assert document["replace_decisions"] == []
    call("DELETE", f"order/{order.id}")
    _, document, _ = call("GET", f"order/{order.id}")
    assert [event["kind"] for event in document["events"]] == ["order.accepted", "order.canceled", "command.dropped"]


def test_one_order_takes_the_same_statements_however_much_happened() -> None:
    order, key, counts = decided_order(), api_key("read"), []
    call("GET", f"order/{order.id}", key=key)
    for more in range(2):
        FillFactory(account=order.account, instrument=order.instrument, order_id=order.id)
        with CaptureQueriesContext(connection) as queries:
            _, document, _ = call("GET", f"order/{order.id}", key=key)
        assert len(document["fills"]) == more + 1
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 9


def test_the_evidence_of_looking_for_an_order_is_shown_without_bodies_of_answers() -> None:
    order, key, counts = lost_order(), api_key("read"), []
    assert call("GET", f"order/{order.id}", key=key)[1]["evidence"] == []
    row = order.exchange_orders.get()
    for at, verdict in ((0, "negative"), (10, "failed")):
        AbsenceEvidenceFactory(exchange_order=row, at=at, verdict=verdict)
        with CaptureQueriesContext(connection) as queries:
            _, document, answer = call("GET", f"order/{order.id}", key=key)
        counts.append(len(queries))
    assert counts[0] == counts[1]
    first, second = document["evidence"]
    assert (first["generation"], first["verdict"], first["counts"], first["why_not"]) == (0, "negative", True, None)
    assert (second["counts"], second["why_not"]) == (False, "not every question was answered")
    assert first["answers"] == [
        {
            "call": "open_orders",
            "path": "/open",
            "parameters": None,
            "http_status": 200,
            "error": "",
            "characters": 2,
        }
    ]
    etag = {"If-None-Match": answer["ETag"]}
    assert call("GET", f"order/{order.id}", key=key, **etag)[0] == 304


def test_the_end_of_an_unknown_order_is_proposed_and_ends_nothing_yet() -> None:
    order, key = lost_order(), api_key("operate")
    path, body = f"order/{order.id}/resolve", {"outcome": "rejected", "reason": "support says it never arrived"}
    status, document, _ = call("POST", path, body, key=key)
    approval = document["approval"]
    assert (status, approval["act"], approval["subject"]) == (202, "resolve_order", str(order.id))
    about = {"outcome": "rejected", "what": "submit", "exchange_order": str(order.exchange_orders.get().id)}
    assert (approval["parameters"], approval["reason"]) == (about, body["reason"])
    assert call("POST", path, body, key=key)[1]["approval"]["id"] == approval["id"], "asked again it is the same one"
    assert Order.objects.get(id=order.id).status == "submit_unknown"
    for wrong, pointer in (
        ({**body, "outcome": "filled"}, "/outcome"),
        ({**body, "reason": ""}, "/reason"),
        ({"outcome": "rejected"}, "/reason"),
        ({**body, "resaon": "x"}, "/resaon"),
    ):
        status, problem, _ = call("POST", path, wrong, key=key)
        assert (status, problem["code"], problem["errors"][0]["pointer"]) == (400, "INVALID_REQUEST", pointer)
    known = whole_order(status="open")
    assert call("POST", f"order/{known.id}/resolve", body, key=key)[1]["code"] == "NOT_UNKNOWN"
    closed = whole_order(status="closed_unverified")
    assert call("POST", f"order/{closed.id}/resolve", body, key=key)[1]["code"] == "OUTCOME_NOT_POSSIBLE"
    assert call("POST", path, body, key=api_key("operate", accounts=[]))[1]["code"] == "UNKNOWN_ORDER"
    assert call("POST", path, body, key=api_key("read", "trade"))[1]["code"] == "MISSING_SCOPE"
    assert Approval.objects.count() == 1


def test_who_has_an_order_already_is_told_so_until_something_happens_to_it() -> None:
    order, key = decided_order(), api_key()
    _, _, answer = call("GET", f"order/{order.id}", key=key)
    tag = answer["ETag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        status, document, again = call("GET", f"order/{order.id}", key=key, **{"If-None-Match": known})
        assert (status, document, again["ETag"]) == (304, None, tag)
    FillFactory(account=order.account, instrument=order.instrument, order_id=order.id)
    status, document, answer = call("GET", f"order/{order.id}", key=key, **{"If-None-Match": tag})
    assert (status, len(document["fills"])) == (200, 1)
    assert answer["ETag"] != tag


@pytest.mark.parametrize("header", ["as answered", "*", '"1"', None])
def test_a_replace_goes_through_when_the_order_is_as_the_client_saw_it(header: str | None) -> None:
    account = funded_account(USDT="100000")
    decided_order(account=account)
    order = whole_order(status="open", account=account, decision_id=Order.objects.get().decision_id)
    if header == "as answered":
        header = call("GET", f"order/{order.id}")[2]["ETag"]
    headers = {} if header is None else {"If-Match": header}
    status, document, _ = call("PATCH", f"order/{order.id}", {"price": "59000"}, **headers)
    assert (status, document.get("code")) == (202, None), document


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        ('"2"', 412, "VERSION_CHANGED"),
        ('"2-0123456789abcdef"', 412, "VERSION_CHANGED"),
        ("yesterday", 400, "INVALID_IF_MATCH"),
        ('W/"1"', 400, "INVALID_IF_MATCH"),
        ('"1", "2"', 400, "INVALID_IF_MATCH"),
        ("", 400, "INVALID_IF_MATCH"),
    ],
)
def test_a_replace_of_another_version_is_refused(header: str, status: int, code: str) -> None:
    order = whole_order(status="open", account=funded_account(USDT="100000"))
    got, document, _ = call("PATCH", f"order/{order.id}", {"price": "59000"}, **{"If-Match": header})
    assert (got, document["code"]) == (status, code)
    assert not Command.objects.filter(kind="replace").exists()


@pytest.mark.parametrize("path", ["orders", "fills", "positions", "order/{id}"])
def test_head_answers_like_get_and_options_says_what_a_path_can_do(path: str) -> None:
    path = path.format(id=decided_order().id)
    key = api_key("read")
    status, _, answer = call("HEAD", path, key=key)
    assert (status, answer.content) == (200, b"")
    status, document, answer = call("OPTIONS", path, key=key)
    assert status == 200
    assert {"GET", "HEAD", "OPTIONS"} <= set(answer["Allow"].split(", "))
    assert document["methods"]["GET"] == {"scopes": ["read"]}
    assert call("HEAD", path, key=api_key("operate"))[0] == 403
    assert call("OPTIONS", path, key="exk_1_2")[0] == 401


# ---------------------------------------------------------------------------------------------------------- mass acts


def test_a_mass_cancel_ends_what_it_names_and_trading_goes_on() -> None:
    account, other = funded_account(USDT="1000000"), AccountFactory()
    strategy = StrategyFactory()
    mine = [whole_order(account=account), whole_order(account=account, status="open", strategy=strategy)]
    whole_order(account=account, status="settled", ended_as="filled")
    others = whole_order(account=other)
    status, document, _ = call("DELETE", f"orders?account={account.name}&strategy={strategy.name}")
    assert (status, document) == (202, {"cancels_requested": 1, "orders": [str(mine[1].id)]})
    status, document, _ = call("DELETE", f"orders?account={account.name}")
    assert (status, document["orders"]) == (202, [str(order.id) for order in mine])
    assert Order.objects.get(id=mine[0].id).status == "canceled"
    assert Command.objects.get(order=mine[1], kind="cancel").reason == "mass cancel"
    assert Order.objects.get(id=others.id).status == "pending"
    decided_order(account=account)
    status, document, _ = call("DELETE", "orders?symbol=BTCUSDT", key=api_key("trade", accounts=[other.name]))
    assert document["orders"] == [str(others.id)]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 400, "MISSING_FILTER"),
        ("account=nobody", 404, "UNKNOWN_ACCOUNT"),
        ("account=", 404, "UNKNOWN_ACCOUNT"),
        ("symbol=NOPE", 400, "UNKNOWN_SYMBOL"),
        ("strategy=nobody", 400, "UNKNOWN_STRATEGY"),
        ("side=BUY", 400, "UNKNOWN_PARAMETER"),
    ],
)
def test_a_mass_cancel_that_is_not_clear_cancels_nothing(query: str, status: int, code: str) -> None:
    order = whole_order()
    got, document, _ = call("DELETE", f"orders?{query}")
    assert (got, document["code"]) == (status, code)
    assert Order.objects.get(id=order.id).status == "pending"


def test_a_kill_latches_the_scope_and_asks_for_the_end_of_everything_in_it() -> None:
    account = funded_account(USDT="1000")
    order = decided_order(account=account)
    scope = {"scope": {"account": account.name}, "reason": "a test"}
    status, document, _ = call("POST", "kill", scope)
    assert (status, document["state"], document["latched"], document["cancels_requested"]) == (200, "HALTED", True, 1)
    assert Order.objects.get(id=order.id).status == "canceled"
    assert Event.objects.get(kind="trading.halted").evidence["reason"] == "a test"
    status, document, _ = call("POST", "start", {**scope, "reason": WHY})
    assert (status, document["code"]) == (409, "LATCH_HELD")
    assert any("cause" in sentence for sentence in document["held_by"])
    KillSweep.objects.all().delete()
    take_for_proven("account", account.name)
    status, document, _ = call("POST", "start", {**scope, "reason": "too short"})
    assert (status, document["code"]) == (400, "REASON_TOO_SHORT")
    status, document, _ = call("POST", "start", {**scope, "reason": WHY})
    assert (status, document["approval"]["act"]) == (202, "lift_latch")
    assert TradingState.objects.get().state == "HALTED"
    assert Approval.objects.count() == 1


# ---------------------------------------------------------------------------------------------------------- bound keys


@pytest.fixture
def market() -> tuple[Account, Strategy, Strategy]:
    """An account with two strategies."""
    return funded_account(USDT="1000"), StrategyFactory(name="mine"), StrategyFactory(name="theirs")


@pytest.mark.parametrize(
    ("strategies", "asked", "outcome"),
    [
        (None, None, None),
        (None, "theirs", "theirs"),
        (["mine"], None, "mine"),
        (["mine"], "mine", "mine"),
        (["mine"], "theirs", "UNKNOWN_STRATEGY"),
        (["mine"], "nobodys", "UNKNOWN_STRATEGY"),
        (["mine", "theirs"], "theirs", "theirs"),
        (["mine", "theirs"], None, "MISSING_FIELD"),
        ([], None, "MISSING_FIELD"),
    ],
)
def test_a_bound_key_places_for_its_strategies_only(
    market: tuple[Account, Strategy, Strategy], strategies: list[str] | None, asked: str | None, outcome: str | None
) -> None:
    body = {**BODY, "account": market[0].name} | ({} if asked is None else {"strategy": asked})
    status, document, _ = call("POST", "order", body, key=api_key(strategies=strategies), **{"Idempotency-Key": "one"})
    if outcome is not None and outcome.isupper():
        assert (status, document["code"]) == (400, outcome)
        assert [error["pointer"] for error in document["errors"]] == ["/strategy"]
        assert not Order.objects.exists()
    else:
        assert (status, document["strategy"]) == (202, outcome)


def test_what_is_not_registered_and_what_is_not_reached_look_the_same(
    market: tuple[Account, Strategy, Strategy],
) -> None:
    key, answers = api_key(strategies=["mine"]), []
    for name in ("theirs", "nobody"):
        body = {**BODY, "account": market[0].name, "strategy": name}
        _, document, _ = call("POST", "order", body, key=key, **{"Idempotency-Key": "one"})
        answers.append(document["detail"].replace(name, "NAME"))
    assert answers[0] == answers[1]


def test_a_bound_key_reaches_the_orders_of_its_strategies_only(market: tuple[Account, Strategy, Strategy]) -> None:
    account = market[0]
    own = decided_order(account=account, strategy="mine")
    foreign = [
        decided_order(account=account, strategy="theirs", idempotency_key="two"),
        decided_order(account=account, idempotency_key="three"),
    ]
    key = api_key(strategies=["mine"])
    assert listed(key=key) == [str(own.id)]
    assert listed("strategy=theirs", key=key) == []
    for order in foreign:
        for method, body in (("GET", None), ("PATCH", {"price": "1"}), ("DELETE", None)):
            status, document, _ = call(method, f"order/{order.id}", body, key=key)
            assert (status, document["code"]) == (404, "UNKNOWN_ORDER")
    _, document, _ = call("DELETE", f"orders?account={account.name}", key=key)
    assert document["orders"] == [str(own.id)]
    assert Order.objects.filter(status="pending").count() == 2


@pytest.mark.parametrize(
    ("bounds", "allowed"),
    [
        ({"strategies": ["mine"]}, [{"strategy": "mine"}]),
        ({"accounts": ["main"]}, [{"account": "main"}]),
        ({"accounts": ["main"], "strategies": ["mine"]}, []),
        ({"strategies": []}, []),
    ],
)
def test_a_bound_key_stops_kills_and_starts_what_it_names_and_nothing_wider(
    bounds: dict[str, list[str]], allowed: list[Any]
) -> None:
    for name in ("main", "another"):
        AccountFactory(name=name)
    for name in ("mine", "theirs"):
        StrategyFactory(name=name)
    InstrumentFactory()
    key = api_key(**bounds)
    scopes: list[Any] = ["global", {"exchange": "binance"}, {"symbol": "BTCUSDT"}]
    scopes += [{"account": name} for name in ("main", "another", "nobody")]
    scopes += [{"strategy": name} for name in ("mine", "theirs", "nobody")]
    for scope in scopes:
        for act in ("stop", "start", "kill"):
            status, document, _ = call("POST", act, {"scope": scope}, key=key)
            if scope in allowed:
                assert status == 200, document
            else:
                assert (status, document["code"]) == (403, "SCOPE_NOT_ALLOWED")
    assert TradingState.objects.count() == len(allowed)


def test_a_key_bound_to_both_is_told_what_to_do_and_cancels_within_both_bounds(
    market: tuple[Account, Strategy, Strategy],
) -> None:
    account = market[0]
    own = decided_order(account=account, strategy="mine")
    decided_order(account=account, strategy="theirs", idempotency_key="two")
    key = api_key(accounts=[account.name], strategies=["mine"])
    _, document, _ = call("POST", "kill", {"scope": {"account": account.name}}, key=key)
    assert "Use a key that is bound to one of them" in document["detail"]
    _, document, _ = call("DELETE", f"orders?account={account.name}", key=key)
    assert document["orders"] == [str(own.id)]


def test_of_an_order_with_many_attempts_the_newest_are_read() -> None:
    order = whole_order(status="open")
    command, row, now = order.commands.get(), order.exchange_orders.get(), clock.now()
    Attempt.objects.bulk_create(
        Attempt(
            command=command,
            exchange_order=row,
            kind="cancel",
            fence=number,
            stamp_ms=number,
            recv_window_ms=5000,
            send_by=now,
            claimed_at=now,
            answered_at=now,
            outcome="unknown",
        )
        for number in range(1, NEWEST + 3)
    )
    ids = sorted(Attempt.objects.values_list("id", flat=True))
    [read] = history_of(order).commands
    assert [attempt.id for attempt in read.attempts.all()] == ids[2:]
