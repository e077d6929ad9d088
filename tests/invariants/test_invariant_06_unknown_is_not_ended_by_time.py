"""Invariant 6: unknown is never turned into an end by time, and its reservation stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from execution_project.common import clock
from orders import sweeping
from orders.following import probe
from orders.models import AbsenceEvidence, Attempt
from tests.engines import Engine, drain, reserved

pytestmark = pytest.mark.e2e
LISTS = ("GET /api/v3/order", "GET /api/v3/openOrders", "GET /api/v3/allOrders", "GET /api/v3/myTrades")


def lost(engine: Engine) -> UUID:
    """An order of unknown outcome that never arrived; everything about it is as of a minute ago."""
    engine.simulator.fault("drop_before")
    _, order = engine.limit("BUY", "0.01", "59000.00")
    drain()
    for attempt in Attempt.objects.all():
        attempt.stamp_ms -= 60_000
        attempt.send_by -= timedelta(seconds=60)
        attempt.save(update_fields=["stamp_ms", "send_by"])
    return UUID(order["id"])


def still_unknown(engine: Engine, order_id: UUID) -> None:
    assert engine.order(str(order_id))["status"] == "submit_unknown"
    assert reserved(engine) == {"USDT": Decimal(590)}


def test_invariant_06_no_sweep_however_late_ends_an_unknown_order(engine: Engine) -> None:
    order_id = lost(engine)
    with clock.using(clock.ManualClock(datetime.now(UTC) + timedelta(days=30))):
        sweeping.expire_stale_intents()
        sweeping.recover_silent_claims()
        sweeping.resume_answered_commands()
        sweeping.ring_due_commands()
    still_unknown(engine, order_id)


@pytest.mark.parametrize("call", LISTS)
def test_invariant_06_any_number_of_failed_looks_is_no_proof(engine: Engine, call: str) -> None:
    order_id = lost(engine)
    engine.simulator.fault("garbage", call=call, times=None)
    for _ in range(5):
        probe(order_id)
    assert set(AbsenceEvidence.objects.values_list("verdict", flat=True)) == {"failed"}
    still_unknown(engine, order_id)


def test_invariant_06_negative_looks_while_it_can_still_be_executed_are_no_proof(engine: Engine) -> None:
    order_id = lost(engine)
    Attempt.objects.update(stamp_ms=clock.now_ms())
    for _ in range(5):
        probe(order_id)
    assert not AbsenceEvidence.objects.filter(verdict="negative").exists()
    still_unknown(engine, order_id)


def test_invariant_06_one_negative_round_is_no_proof(engine: Engine) -> None:
    order_id = lost(engine)
    assert probe(order_id) is False
    assert AbsenceEvidence.objects.get().verdict == "negative"
    still_unknown(engine, order_id)
