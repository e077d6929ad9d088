"""Invariant 8, freshness: without a recent comparison with the exchange no exposure grows; reducing keeps a way out."""

from __future__ import annotations

from datetime import timedelta

import pytest

from exchanges.freshness import PARTS
from exchanges.models import AccountFreshness
from execution_project.common import clock
from orders.reconciliation import reconcile
from risk.inputs import MAX_RECONCILIATION_AGE
from tests.engines import BY, Engine, drain

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("part", PARTS)
def test_invariant_08_no_recent_comparison_no_new_exposure(engine: Engine, part: str) -> None:
    old = clock.now() - MAX_RECONCILIATION_AGE[part] - timedelta(seconds=1)
    AccountFreshness.objects.filter(account=engine.account).update(**{f"{part}_at": old})
    status, problem = engine.place()
    assert (status, problem["code"]) == (422, "RECONCILIATION_STALE")
    status, _ = engine.place(side="SELL", quantity="0.01")
    assert status == 202
    drain()
    assert reconcile(engine.account, by=BY).succeeded
    assert engine.place()[0] == 202


def test_invariant_08_a_failed_query_renews_nothing(engine: Engine) -> None:
    AccountFreshness.objects.filter(account=engine.account).update(orders_at=None, trades_at=None, balances_at=None)
    engine.simulator.fault("status", call="*", times=None, status=503, code=-1000, msg="down")
    reconcile(engine.account, by=BY)
    engine.simulator.call("DELETE", "/sim/faults")
    assert engine.place()[1]["code"] == "RECONCILIATION_STALE"
