"""Ramp limits: money limits count in part after arming and after a kill, for a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from exchanges.models import Account
from execution_project.common import clock
from execution_project.common.approvals import consequences, decide_and_carry_out
from orders.models import Order
from risk.arming import propose_arming
from risk.controls import max_order_notional, ramp
from risk.limits import impose, newest, tighten_or_set
from risk.models import Decision, KillEpisode, KillSweep, Limit
from risk.ramp import ramped
from risk.trading_state import halt, propose_start
from risk.usage import usage_of
from tests.factories import BY, funded_account
from tests.kills import take_for_proven
from tests.orders.test_placing import ask
from tests.risk.gate_inputs import inputs, limit
from tests.risk.test_arming import SECOND, ready

D = Decimal


def sweep(episode: KillEpisode, account: Account) -> None:
    """As the first step of the sweep would leave it."""
    KillSweep.objects.create(episode=episode, account=account)


def test_money_limits_count_by_the_smallest_fraction_of_their_scope_and_the_global_one() -> None:
    rows = (
        limit("0.1", "account:main", "ramp"),
        limit("0.5", "global", "ramp"),
        limit("1000.000000000000000001", "account:main"),
        limit("1000", "global"),
        limit("7", "account:main", "max_working_orders"),
        limit(None, "account:main", "max_gross_exposure"),
    )
    counted = {(row.control, row.scope): (row.value, row.whole) for row in ramped(rows)}
    assert counted == {
        ("ramp", "account:main"): (D("0.1"), None),
        ("ramp", "global"): (D("0.5"), None),
        ("max_order_notional", "account:main"): (D(100), D("1000.000000000000000001")),
        ("max_order_notional", "global"): (D(500), D(1000)),
        ("max_working_orders", "account:main"): (D(7), None),
        ("max_gross_exposure", "account:main"): (None, None),
    }
    others = tuple(row for row in rows if row.control != "ramp")
    assert ramped(others) == others
    assert ramped((*others, limit("5", "global", "ramp"))[:4])[0].value == D("1000.000000000000000001")
    weak = replace(limit("0.1", "global", "ramp"), enforcement="SHADOW")
    assert ramped((*others, weak)) == (*others, weak)


def test_a_decision_shows_what_counted_and_what_was_set() -> None:
    given = inputs(limits=ramped((limit("0.1", "account:main", "ramp"), limit("600000"))))
    result = max_order_notional.evaluate(given)
    assert (result.outcome, result.limit, result.headroom) == ("pass", D(60000), 0)
    assert result.inputs["limits"]["account:main"]["whole"] == "600000"
    assert (ramp.evaluate(given).outcome, ramp.evaluate(given).inputs) == ("pass", {"account:main": "0.1"})
    assert ramp.evaluate(inputs()).outcome == "not_set"


@pytest.mark.django_db
def test_arming_sets_it_for_its_hours_and_then_the_whole_limit_counts(settings: Any) -> None:
    settings.EXEC_RAMP_PERCENT, settings.EXEC_RAMP_HOURS = 20, 48
    account = ready(settings)
    proposed = propose_arming(account, reason="after two weeks on paper", by=BY)
    assert "20 per cent for 48 hours" in consequences(proposed)[1]
    decide_and_carry_out(proposed.id, approved=True, by=SECOND)
    row = newest("ramp", "live", "account", "main")
    assert row is not None
    assert (row.value, row.expires_at - row.set_at) == (
        D("0.2"),
        pytest.approx(timedelta(hours=48), abs=timedelta(seconds=1)),
    )


@pytest.mark.django_db
def test_it_is_never_looser_than_one_that_counts() -> None:
    account = funded_account(USDT="1")
    tighten_or_set("ramp", "sandbox", "account", account.name, D("0.05"), reason="test", by=BY)
    later = clock.now() + timedelta(hours=1)
    row = impose("ramp", "sandbox", "account", account.name, D("0.2"), reason="test", by=BY, expires_at=later)
    assert (row.value, row.version) == (D("0.05"), 2)


@pytest.mark.django_db
def test_a_kill_that_is_lifted_leaves_the_accounts_it_swept_ramped_up(settings: Any) -> None:
    settings.EXEC_RAMP_PERCENT = 10
    account: Account = funded_account(USDT="1000")
    tighten_or_set("max_order_notional", "sandbox", "account", account.name, D(100), reason="test", by=BY)
    halt("account", account.name, reason="test", by=BY, latched=True)
    sweep(take_for_proven("account", account.name), account)
    for stage in ("REDUCE_ONLY", "ACTIVE"):
        proposed = propose_start("account", account.name, reason="it was proven, and it is over", by=BY)
        assert ("10 per cent" in " ".join(consequences(proposed))) is (stage == "ACTIVE")
        assert not Limit.objects.filter(control="ramp").exists()
        decide_and_carry_out(proposed.id, approved=True, by=SECOND)
    denied: Order = ask(account, quantity=D("0.001")).order
    assert denied.reason == "MAX_ORDER_NOTIONAL"
    result = next(
        r for r in Decision.objects.get(id=denied.decision_id).results if r["control"] == "max_order_notional"
    )
    assert result["limit"] == "10"
    usage = next(u for u in usage_of("sandbox") if u.limit.control == "max_order_notional")
    assert (usage.limit.value, usage.allowed) == (D(100), D(10))
