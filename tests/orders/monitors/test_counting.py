"""Monitors that count orders and answers: who is latched, once, by which mode, and when counting begins anew."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from exchanges.models import Account
from execution_project.common import clock, ids
from execution_project.common.approvals import decide_and_carry_out
from execution_project.common.models import Event, Strategy
from execution_project.common.problems import Problem
from orders.models import Attempt, Order
from orders.monitors import reject_storm, repeated_execution
from risk.models import Alert, Decision, Limit, TradingState
from risk.monitors.stops import watch_stops
from risk.trading_state import propose_start, start
from tests.factories import (
    BY,
    AccountFactory,
    CommandFactory,
    LimitFactory,
    PositionFactory,
    StrategyFactory,
    whole_order,
)
from tests.kills import SECOND, WHY

pytestmark = pytest.mark.django_db
D = Decimal


def limit(control: str, value: str, **values: Any) -> Limit:
    row: Limit = LimitFactory(control=control, value=D(value), **{"scope_kind": "global", "scope_key": "", **values})
    return row


def entry(account: Account, strategy: Strategy, *, reducing: bool = False, filled: str = "1") -> Order:
    """An order that the gate took, and what it filled."""
    decision = Decision.objects.create(
        order_id=ids.uuid7(),
        accepted=True,
        results=[],
        inputs={},
        gate_seq=1,
        decided_at=clock.now(),
        actor=BY.name,
        reducing=reducing,
    )
    return whole_order(
        account=account, strategy=strategy, status="open", filled_quantity=D(filled), decision_id=decision.id
    )


def trader() -> tuple[Account, Strategy]:
    """A strategy that has traded on an account."""
    account = AccountFactory()
    strategy = StrategyFactory()
    PositionFactory(account=account, strategy=strategy)
    return account, strategy


def test_a_strategy_that_goes_in_again_and_again_is_latched_with_its_count() -> None:
    account, strategy = trader()
    limit("max_repeated_executions", "3")
    for _ in range(2):
        entry(account, strategy)
    entry(account, strategy, reducing=True)
    entry(account, strategy, filled="0")
    assert repeated_execution.watch() == 0
    entry(account, strategy)
    assert repeated_execution.watch() == 1
    assert repeated_execution.watch() == 0, "it is latched already"
    row = TradingState.objects.get()
    assert (row.scope_kind, row.scope_key, row.state, row.latched) == ("account", account.name, "REDUCE_ONLY", True)
    assert row.tripped_by == "max_repeated_executions"
    evidence = Event.objects.get(kind="trading.tripped").evidence
    assert (evidence["entries"], evidence["strategy"], evidence["limit"]) == (3, strategy.name, "3")


def test_a_live_strategy_is_latched_itself_and_a_paper_one_by_its_account_alone() -> None:
    strategy = StrategyFactory()
    for name, mode in (("real", "live"), ("toy", "paper")):
        account = AccountFactory(name=name, mode=mode, rest_url="https://api.binance.com" if mode == "live" else "")
        PositionFactory(account=account, strategy=strategy)
        entry(account, strategy)
    limit("max_repeated_executions", "1", mode="paper")
    assert repeated_execution.watch() == 1
    assert TradingState.objects.values_list("scope_kind", "scope_key").get() == ("account", "toy")
    limit("max_repeated_executions", "1", mode="live")
    assert repeated_execution.watch() == 1
    assert TradingState.objects.filter(scope_kind="strategy", scope_key=strategy.name, latched=True).exists()


def test_only_two_persons_begin_the_count_anew() -> None:
    account, strategy = trader()
    limit("max_repeated_executions", "2")
    entry(account, strategy)
    start("account", account.name, reason="nothing was the matter", by=BY)
    entry(account, strategy)
    assert repeated_execution.watch() == 1, "one person's start is no re-arming"
    approval = propose_start("account", account.name, reason=WHY, by=BY)
    decide_and_carry_out(approval.id, approved=True, by=SECOND)
    assert repeated_execution.watch() == 0
    entry(account, strategy)
    assert repeated_execution.watch() == 0
    entry(account, strategy)
    assert repeated_execution.watch() == 1


def test_a_limit_of_one_strategy_or_another_mode_says_nothing_about_others() -> None:
    account, strategy = trader()
    entry(account, strategy)
    limit("max_repeated_executions", "1", scope_kind="strategy", scope_key="another")
    limit("max_repeated_executions", "1", mode="live")
    assert repeated_execution.watch() == 0
    limit("max_repeated_executions", "1", scope_kind="strategy", scope_key=strategy.name)
    assert repeated_execution.watch() == 1


@pytest.mark.parametrize(("enforcement", "kind"), [("WARN", "monitor.warned"), ("SHADOW", "monitor.shadowed")])
def test_what_does_not_block_is_told_once_per_crossing(enforcement: str, kind: str) -> None:
    account, strategy = trader()
    limit("max_repeated_executions", "1", enforcement=enforcement)
    assert repeated_execution.watch() == 0
    assert not Event.objects.filter(subject_type="monitor").exists()
    entry(account, strategy)
    for _ in range(2):
        assert repeated_execution.watch() == 0
    event = Event.objects.get(subject_type="monitor")
    assert event.kind == kind
    assert event.subject_id == f"max_repeated_executions/sandbox/global/account:{account.name}/{strategy.name}"
    assert (event.evidence["observed"], event.evidence["limit"]) == ("1", "1")
    assert not TradingState.objects.exists()
    limit("max_repeated_executions", "5", enforcement=enforcement, version=2)
    for _ in range(2):
        repeated_execution.watch()
    assert list(Event.objects.filter(subject_type="monitor").order_by("id").values_list("kind", flat=True)) == [
        kind,
        "monitor.cleared",
    ]


def test_of_two_strategies_of_an_account_each_has_its_own_crossing() -> None:
    account, strategy = trader()
    PositionFactory(account=account, strategy=StrategyFactory())
    limit("max_repeated_executions", "1", enforcement="WARN")
    entry(account, strategy)
    for _ in range(3):
        repeated_execution.watch()
    assert Event.objects.get(subject_type="monitor").evidence["strategy"] == strategy.name


def test_an_alert_stands_while_a_limit_that_warns_is_met_and_no_longer_than_it_warns() -> None:
    account, strategy = trader()
    limit("max_repeated_executions", "1", enforcement="WARN")
    limit("max_rejects_60s", "1", enforcement="WARN")
    entry(account, strategy)
    for watch in (repeated_execution.watch, reject_storm.watch, watch_stops) * 2:
        watch()
    alert = Alert.objects.get()
    assert (alert.kind, alert.severity, alert.scope, alert.mode) == (
        *("warned", "warning"),
        *(f"account:{account.name}", "sandbox"),
    )
    assert "went in 1 times" in alert.subject
    assert alert.resolved_at is None
    limit("max_repeated_executions", "5", enforcement="WARN", version=2)
    repeated_execution.watch()
    alert.refresh_from_db()
    assert alert.resolved_at is not None, "the limit is not met any more"
    limit("max_repeated_executions", "1", enforcement="WARN", version=3)
    repeated_execution.watch()
    assert Alert.objects.filter(resolved_at=None).count() == 1
    LimitFactory(control="max_repeated_executions", scope_kind="global", scope_key="", version=4, value=None)
    for watch in (repeated_execution.watch, watch_stops):
        watch()
    assert not Alert.objects.filter(resolved_at=None).exists(), "it is switched off"


def answer(account: Account, outcome: str = "refused", *, age: float = 1, kind: str = "submit") -> Attempt:
    """An answer of the exchange to a request of the account."""
    order = whole_order(account=account, status="rejected")
    command = (
        order.commands.get()
        if kind == "submit"
        else CommandFactory(order=order, exchange_order=order.exchange_orders.get(), kind=kind, status="done")
    )
    moment = clock.now() - timedelta(seconds=age)
    return Attempt.objects.create(
        command=command,
        exchange_order=command.exchange_order,
        kind=kind,
        fence=1,
        stamp_ms=1,
        recv_window_ms=5000,
        send_by=moment,
        body_hash="0",
        worker="test",
        claimed_at=moment,
        answered_at=None if outcome == "silent" else moment,
        outcome="unknown" if outcome == "silent" else outcome,
    )


def test_a_storm_of_rejects_latches_the_account_and_no_other() -> None:
    account, other = AccountFactory(), AccountFactory()
    limit("max_rejects_60s", "3")
    for row in (account, account, other):
        answer(row)
    answer(account, age=61)
    answer(account, kind="cancel")
    answer(account, "accepted")
    answer(account, "unknown")
    assert reject_storm.watch() == 0
    answer(account)
    assert reject_storm.watch() == 1
    assert reject_storm.watch() == 0
    row = TradingState.objects.get()
    assert (row.scope_key, row.state, row.tripped_by) == (account.name, "REDUCE_ONLY", "max_rejects_60s")


def test_what_nobody_answered_counts_as_unknown() -> None:
    account = AccountFactory()
    limit("max_unknown_60s", "2", scope_kind="account", scope_key=account.name)
    answer(account, "unknown")
    answer(account, "refused")
    assert reject_storm.watch() == 0
    answer(account, "silent")
    assert reject_storm.watch() == 1
    assert TradingState.objects.get().tripped_by == "max_unknown_60s"


def test_a_storm_that_lasts_is_not_lifted() -> None:
    account = AccountFactory()
    limit("max_rejects_60s", "1")
    answer(account)
    assert reject_storm.watch() == 1
    with pytest.raises(Problem) as held:
        propose_start("account", account.name, reason=WHY, by=BY)
    said = f"binance refused 1 requests of {account.name} within 60 s, 1 are the limit."
    assert held.value.members["held_by"] == [said]
    limit("max_rejects_60s", "2", version=2)
    assert propose_start("account", account.name, reason=WHY, by=BY).approved is None


def test_a_monitor_whose_limits_are_not_set_asks_one_question() -> None:
    for watch in (repeated_execution.watch, reject_storm.watch):
        with CaptureQueriesContext(connection) as captured:
            assert watch() == 0
        assert len(captured) == 1
