"""What broke limits, at the API: denied, warned, watched; searched in bounded steps."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from execution_project.common import clock
from risk.api import breaches
from risk.models import Decision
from tests.factories import api_key
from tests.risk.decided import control, decided

pytestmark = pytest.mark.django_db


def read(query: str = "", status: int = 200, **bound: Any) -> Any:
    headers = {"Authorization": f"Bearer {api_key('read', **bound)}"}
    answer = Client().get(f"/api/exec/breaches{query}", headers=headers)
    assert answer.status_code == status, answer.content
    return answer.json()


def found(query: str = "", **bound: Any) -> list[str]:
    return [row["decision"] for row in read(query, **bound)["breaches"]]


def ids(*rows: Decision) -> list[str]:
    """Newest first, as ids sort: what is decided in one millisecond has no other order."""
    return [str(row.id) for row in sorted(rows, key=lambda row: row.id, reverse=True)]


def test_what_was_denied_warned_or_watched_is_listed_with_what_broke() -> None:
    decided("main", "mine", None, control("funds"), control("max_net_exposure", scope="global"))
    denied = decided(
        "main",
        "",
        None,
        control("max_order_notional", "breach", "account:main", detail="too much"),
        control("funds", "breach", headroom=None),
        control("max_spread", "warned", "global"),
        control("self_match"),
    )
    warned = decided("main", "mine", None, control("passive_collar", "warned", "exchange:binance"))
    watched = decided("main", "mine", None, control("max_gross_exposure", "shadowed", "strategy:mine"))
    assert found() == ids(watched, warned, denied)
    shown = read()["breaches"][2]
    assert (shown["accepted"], shown["strategy"], shown["notional"]) == (False, None, "7")
    assert [(each["control"], each["outcome"], each["scope"], each["version"]) for each in shown["broken"]] == [
        ("max_order_notional", "denied", {"account": "main"}, 1),
        ("funds", "denied", None, None),
        ("max_spread", "warned", "global", 1),
    ]
    assert (shown["broken"][0]["observed"], shown["broken"][0]["detail"]) == ("2", "too much")
    assert found("?outcome=denied") == ids(denied)
    assert found("?outcome=warned") == ids(warned, denied)
    assert found("?outcome=shadowed,denied") == ids(watched, denied)


def test_filters_are_about_one_and_the_same_control() -> None:
    mixed = decided(
        "main",
        "mine",
        None,
        control("max_net_exposure", "breach", "global"),
        control("max_turnover_1h", "warned", "account:main"),
    )
    other = decided("other", "theirs", None, control("max_net_exposure", "breach", "account:other"), symbol="ETHUSDT")
    assert found("?control=max_net_exposure") == ids(other, mixed)
    assert found("?control=max_net_exposure&scope=global") == ids(mixed)
    assert found("?control=max_net_exposure&scope=account:main") == []
    assert found("?control=max_turnover_1h&outcome=denied") == []
    assert found("?scope=account:main&outcome=warned") == ids(mixed)
    assert [each["control"] for each in read("?outcome=warned")["breaches"][0]["broken"]] == ["max_turnover_1h"]
    for query in ("?account=other", "?strategy=theirs", "?symbol=ETHUSDT"):
        assert found(query) == ids(other)
    assert (found("?mode=live"), found("?mode=sandbox&account=main")) == ([], ids(mixed))


def test_times_are_those_of_the_decision() -> None:
    now = clock.now()
    rows = [decided("main", "", now + timedelta(seconds=offset), control("funds", "breach")) for offset in (0, 10, 20)]

    def at(offset: int) -> str:
        return clock.rfc3339(now + timedelta(seconds=offset))

    assert found(f"?from={at(10)}") == ids(rows[2], rows[1])
    assert found(f"?to={at(10)}") == ids(rows[0])
    assert found(f"?from={at(10)}&to={at(20)}") == ids(rows[1])
    assert found(f"?from={at(3600)}") == found(f"?to={at(-3600)}") == []


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        ({"accounts": ["own"]}, {("own", "mine"), ("own", "theirs")}),
        ({"strategies": ["mine"]}, {("own", "mine"), ("other", "mine")}),
        ({"accounts": ["own"], "strategies": ["mine"]}, {("own", "mine")}),
        ({"accounts": []}, set()),
    ],
)
def test_a_bound_key_finds_what_its_own_orders_broke(bound: dict[str, Any], expected: set[Any]) -> None:
    for account, strategy in (("own", "mine"), ("own", "theirs"), ("other", "mine"), ("other", "")):
        decided(account, strategy, None, control("funds", "breach"))
    rows = read(**bound)["breaches"]
    assert {(row["account"], row["strategy"]) for row in rows} == expected


def test_a_bound_key_is_told_that_a_wider_limit_broke_and_not_how_much_of_it_is_used() -> None:
    decided(
        "own",
        "",
        None,
        control("max_asset_exposure", "breach", "global", detail="2 of 1"),
        control("max_gross_exposure", "breach", "account:own", detail="3 of 1"),
        control("max_order_notional", "breach", "global", detail="4 of 1"),
    )
    [row] = read(accounts=["own"])["breaches"]
    shown = [(each["control"], each["observed"], each["headroom"], each["limit"]) for each in row["broken"]]
    assert shown == [
        ("max_asset_exposure", None, None, "1"),
        ("max_gross_exposure", "2", "-1", "1"),
        ("max_order_notional", "2", "-1", "1"),
    ]
    assert [each["scope"] for each in row["broken"]] == ["global", {"account": "own"}, "global"]
    assert ["of 1" in each["detail"] for each in row["broken"]] == [False, True, True]


def test_pages_follow_each_other_without_a_gap() -> None:
    rows = [decided("main", "", None, control("funds", "breach")) for _ in range(5)]
    seen, after = [], ""
    while after is not None:
        document = read(f"?limit=2{after and f'&after={after}'}")
        seen += [row["decision"] for row in document["breaches"]]
        after = document["next"]
    assert seen == ids(*rows)


@pytest.mark.parametrize("outcome", ["denied", "warned"])
def test_a_search_ends_after_so_many_decisions_and_goes_on_with_the_next_page(
    outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaches, "LOOKED_AT", 3)
    word = {"denied": "breach", "warned": "warned"}[outcome]
    first = decided("main", "", None, control("funds", word))
    for _ in range(6):
        decided("main", "", None, control("self_match", word))
    pages, after = [], ""
    while after is not None:
        with CaptureQueriesContext(connection) as queries:
            document = read(f"?outcome={outcome}&control=funds{after and f'&after={after}'}")
        pages.append([row["decision"] for row in document["breaches"]])
        after = document["next"]
        asked = [query["sql"] for query in queries if "risk_decision" in query["sql"]]
        assert len(asked) == 2
    assert pages == [[], [], ids(first)]


@pytest.mark.parametrize(
    "query", ["?outcome=accepted", "?scope=moon:x", "?mode=x", "?from=yesterday", "?limit=0", "?after=x", "?more=1"]
)
def test_what_cannot_be_asked_is_said(query: str) -> None:
    assert read(query, status=400)["code"] in {"INVALID_PARAMETER", "INVALID_LIMIT", "UNKNOWN_PARAMETER"}
