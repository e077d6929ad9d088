"""The risk screen's one call, and what a bound key may know of limits, decisions and kills."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from exchanges.models import Account, Mode
from execution_project.common import clock
from execution_project.common.models import Strategy
from risk.limits import mandatory_not_set, tighten_or_set
from risk.models import Flatten, FlattenItem, KillEpisode, KillSweep
from risk.trading_state import halt
from risk.usage import usage_of
from tests.factories import (
    BY,
    AccountFactory,
    HoldingFactory,
    InstrumentFactory,
    LimitFactory,
    QuoteFactory,
    StrategyFactory,
    api_key,
)
from tests.risk.decided import decided

pytestmark = pytest.mark.django_db
D = Decimal


def read(path: str, **bound: Any) -> Any:
    answer = Client().get(f"/api/exec/{path}", headers={"Authorization": f"Bearer {api_key('read', **bound)}"})
    assert answer.status_code == 200, answer.content
    return answer.json()


def limit(control: str, kind: str, key: str, value: str, mode: str = "sandbox") -> None:
    tighten_or_set(control, mode, kind, key, D(value), reason="x", by=BY)


@pytest.fixture
def desk(db: None) -> tuple[Account, Account]:
    """Two accounts at two exchanges, two strategies, and a limit of every scope."""
    own = AccountFactory(name="own", exchange="binance")
    other = AccountFactory(name="other", exchange="btcturk")
    mine, theirs = StrategyFactory(name="mine"), StrategyFactory(name="theirs")
    QuoteFactory(instrument=InstrumentFactory(base_asset="ETH", symbol="ETHUSDT"), bid=D(1999), ask=D(2001))
    HoldingFactory(account=own, asset="ETH", quantity=D(1), strategy=mine)
    HoldingFactory(account=other, asset="ETH", quantity=D(2), strategy=theirs)
    for kind, key in (
        *(("global", ""), ("exchange", "binance"), ("exchange", "btcturk")),
        *(("account", "own"), ("account", "other"), ("strategy", "mine"), ("strategy", "theirs")),
    ):
        limit("max_gross_exposure", kind, key, "10000")
    limit("max_order_notional", "global", "", "5", mode="live")
    return own, other


def scopes(rows: list[dict[str, Any]]) -> list[Any]:
    return [row["scope"] if row["scope"] == "global" else next(iter(row["scope"].values())) for row in rows]


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        ({}, {"global", "binance", "btcturk", "own", "other", "mine", "theirs"}),
        ({"accounts": ["own"]}, {"global", "binance", "own", "mine", "theirs"}),
        ({"strategies": ["mine"]}, {"global", "binance", "btcturk", "own", "other", "mine"}),
        ({"accounts": ["own"], "strategies": ["mine"]}, {"global", "binance", "own", "mine"}),
        ({"accounts": []}, set()),
    ],
)
def test_a_bound_key_sees_the_limits_that_concern_it(desk: Any, bound: dict[str, Any], expected: set[str]) -> None:
    assert set(scopes(read("limits?mode=sandbox", **bound)["limits"])) == expected
    assert set(scopes(read("risk?mode=sandbox", **bound)["limits"])) == expected


def test_a_bound_key_sees_no_limit_of_a_mode_without_its_accounts(desk: Any) -> None:
    assert [row["mode"] for row in read("limits?mode=live")["limits"]] == ["live"]
    assert read("limits?mode=live", accounts=["own"])["limits"] == []
    assert read("risk", accounts=["own"])["limits"] == []


@pytest.mark.parametrize(
    ("bound", "known"),
    [
        ({"accounts": ["own"]}, {"own": "2000"}),
        ({"strategies": ["mine"]}, {"mine": "2000"}),
        ({"accounts": ["own"], "strategies": ["mine"]}, {}),
    ],
)
def test_usage_is_told_of_scopes_that_are_wholly_the_keys(
    desk: Any, bound: dict[str, Any], known: dict[str, str]
) -> None:
    rows = read("risk?mode=sandbox", **bound)["limits"]
    told = dict(zip(scopes(rows), rows, strict=True))
    assert {name: row["used"] for name, row in told.items() if row["used"] is not None} == known
    for name, row in told.items():
        if name not in known:
            assert (row["headroom"], row["share"], row["not_known"]) == (None, None, "wider_than_key")
            assert row["value"] == "10000"


def test_it_says_why_a_usage_is_not_known(desk: Any) -> None:
    HoldingFactory(account=desk[0], asset="NOPRICE", quantity=D(1))
    limit("max_order_notional", "account", "own", "100")
    rows = read("risk?mode=sandbox")["limits"]
    why = {(row["control"], scope): row["not_known"] for row, scope in zip(rows, scopes(rows), strict=True)}
    assert why["max_order_notional", "own"] == "one_order"
    assert why["max_gross_exposure", "own"] == "no_price"
    assert why["max_gross_exposure", "other"] == ""


def test_mandatory_limits_that_are_missing_are_named_with_what_they_deny(desk: Any) -> None:
    def missing(mode: str = "sandbox", **bound: Any) -> list[Any]:
        return scopes(read(f"risk?mode={mode}", **bound)["not_set"])

    assert missing() == ["other", "own"]
    [row] = read("risk?mode=sandbox", accounts=["own"])["not_set"]
    assert row == {
        "control": "max_order_notional",
        "number": 4,
        "scope": {"account": "own"},
        "code": "LIMIT_NOT_SET",
        "denies": "Every order and replace of account own that increases exposure.",
    }
    limit("max_order_notional", "account", "own", "100")
    limit("max_order_notional", "global", "", "100")
    assert missing() == ["other"], "a wider one does not stand for it"
    assert missing("live") == []
    LimitFactory(scope_key="own", version=2, value=None)
    assert missing(strategies=["mine"]) == ["other", "own"], "switched off is not set"


def test_every_mandatory_limit_can_be_looked_for() -> None:
    for mode in Mode.values:
        assert mandatory_not_set(mode) == []


def test_states_and_standing_kills_are_part_of_the_call(desk: Any) -> None:
    document = read("risk?mode=sandbox")
    assert (document["state"], document["scopes"], document["kills"]) == ("ACTIVE", [], [])
    halt("account", "own", reason="storm", by=BY)
    halt("account", "other", reason="gone", by=BY, latched=True)
    halt("strategy", "theirs", reason="loop", by=BY, latched=True)
    document = read("risk?mode=sandbox")
    assert document["state"] == "ACTIVE"
    assert set(scopes(document["scopes"])) == {"own", "other", "theirs"}
    assert [(kill["scope"], kill["reason"], kill["verdict"]) for kill in document["kills"]] == [
        ({"strategy": "theirs"}, "loop", "SWEEPING"),
        ({"account": "other"}, "gone", "SWEEPING"),
    ]
    narrow = read("risk?mode=sandbox", accounts=["own"], strategies=["mine"])
    assert (scopes(narrow["scopes"]), narrow["kills"]) == (["own"], [])
    halt("global", "", reason="all", by=BY)
    assert read("risk?mode=sandbox", accounts=["own"])["state"] == "HALTED"


def test_the_call_asks_as_much_for_many_limits_as_for_one(desk: Any) -> None:
    for control in ("max_turnover_1d", "max_order_rate_60s"):
        limit(control, "global", "", "10")
    asked = []
    for more in (False, True):
        if more:
            for control in ("max_turnover_1h", "max_turnover_1m", "max_order_rate_1s", "max_turnover_1d"):
                for kind, key in (("account", "own"), ("strategy", "mine"), ("exchange", "binance")):
                    limit(control, kind, key, "10")
        with CaptureQueriesContext(connection) as queries:
            usage_of("sandbox")
        asked.append(len(queries))
    assert asked[0] == asked[1]


def test_what_is_counted_is_counted_per_scope_and_window(desk: Any) -> None:
    for control, kind, key in (
        ("max_turnover_1h", "account", "own"),
        ("max_turnover_1d", "account", "own"),
        ("max_turnover_1d", "strategy", "theirs"),
        ("max_order_rate_60s", "global", ""),
    ):
        limit(control, kind, key, "1000")
    now = clock.now()
    for account, strategy, accepted, reducing, minutes in (
        ("own", "mine", True, False, 0),
        ("own", "mine", True, True, 90),
        ("own", "mine", False, False, 0),
        ("other", "theirs", True, True, 0),
    ):
        decided(account, strategy, now - timedelta(minutes=minutes), accepted=accepted, reducing=reducing)
    used = {(u.limit.control, u.limit.scope_key): u.used for u in usage_of("sandbox") if "gross" not in u.limit.control}
    assert used == {
        ("max_turnover_1h", "own"): 7,
        ("max_turnover_1d", "own"): 14,
        ("max_turnover_1d", "theirs"): 7,
        ("max_order_rate_60s", ""): 2,
    }


# -------------------------------------------------------------------------------------------------------------- narrow


def test_a_bound_key_reads_the_decisions_on_its_own_orders() -> None:
    for account, strategy in (("own", "mine"), ("own", "theirs"), ("other", "mine"), ("other", "")):
        decided(account, strategy)

    def seen(**bound: Any) -> set[tuple[str, Any]]:
        return {(row["account"], row["strategy"]) for row in read("decisions", **bound)["decisions"]}

    assert len(seen()) == 4
    assert seen(accounts=["own"]) == {("own", "mine"), ("own", "theirs")}
    assert seen(strategies=["mine"]) == {("own", "mine"), ("other", "mine")}
    assert seen(accounts=["own"], strategies=["mine"]) == {("own", "mine")}
    assert seen(accounts=[]) == set()


@pytest.fixture
def killed(desk: tuple[Account, Account]) -> KillEpisode:
    """A global kill with sweeps, things not proven and a flatten of both accounts and strategies."""
    halt("global", "", reason="all", by=BY, latched=True)
    episode = KillEpisode.objects.get()
    flatten = Flatten.objects.create(episode=episode, confirmed_seq=1, confirmed_by="x", confirmed_at=clock.now())
    for account, strategy in zip(desk, ("mine", "theirs"), strict=True):
        KillSweep.objects.get_or_create(episode=episode, account=account)
        for name in (strategy, None):
            FlattenItem.objects.create(
                flatten=flatten,
                account=account,
                strategy=None if name is None else Strategy.objects.get(name=name),
                asset="ETH",
                quantity=D(1),
                left=D(1),
                moved_at=clock.now(),
            )
    episode.unproven = [{"account": a.name, "what": "order", "subject": "x", "detail": ""} for a in desk]
    episode.save()
    return episode


@pytest.mark.parametrize(
    ("bound", "accounts", "unproven", "items"),
    [
        ({}, ["other", "own"], ["own", "other"], 4),
        ({"accounts": ["own"]}, ["own"], ["own"], 2),
        ({"strategies": ["mine"]}, ["other", "own"], [], 1),
        ({"accounts": ["other"], "strategies": ["mine"]}, ["other"], [], 0),
    ],
)
def test_a_bound_key_reads_its_part_of_a_kill_of_everything(
    killed: KillEpisode, bound: dict[str, Any], accounts: list[str], unproven: list[str], items: int
) -> None:
    for document in (read(f"kills/{killed.id}", **bound), read("kills", **bound)["kills"][0]):
        assert [sweep["account"] for sweep in document["sweeps"]] == accounts
        assert [each["account"] for each in document["unproven"]] == unproven
        assert len(document["flattens"][0]["items"]) == items
        assert document["verdict"] == "SWEEPING"


def test_kills_of_scopes_that_a_key_does_not_reach_are_not_there(desk: Any) -> None:
    for kind, key in (("account", "other"), ("exchange", "btcturk"), ("strategy", "theirs"), ("account", "own")):
        halt(kind, key, reason="x", by=BY, latched=True)
    found = read("kills", accounts=["own"], strategies=["mine"])["kills"]
    assert scopes(found) == ["own"]
    hidden = KillEpisode.objects.get(scope_key="other").id
    answer = Client().get(
        f"/api/exec/kills/{hidden}", headers={"Authorization": f"Bearer {api_key('read', accounts=['own'])}"}
    )
    assert (answer.status_code, answer.json()["code"]) == (404, "UNKNOWN_KILL")


def test_a_page_of_kills_asks_as_much_for_three_flattens_as_for_one(killed: KillEpisode) -> None:
    asked = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            read("kills")
        asked.append(len(queries))
        for _ in range(2):
            Flatten.objects.create(
                episode=killed,
                confirmed_seq=2,
                confirmed_by="x",
                confirmed_at=clock.now(),
                status="FLAT",
                ended_at=clock.now(),
            )
    assert asked[0] == asked[1]
