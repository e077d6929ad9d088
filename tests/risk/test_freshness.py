"""Control 24: books that were not compared with the exchange in time take only what reduces."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from exchanges.freshness import PARTS, freshness_of, mark_fresh, set_blocked_by
from execution_project.common import clock
from risk.controls import health
from risk.controls.result import ControlOutcome
from risk.inputs import AHEAD, MAX_RECONCILIATION_AGE, Price, Reconciled
from risk.intent import scopes_of
from risk.reading import Prices, read_inputs
from tests.factories import AccountFactory
from tests.risk.gate_inputs import NOW, inputs, intent, sale

TICK = timedelta(microseconds=1)


def at(**ages: timedelta | None) -> Reconciled:
    """Every part just now, but these that long ago (None: never)."""
    moments = {f"{part}_at": NOW for part in PARTS}
    return Reconciled(**{**moments, **{f"{part}_at": None if a is None else NOW - a for part, a in ages.items()}})


@pytest.mark.parametrize("part", PARTS)
def test_exactly_the_age_passes_and_a_moment_more_denies(part: str) -> None:
    age = MAX_RECONCILIATION_AGE[part]
    assert health.evaluate(inputs(reconciled=at(**{part: age}))).outcome is ControlOutcome.PASS
    result = health.evaluate(inputs(reconciled=at(**{part: age + TICK})))
    assert (result.outcome, result.code) == (ControlOutcome.BREACH, "RECONCILIATION_STALE")
    assert result.inputs["stale"] == [part]


@pytest.mark.parametrize("part", PARTS)
def test_a_stamp_of_a_clock_that_ran_ahead_is_stale(part: str) -> None:
    assert health.evaluate(inputs(reconciled=at(**{part: -AHEAD}))).outcome is ControlOutcome.PASS
    result = health.evaluate(inputs(reconciled=at(**{part: -AHEAD - TICK})))
    assert (result.code, result.inputs["stale"]) == ("RECONCILIATION_STALE", [part])


@pytest.mark.parametrize("part", PARTS)
def test_never_compared_denies(part: str) -> None:
    assert health.evaluate(inputs(reconciled=at(**{part: None}))).code == "RECONCILIATION_STALE"


def test_no_row_at_all_denies() -> None:
    assert health.evaluate(inputs(reconciled=Reconciled())).inputs["stale"] == list(PARTS)


def test_an_open_break_denies_what_increases() -> None:
    result = health.evaluate(inputs(reconciled=Reconciled(NOW, NOW, NOW, "qty_mismatch BTCUSDT 1")))
    assert (result.outcome, result.code) == (ControlOutcome.BREACH, "BREAK_OPEN")
    assert "qty_mismatch BTCUSDT 1" in result.detail


@pytest.mark.parametrize("reconciled", [Reconciled(), Reconciled(NOW, NOW, NOW, "qty_mismatch BTCUSDT 1")])
def test_what_reduces_keeps_its_way_out(reconciled: Reconciled) -> None:
    out = inputs(order=sale(), ledger_balance=Decimal(1), exchange_balance=Decimal(1), reconciled=reconciled)
    assert health.evaluate(out).outcome is ControlOutcome.NOT_APPLICABLE
    more = inputs(order=sale(), ledger_balance=Decimal("0.9"), exchange_balance=Decimal(1), reconciled=reconciled)
    assert health.evaluate(more).outcome is ControlOutcome.BREACH


def test_closed_books_let_nothing_pass() -> None:
    closed: dict[str, Any] = {"books_open": False}
    assert health.evaluate(inputs(order=sale(**closed))).code == "BOOKS_NOT_OPEN"


def test_a_paper_account_is_compared_with_its_exchange_like_any_other() -> None:
    assert health.evaluate(inputs(order=intent(mode="paper"), reconciled=Reconciled())).code == "RECONCILIATION_STALE"


@pytest.mark.django_db
def test_the_gate_reads_the_accounts_own_row() -> None:
    account, other = AccountFactory(), AccountFactory()
    now = clock.now()
    mark_fresh(account, ["orders", "balances"], now)
    set_blocked_by(account, "a break")
    mark_fresh(other, PARTS, now - timedelta(hours=1))
    scopes = scopes_of(exchange="binance", account=account.name, strategy=None, symbol="BTCUSDT")
    asked = intent(account_id=account.pk, account=account.name, scopes=scopes)
    given = read_inputs(asked, Prices(Price("BTCUSDT", None, None, None), None))[0]
    assert given.reconciled == Reconciled(now, None, now, "a break")


@pytest.mark.django_db
def test_freshness_never_goes_back_in_time() -> None:
    account = AccountFactory()
    now = clock.now() - timedelta(minutes=1)
    mark_fresh(account, PARTS, now)
    mark_fresh(account, ["orders"], now - timedelta(seconds=1))
    mark_fresh(account, ["trades"], now + timedelta(seconds=1))
    fresh = freshness_of(account)
    assert (fresh.orders_at, fresh.trades_at, fresh.balances_at) == (now, now + timedelta(seconds=1), now)


@pytest.mark.django_db
def test_a_success_takes_back_a_stamp_from_the_future() -> None:
    account = AccountFactory()
    start = clock.now()
    with clock.using(clock.ManualClock(start + timedelta(hours=1))):
        mark_fresh(account, ["orders"], clock.now())
    with clock.using(clock.ManualClock(start)):
        mark_fresh(account, ["orders"], start - timedelta(seconds=1))
    assert freshness_of(account).orders_at == start
