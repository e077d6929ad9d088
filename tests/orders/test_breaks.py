"""Breaks: from suspicion to an end with a reason; they block, and severe ones take two persons."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from exchanges.freshness import freshness_of
from exchanges.models import Account
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.approvals import decide_and_carry_out
from execution_project.common.models import Event
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from orders.breaks import Finding, acknowledge, halt_before, no_longer_seen, open_or_touch, resolve
from orders.models import Break, BreakKind, BreakStatus, Severity
from positions.models import Holding, LedgerEntry
from risk.models import TradingState
from tests.factories import AccountFactory, OrderFactory, StrategyFactory, api_key
from tests.threads import Other, blocked
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
D = Decimal
BY = Actor("engine:test", "a test")
FIRST = Actor("user:first", "a test", rights=frozenset({Right.RESOLVE}))
SECOND = Actor("user:second", "a test", rights=frozenset({Right.APPROVE}))
REASON = "a deposit by the treasury"


def mismatch(difference: str = "5", **values: Any) -> Finding:
    return Finding(
        **{
            "kind": BreakKind.BALANCE_MISMATCH,
            "severity": Severity.WARNING,
            "subject": "USDT",
            "expected": "100",
            "observed": str(100 + D(difference)),
            "difference": D(difference),
            "confirm_after": 2,
            **values,
        }
    )


def opened(account: Account, **values: Any) -> Break:
    return open_or_touch(account, mismatch(**{"confirm_after": 1, **values}), by=BY)


def kinds() -> list[str]:
    return list(Event.objects.filter(subject_type="break").order_by("id").values_list("kind", flat=True))


def test_a_suspicion_becomes_a_break_when_the_next_round_sees_the_same() -> None:
    account = AccountFactory()
    assert open_or_touch(account, mismatch(), by=BY).status == BreakStatus.SUSPECTED
    assert open_or_touch(account, mismatch("6"), by=BY).status == BreakStatus.SUSPECTED
    assert kinds() == []
    assert open_or_touch(account, mismatch("6"), by=BY).status == BreakStatus.OPEN
    assert open_or_touch(account, mismatch("6"), by=BY).rounds == 3
    open_or_touch(account, mismatch("7"), by=BY)
    assert Break.objects.count() == 1
    assert kinds() == ["break.opened", "break.changed"]


def test_a_suspicion_that_is_not_confirmed_leaves_nothing() -> None:
    account = AccountFactory()
    open_or_touch(account, mismatch(), by=BY)
    no_longer_seen(account, BreakKind.BALANCE_MISMATCH, (), by=BY, explanation="equal", evidence={})
    assert Break.objects.count() == 0


def test_only_what_was_looked_at_and_not_seen_ends_by_itself() -> None:
    account, other = AccountFactory(), AccountFactory()
    for subject in ("AAA 1", "AAA 2", "BBB 1"):
        opened(account, subject=subject)
    opened(other, subject="AAA 1")
    ended = no_longer_seen(
        account, BreakKind.BALANCE_MISMATCH, {"AAA 2"}, by=BY, explanation="explained", evidence={"x": 1}, prefix="AAA "
    )
    assert ended == 1
    row = Break.objects.get(status=BreakStatus.RESOLVED)
    assert (row.account, row.subject, row.evidence, row.resolution) == (
        account,
        "AAA 1",
        {"explained": {"x": 1}},
        "explained",
    )


def test_the_same_difference_after_an_end_is_a_new_break() -> None:
    account = AccountFactory()
    first = opened(account, kind=BreakKind.UNKNOWN_ORDER)
    resolve(first.id, REASON, FIRST)
    assert opened(account, kind=BreakKind.UNKNOWN_ORDER).id != first.id


def test_a_warning_that_lasts_blocks_until_it_ends() -> None:
    account = AccountFactory()
    row = opened(account)
    assert freshness_of(account).blocked_by == ""
    Break.objects.update(opened_at=clock.now() - timedelta(minutes=5, seconds=1))
    opened(account)
    assert freshness_of(account).blocked_by == "balance_mismatch USDT"
    no_longer_seen(account, BreakKind.BALANCE_MISMATCH, (), by=BY, explanation="equal", evidence={})
    assert freshness_of(account).blocked_by == ""
    assert kinds() == ["break.opened", "break.escalated", "break.resolved"]
    row.refresh_from_db()
    assert row.severity == Severity.BLOCKING


def test_a_critical_difference_halts_once() -> None:
    account = AccountFactory()
    found = mismatch(severity=Severity.CRITICAL, kind=BreakKind.UNKNOWN_ORDER, confirm_after=1)
    engine = Actor("engine:reconciler", "x", rights=frozenset({Right.HALT}))
    assert halt_before(account, found, by=engine)
    open_or_touch(account, found, by=BY)
    assert TradingState.objects.get().state == "HALTED"
    assert not halt_before(account, found, by=engine), "a person who started again is not overruled by the same break"


def test_acknowledging_names_an_owner() -> None:
    row = opened(AccountFactory())
    assert acknowledge(row.id, "night desk", FIRST).status == BreakStatus.ACKNOWLEDGED
    assert opened(row.account).owner == "night desk"


@pytest.mark.parametrize("severity", [Severity.INFORMATIONAL, Severity.WARNING])
def test_one_person_ends_a_mild_break_with_a_reason(severity: Severity) -> None:
    row = opened(AccountFactory(), kind=BreakKind.UNKNOWN_ORDER, severity=severity)
    outcome = resolve(row.id, REASON, FIRST)
    assert outcome.approval is None
    assert (outcome.row.status, outcome.row.resolution, outcome.row.resolved_by) == ("resolved", REASON, "user:first")
    with pytest.raises(Problem) as problem:
        resolve(row.id, REASON, FIRST)
    assert problem.value.code == "BREAK_RESOLVED"


@pytest.mark.parametrize("severity", [Severity.BLOCKING, Severity.CRITICAL])
def test_a_severe_break_takes_two_persons(severity: Severity) -> None:
    account = AccountFactory()
    row = opened(account, kind=BreakKind.QTY_MISMATCH, severity=severity)
    approval = resolve(row.id, REASON, FIRST).approval
    assert approval is not None
    row.refresh_from_db()
    assert row.status == BreakStatus.OPEN
    assert freshness_of(account).blocked_by
    both = Actor("user:first", "", rights=frozenset({Right.APPROVE}))
    with pytest.raises(Problem) as problem:
        decide_and_carry_out(approval.id, approved=True, by=both)
    assert problem.value.code == "APPROVAL_OWN_REQUEST"
    decide_and_carry_out(approval.id, approved=True, by=SECOND)
    row.refresh_from_db()
    assert row.status == BreakStatus.RESOLVED
    assert freshness_of(account).blocked_by == ""
    assert LedgerEntry.objects.count() == 0


def test_the_approved_end_of_a_balance_mismatch_books_a_transfer() -> None:
    account = AccountFactory()
    approval = resolve(opened(account).id, REASON, FIRST).approval
    assert approval is not None
    assert "transfer" in decide_and_carry_out(approval.id, approved=True, by=SECOND)
    legs = LedgerEntry.objects.values_list("book", "amount", "kind")
    assert set(legs) == {("exchange", D(5), "transfer"), ("transfers", D(-5), "transfer")}
    assert Holding.objects.get(account=account, asset="USDT").quantity == 5


def test_an_approval_is_for_the_difference_that_was_looked_at() -> None:
    account = AccountFactory()
    approval = resolve(opened(account).id, REASON, FIRST).approval
    opened(account, difference="6")
    assert approval is not None
    with pytest.raises(Problem) as problem:
        decide_and_carry_out(approval.id, approved=True, by=SECOND)
    assert problem.value.code == "BREAK_CHANGED"
    assert LedgerEntry.objects.count() == 0
    assert Break.objects.get().status == BreakStatus.OPEN


@pytest.mark.parametrize("act", [lambda row, by: acknowledge(row, "me", by), lambda row, by: resolve(row, REASON, by)])
def test_nobody_without_the_right_ends_a_break(act: Any) -> None:
    row = opened(AccountFactory())
    with pytest.raises(Problem) as problem:
        act(row.id, Actor("user:nobody", ""))
    assert problem.value.status == 403


@pytest.mark.parametrize(
    ("act", "status", "rows"),
    [
        (lambda row: resolve(row.id, REASON, FIRST), BreakStatus.RESOLVED, 2),
        (lambda row: acknowledge(row.id, "night desk", FIRST), BreakStatus.ACKNOWLEDGED, 1),
    ],
    ids=["resolve", "acknowledge"],
)
def test_a_comparison_at_the_same_moment_takes_no_act_back(act: Any, status: BreakStatus, rows: int) -> None:
    account = AccountFactory()
    row = opened(account, kind=BreakKind.UNKNOWN_ORDER)
    with transaction.atomic():
        act(row)
        comparison = Other(lambda: opened(account, kind=BreakKind.UNKNOWN_ORDER))
        wait_until(blocked, 30, "the comparison waits for the act")
    comparison.join()
    row.refresh_from_db()
    assert (row.status, Break.objects.count()) == (status, rows)


def test_an_approved_end_waits_for_a_comparison_that_sees_another_difference() -> None:
    account = AccountFactory()
    approval = resolve(opened(account).id, REASON, FIRST).approval
    assert approval is not None
    with transaction.atomic():
        opened(account, difference="6")
        deciding = Other(lambda: decide_and_carry_out(approval.id, approved=True, by=SECOND))
        wait_until(blocked, 30, "the end waits for the comparison")
    with pytest.raises(Problem, match="another one"):
        deciding.join()
    assert LedgerEntry.objects.count() == 0


# ----------------------------------------------------------------------------------------------------------------- API


def call(method: str, path: str, key: str, body: Any = None) -> Any:
    answer = Client().generic(
        method,
        f"/api/exec/{path}",
        b"" if body is None else json.dumps(body).encode(),
        content_type="application/json",
        headers={"Authorization": f"Bearer {key}"},
    )
    return answer.status_code, answer.json()


def test_the_list_shows_what_the_key_reaches_and_no_suspicions() -> None:
    account, other = AccountFactory(), AccountFactory()
    open_or_touch(account, mismatch(subject="BTC"), by=BY)
    row = opened(account)
    opened(other)
    status, document = call("GET", "breaks", api_key("read", accounts=[account.name]))
    assert status == 200
    assert [found["id"] for found in document["breaks"]] == [str(row.id)]
    assert document["breaks"][0]["difference"] == "5"
    assert len(call("GET", "breaks?status=open,acknowledged", api_key("read"))[1]["breaks"]) == 2
    assert call("GET", "breaks?severity=critical", api_key("read"))[1]["breaks"] == []
    assert call("GET", "breaks?status=suspected", api_key("read"))[1]["code"] == "INVALID_PARAMETER"


def test_the_list_counts_what_is_open_and_names_the_oldest() -> None:
    account, other = AccountFactory(), AccountFactory()
    old = opened(account, subject="BTC", severity=Severity.BLOCKING)
    Break.objects.filter(id=old.id).update(opened_at=clock.now() - timedelta(minutes=20))
    opened(account)
    resolve(opened(account, kind=BreakKind.UNKNOWN_ORDER).id, REASON, FIRST)
    opened(other)
    document = call("GET", f"breaks?account={account.name}&status=resolved", api_key("read"))[1]
    assert [found["age"] for found in document["breaks"]] == ["new"]
    overview = document["overview"]
    assert (overview["open"], overview["severe"]) == (2, 1)
    assert overview["by_age"] == {"new": 1, "1m": 0, "15m": 1, "1h": 0, "1d": 0}
    oldest = call("GET", f"breaks?account={account.name}", api_key("read"))[1]["breaks"][-1]
    assert (oldest["age"], oldest["opened_at"]) == ("15m", overview["oldest_opened_at"])
    assert call("GET", "breaks", api_key("read", accounts=[other.name]))[1]["overview"]["open"] == 1


def test_acknowledge_and_resolve_through_the_api() -> None:
    row = opened(AccountFactory(), kind=BreakKind.UNKNOWN_ORDER)
    key = api_key("operate")
    status, document = call("POST", f"breaks/{row.id}/acknowledge", key, {"owner": "night desk"})
    assert (status, document["status"], document["owner"]) == (200, "acknowledged", "night desk")
    assert call("POST", f"breaks/{row.id}/resolve", key, {"reason": "short"})[0] == 400
    status, document = call("POST", f"breaks/{row.id}/resolve", key, {"reason": REASON})
    assert (status, document["status"]) == (200, "resolved")
    assert call("POST", f"breaks/{row.id}/resolve", key, {"reason": REASON})[1]["code"] == "BREAK_RESOLVED"
    severe = opened(AccountFactory(), severity=Severity.BLOCKING)
    status, document = call("POST", f"breaks/{severe.id}/resolve", key, {"reason": REASON})
    assert (status, document["approval"]["act"]) == (202, "resolve_break")
    assert call("POST", f"breaks/{severe.id}/resolve", api_key("read", "trade"), {"reason": REASON})[0] == 403
    hidden = api_key("operate", accounts=[])
    assert call("POST", f"breaks/{severe.id}/resolve", hidden, {"reason": REASON})[1]["code"] == "UNKNOWN_BREAK"


def test_a_key_bound_to_strategies_reaches_the_breaks_of_their_orders_alone() -> None:
    account = AccountFactory()
    own, foreign, none = (
        opened(account, kind=BreakKind.STATUS_MISMATCH, subject=name, order=OrderFactory(account=account, strategy=of))
        for name, of in (("1", StrategyFactory(name="mine")), ("2", StrategyFactory(name="theirs")), ("3", None))
    )
    of_the_account = opened(account)
    key = api_key(strategies=["mine"])
    assert [found["id"] for found in call("GET", "breaks", key)[1]["breaks"]] == [str(own.id)]
    for row in (foreign, none, of_the_account):
        for act, body in (("acknowledge", {"owner": "me"}), ("resolve", {"reason": REASON})):
            status, document = call("POST", f"breaks/{row.id}/{act}", key, body)
            assert (status, document["code"]) == (404, "UNKNOWN_BREAK")
    assert call("POST", f"breaks/{own.id}/acknowledge", key, {"owner": "me"})[0] == 200
    assert len(call("GET", "breaks", api_key("read"))[1]["breaks"]) == 4
