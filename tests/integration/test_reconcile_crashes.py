"""A process that dies at a boundary of a reconciliation: the next one finishes, and nothing is booked twice."""

from __future__ import annotations

import signal
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from exchanges.freshness import freshness_of
from execution_project.common.actors import Actor
from execution_project.common.approvals import carry_out, decide_and_carry_out
from execution_project.common.models import Event
from execution_project.common.rights import EVERYTHING
from orders.breaks import Finding, open_or_touch, resolve
from orders.models import Break, BreakKind, ExchangeOrder, Order, Severity
from orders.reconciliation import reconcile
from positions.models import Fill, LedgerEntry, TradeCursor
from tests.crashing import kill_at
from tests.engines import BY, Engine, drain, holdings
from tests.integration.test_reconciliation import foreign
from tests.processes import Processes

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

MOMENTS = [
    "reconcile_orders_read",
    "before_adoption_commit",
    "after_adoption",
    "reconcile_trades_read",
    "reconcile_balances_read",
]


FORKED = [
    "before_trade_cursor",
    "after_trade_cursor",
    "before_freshness",
    "after_freshness",
    "between_balances",
    "after_balances",
]
AROUND_A_BREAK = ["before_break_commit", "after_break"]
AROUND_AN_END = ["before_break_end_commit", "after_break_end"]
SECOND = Actor("second", "a test", rights=EVERYTHING)


def events(kind: str) -> int:
    return Event.objects.filter(kind=kind).count()


def something_of_everything(engine: Engine) -> str:
    """A trade of ours, a working and a traded order of another program, none of them in the books; our order's id."""
    _, order = engine.limit("BUY", "0.1", "59000.00")
    drain()
    engine.simulator.trade("BTCUSDT", "58990", "0.04", "SELL")
    foreign(engine, price="58000.00", quantity="0.02")
    foreign(engine, type="MARKET", price=None, quantity="0.03", client_order_id="web-2")
    return str(order["id"])


def assert_finished(engine: Engine, order_id: str) -> None:
    """A whole run books everything once, and the next one finds nothing."""
    assert reconcile(engine.account, by=BY).succeeded
    assert reconcile(engine.account, by=BY).differences == []
    assert Order.objects.filter(origin="external").count() == 2
    assert ExchangeOrder.objects.count() == 3
    assert Break.objects.filter(kind="unknown_order").count() == 2
    assert engine.order(order_id)["filled_quantity"] == "0.04"
    trades = engine.simulator.call("GET", f"/sim/trades?account={engine.account.name}&symbol=BTCUSDT")
    assert Fill.objects.count() == len(trades)
    assert holdings(engine) == engine.simulator.balances(engine.account.name)


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_every_boundary_and_run_again(
    engine: Engine, processes: Processes, tmp_path: Path, moment: str
) -> None:
    order_id = something_of_everything(engine)
    before = freshness_of(engine.account)
    flag = tmp_path / "armed"
    flag.touch()
    killed = processes.manage("reconcile", "--account", engine.account.name, EXEC_FAULT_HOOK=f"{moment}@{flag}")
    assert killed.process.wait(60) == -signal.SIGKILL, killed.output()
    assert freshness_of(engine.account).balances_at == before.balances_at
    assert_finished(engine, order_id)


@pytest.mark.parametrize("moment", FORKED)
def test_killed_around_what_a_comparison_stores_of_itself(engine: Engine, tmp_path: Path, moment: str) -> None:
    order_id = something_of_everything(engine)
    before = freshness_of(engine.account)
    cursors = dict(TradeCursor.objects.values_list("pk", "updated_at"))
    kill_at(moment, partial(reconcile, engine.account, by=BY), tmp_path)
    after = freshness_of(engine.account)
    assert after.balances_at == before.balances_at, "what was not compared to its end is not fresh"
    assert (after.orders_at == before.orders_at) is (moment == "before_freshness")
    advanced = [pk for pk, at in TradeCursor.objects.values_list("pk", "updated_at") if at != cursors[pk]]
    if moment.endswith("trade_cursor"):
        assert len(advanced) == (moment == "after_trade_cursor")
    assert_finished(engine, order_id)


@pytest.mark.parametrize("moment", AROUND_A_BREAK)
@pytest.mark.parametrize("seen_before", [0, 1])
def test_killed_around_the_commit_of_a_break(engine: Engine, tmp_path: Path, moment: str, seen_before: int) -> None:
    compare = partial(reconcile, engine.account, parts=("balances",), by=BY)
    engine.simulator.call("POST", f"/sim/accounts/{engine.account.name}/deposit", {"balances": {"USDT": "500"}})
    for _ in range(seen_before):
        compare()
    kill_at(moment, compare, tmp_path)
    seen = seen_before + (moment == "after_break")
    assert list(Break.objects.values_list("rounds", flat=True)) == [seen] * bool(seen)
    assert events("break.opened") == (seen == 2)
    for _ in range(2):
        compare()
    broken = Break.objects.get()
    assert (broken.status, broken.difference) == ("open", Decimal(500))
    assert events("break.opened") == 1


@pytest.mark.parametrize("moment", AROUND_AN_END)
def test_killed_around_the_end_of_a_break_that_is_seen_no_more(engine: Engine, tmp_path: Path, moment: str) -> None:
    compare = partial(reconcile, engine.account, parts=("orders",), by=BY)
    open_or_touch(engine.account, Finding(BreakKind.STATUS_MISMATCH, Severity.BLOCKING, "BTCUSDT 1"), by=BY)
    kill_at(moment, compare, tmp_path)
    ended = moment == "after_break_end"
    assert (Break.objects.get().status == "resolved", freshness_of(engine.account).blocked_by == "") == (ended, ended)
    compare()
    assert (Break.objects.get().status, freshness_of(engine.account).blocked_by) == ("resolved", "")
    assert events("break.resolved") == 1


@pytest.mark.parametrize("moment", AROUND_AN_END)
def test_killed_around_the_end_of_a_break_by_hand(engine: Engine, tmp_path: Path, moment: str) -> None:
    row = open_or_touch(engine.account, Finding(BreakKind.STATUS_MISMATCH, Severity.WARNING, "BTCUSDT 1"), by=BY)
    end = partial(resolve, row.id, "looked at it: a stale list", BY)
    kill_at(moment, end, tmp_path)
    ended = moment == "after_break_end"
    assert (Break.objects.get().status == "resolved", events("break.resolved")) == (ended, ended)
    if not ended:
        end()
    assert (Break.objects.get().status, events("break.resolved")) == ("resolved", 1)


@pytest.mark.parametrize("moment", AROUND_AN_END)
def test_killed_around_the_approved_end_of_a_break(engine: Engine, tmp_path: Path, moment: str) -> None:
    found = Finding(BreakKind.BALANCE_MISMATCH, Severity.WARNING, "USDT", difference=Decimal(500))
    row = open_or_touch(engine.account, found, by=BY)
    approval = resolve(row.id, "a deposit by the treasury", BY).approval
    assert approval is not None
    held = holdings(engine)["USDT"]
    approve = partial(decide_and_carry_out, approval.id, approved=True, by=SECOND)
    kill_at(moment, approve, tmp_path)
    ended = moment == "after_break_end"
    assert (Break.objects.get().status == "resolved", events("break.resolved")) == (ended, ended)
    assert holdings(engine)["USDT"] - held == 500 * ended, "booked with the end or not at all"
    if not ended:
        carry_out(approval.id, by=SECOND)
    assert (Break.objects.get().status, events("break.resolved")) == ("resolved", 1)
    assert holdings(engine)["USDT"] - held == 500
    assert LedgerEntry.objects.filter(kind="transfer", book="exchange").count() == 1
