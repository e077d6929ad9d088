"""The monitor of losses: what it latches, that nothing but two persons lifts it, and its alerts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from exchanges.models import Account, Quote
from execution_project.common import clock
from execution_project.common.approvals import decide_and_carry_out
from execution_project.common.clock import ManualClock
from execution_project.common.models import Event
from execution_project.common.problems import Problem
from positions.equity import value_mode
from positions.models import EquityPoint, EquitySeries, Holding
from risk.limits import Change, propose, tighten_or_set
from risk.models import Alert, TradingState
from risk.monitors.losses import latched_scopes, watch_losses
from risk.trading_state import propose_start
from risk.usage import usage_of
from tests.factories import (
    BY,
    AccountFactory,
    HoldingFactory,
    InstrumentFactory,
    QuoteFactory,
    ReservationFactory,
    StrategyFactory,
)
from tests.kills import SECOND, WHY

pytestmark = pytest.mark.django_db

D = Decimal
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECOND_LATER = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def now() -> Iterator[ManualClock]:
    hand = ManualClock(NOON)
    with clock.using(hand):
        yield hand


@pytest.fixture
def account() -> Account:
    """1 BTC, and nothing else."""
    found: Account = AccountFactory(name="main")
    HoldingFactory(account=found, asset="BTC", quantity=D(1))
    return found


def price(hand: ManualClock, bid: str, times: int = 2, mode: str = "sandbox") -> None:
    """BTCUSDT at this bid, valued a second later, as often as it takes to be confirmed."""
    for _ in range(times):
        hand.advance(SECOND_LATER)
        row = QuoteFactory(instrument=InstrumentFactory(mode=mode))
        Quote.objects.filter(pk=row.pk).update(bid=D(bid), ask=D(bid) + 1, confirmed_at=hand.now())
        value_mode(mode)


def limit(
    control: str, value: str, scope: str = "account:main", enforcement: str = "BLOCK", mode: str = "sandbox"
) -> None:
    kind, _, key = scope.partition(":")
    tighten_or_set(control, mode, kind, key, D(value), reason="test", by=BY, enforcement=enforcement)


def latched() -> list[tuple[str, str, str]]:
    rows = TradingState.objects.filter(latched=True).order_by("scope_kind", "scope_key")
    return [(f"{row.scope_kind}:{row.scope_key}", row.state, row.tripped_by) for row in rows]


def standing() -> list[str]:
    return list(Alert.objects.filter(resolved_at=None).order_by("key").values_list("key", flat=True))


LIMITS = {
    "max_drawdown": "0.1",
    "max_drawdown_amount": "6000",
    "max_daily_loss": "6000",
    "max_daily_loss_fraction": "0.1",
}


@pytest.mark.parametrize("control", LIMITS)
def test_a_loss_that_equals_its_limit_latches_and_one_just_under_does_not(
    control: str, account: Account, now: ManualClock
) -> None:
    limit(control, LIMITS[control])
    price(now, "60000")
    assert (watch_losses(), standing()) == (0, [])
    price(now, "54000.01")
    assert (watch_losses(), latched()) == (0, [])
    price(now, "54000")
    assert watch_losses() == 1
    assert latched() == [("account:main", "REDUCE_ONLY", control)]
    assert watch_losses() == 0, "once"
    event = Event.objects.get(kind="trading.tripped")
    assert (event.evidence["observed"], event.evidence["value"]) == (LIMITS[control], LIMITS[control])
    assert (event.evidence["version"], event.evidence["measured_in"]) == (1, "account:main/sandbox")


def test_neither_recovery_nor_midnight_lifts_a_latch(account: Account, now: ManualClock) -> None:
    limit("max_daily_loss", "6000")
    price(now, "60000")
    price(now, "54000")
    assert watch_losses() == 1
    now.advance(timedelta(hours=12))
    price(now, "66000")
    assert (watch_losses(), latched()) == (0, [("account:main", "REDUCE_ONLY", "max_daily_loss")])
    # A new day measures anew: what comes after it is lifted trips again.
    approval = propose_start("account", "main", reason=WHY, by=BY)
    decide_and_carry_out(approval.id, approved=True, by=SECOND)
    assert latched() == []
    price(now, "60000")
    assert watch_losses() == 0, "54 000 at midnight: it has gained"


def test_what_is_still_lost_cannot_be_lifted_before_the_limit_is_changed(account: Account, now: ManualClock) -> None:
    limit("max_drawdown", "0.1")
    price(now, "60000")
    price(now, "51000")
    assert watch_losses() == 1
    with pytest.raises(Problem) as held:
        propose_start("account", "main", reason=WHY, by=BY)
    assert held.value.code == "LATCH_HELD"
    [sentence] = held.value.members["held_by"]
    assert sentence.startswith("max_drawdown of account:main, sandbox: 0.15 of 0.1 (fraction)")
    for value, holds in (("0.15", True), ("0.16", False)):
        change = Change("max_drawdown", "sandbox", "account", "main", D(value), "BLOCK")
        decide_and_carry_out(propose(change, reason="a new appetite for risk", by=BY).id, approved=True, by=SECOND)
        if holds:
            with pytest.raises(Problem, match=r"0\.15 of 0\.15"):
                propose_start("account", "main", reason=WHY, by=BY)
    approval = propose_start("account", "main", reason=WHY, by=BY)
    decide_and_carry_out(approval.id, approved=True, by=SECOND)
    assert (watch_losses(), latched()) == (0, [])
    assert EquitySeries.objects.get(scope="account").hwm_equity == D(60000), "the high-water mark stays"


def test_equity_that_is_not_known_holds_the_latch_and_is_told(account: Account, now: ManualClock) -> None:
    limit("max_drawdown", "0.1")
    price(now, "60000")
    price(now, "54000")
    watch_losses()
    price(now, "60000")
    now.advance(timedelta(seconds=60))
    watch_losses()
    assert Alert.objects.filter(kind="equity_unknown").count() == 0, "exactly a minute still counts"
    now.advance(SECOND_LATER)
    value_mode("sandbox")
    watch_losses()
    assert standing() == ["max_drawdown/sandbox/account:main/unknown"]
    assert watch_losses() == 0
    with pytest.raises(Problem, match="not known of"):
        propose_start("account", "main", reason=WHY, by=BY)
    price(now, "60000")
    watch_losses()
    assert standing() == []


def test_an_outage_of_prices_is_no_fall_below_a_threshold(account: Account, now: ManualClock) -> None:
    limit("max_drawdown", "0.1")
    price(now, "60000")
    price(now, "57000")
    watch_losses()
    now.advance(timedelta(seconds=61))
    watch_losses()
    key = "max_drawdown/sandbox/account:main"
    assert standing() == [f"{key}/50", f"{key}/unknown"]
    price(now, "57000")
    watch_losses()
    assert standing() == [f"{key}/50"]
    assert Alert.objects.filter(kind="limit").count() == 1


def test_one_doubtful_tick_latches_nothing_and_a_second_valuation_does(account: Account, now: ManualClock) -> None:
    limit("max_drawdown", "0.1")
    price(now, "60000")
    price(now, "6000", times=1)
    assert not EquityPoint.objects.latest("id").confirmed
    assert (watch_losses(), standing()) == (0, [])
    price(now, "60000")
    assert (watch_losses(), latched()) == (0, [])
    # A market that falls by more each time than a mark may move is never confirmed: two in a row are no tick.
    price(now, "50000", times=1)
    assert watch_losses() == 0
    price(now, "40000", times=1)
    assert watch_losses() == 1


@pytest.mark.parametrize(("mode", "latches", "alerts"), [("BLOCK", 1, 3), ("WARN", 0, 3), ("SHADOW", 0, 0)])
def test_modes(mode: str, latches: int, alerts: int, account: Account, now: ManualClock) -> None:
    limit("max_drawdown", "0.1", enforcement=mode)
    price(now, "60000")
    price(now, "54000")
    assert (watch_losses(), len(latched())) == (latches, latches)
    assert Alert.objects.exclude(severity="info").count() == alerts
    assert Alert.objects.count() == 3, "seen in shadow too"


def test_alerts_begin_at_50_80_and_100_per_cent_and_once_for_each_crossing(account: Account, now: ManualClock) -> None:
    limit("max_drawdown", "0.1", enforcement="WARN")
    key = "max_drawdown/sandbox/account:main"
    price(now, "60000")
    for bid, keys in (
        ("57000.01", []),
        ("57000", [f"{key}/50"]),
        ("55200.01", [f"{key}/50"]),
        ("55200", [f"{key}/50", f"{key}/80"]),
        ("54000.01", [f"{key}/50", f"{key}/80"]),
        ("54000", [f"{key}/100", f"{key}/50", f"{key}/80"]),
        ("56000", [f"{key}/50"]),
        ("55000", [f"{key}/50", f"{key}/80"]),
        ("60000", []),
    ):
        price(now, bid)
        watch_losses()
        watch_losses()
        assert standing() == keys, bid
    assert Alert.objects.count() == 4, "one of 80 again, after it had fallen below"
    assert {row.key.rpartition("/")[2]: row.severity for row in Alert.objects.all()} == {
        "50": "warning",
        "80": "warning",
        "100": "critical",
    }
    assert Event.objects.filter(kind="alert.raised").count() == Event.objects.filter(kind="alert.resolved").count() == 4


def test_where_nothing_is_due_it_is_one_statement(account: Account, now: ManualClock) -> None:
    with CaptureQueriesContext(connection) as without:
        watch_losses()
    limit("max_drawdown", "0.1")
    price(now, "60000")
    price(now, "57000")
    watch_losses()
    with CaptureQueriesContext(connection) as captured:
        watch_losses()
    assert (len(without), len(captured)) == (1, 1)


def test_a_whole_mode_latches_each_of_its_accounts(account: Account, now: ManualClock) -> None:
    AccountFactory(name="second")
    AccountFactory(name="paper", mode="paper", rest_url="")
    limit("max_drawdown", "0.1", "global")
    price(now, "60000")
    price(now, "54000")
    assert watch_losses() == 2
    assert [scope for scope, *_ in latched()] == ["account:main", "account:second"]


def test_paper_never_stops_live() -> None:
    strategy = StrategyFactory(name="demo")
    held, ordering, sold = (
        AccountFactory(name=name, mode="paper", rest_url="") for name in ("held", "ordering", "sold")
    )
    AccountFactory(name="idle", mode="paper", rest_url="")
    assert latched_scopes("live", "strategy", "demo") == [("strategy", "demo")]
    assert latched_scopes("paper", "strategy", "demo") == []
    HoldingFactory(account=sold, strategy=strategy, quantity=D(0))
    assert latched_scopes("paper", "strategy", "demo") == [("account", "sold")]
    HoldingFactory(account=held, strategy=strategy, quantity=D(1))
    ReservationFactory(account_name=ordering.name, mode="paper", strategy="demo")
    assert latched_scopes("paper", "strategy", "demo") == [("account", "held"), ("account", "ordering")]
    assert latched_scopes("sandbox", "strategy", "demo") == []


def test_usage_shows_what_is_lost(account: Account, now: ManualClock) -> None:
    limit("max_daily_loss_fraction", "0.1")
    price(now, "60000")
    price(now, "57000")
    [usage] = usage_of("sandbox")
    assert (usage.used, usage.headroom, usage.share) == (D("0.05"), D("0.05"), D("0.5"))


def test_a_tightened_limit_latches_without_a_new_value(account: Account, now: ManualClock) -> None:
    limit("max_drawdown", "0.1")
    price(now, "60000")
    price(now, "58000")
    assert watch_losses() == 0
    limit("max_drawdown", "0.02")
    assert watch_losses() == 1
    assert Holding.objects.get().quantity == 1
