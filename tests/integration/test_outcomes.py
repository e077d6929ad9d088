"""What each kind of answer, or its absence, does to an order: nothing that may have been executed is sent again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from exchanges.models import HostPause
from execution_project.common import clock
from orders import sweeping
from orders.following import probe
from orders.models import Attempt, Command, ExchangeOrder, Order
from risk.models import Reservation
from tests.engines import Engine, drain

pytestmark = pytest.mark.e2e


def due_now() -> None:
    """Let every waiting command be due, as time would."""
    HostPause.objects.all().delete()
    Command.objects.filter(status="queued").update(not_before=None, rung_at="2020-01-01T00:00:00Z")
    sweeping.ring_due_commands()
    drain()


def test_lost_answer_leaves_the_order_unknown_reserved_and_is_adopted(engine: Engine) -> None:
    engine.simulator.fault("drop_after")
    _, order = engine.place(quantity="0.01")
    drain("submit-binance")
    assert engine.order(order["id"])["status"] == "submit_unknown"
    assert Reservation.objects.get(order_id=order["id"]).amount == Decimal("603.1005")
    drain()
    document = engine.order(order["id"])
    assert (document["status"], document["filled_quantity"]) == ("filled", "0.01")
    assert Reservation.objects.get(order_id=order["id"]).amount == 0
    assert set(engine.simulator.posted().values()) == {1}


def test_request_that_never_arrived_stays_unknown_and_reserved(engine: Engine) -> None:
    """Invariant 6: unknown is never turned into an end by time."""
    engine.simulator.fault("drop_before")
    _, order = engine.place(quantity="0.01")
    drain()
    for _ in range(3):
        assert probe(Order.objects.get(id=order["id"]).id) is False
    later = clock.ManualClock(datetime.now(UTC) + timedelta(hours=3))
    with clock.using(later):
        sweeping.expire_stale_intents()
        sweeping.recover_silent_claims()
        sweeping.ring_due_commands()
    drain()
    assert engine.order(order["id"])["status"] == "submit_unknown"
    assert Reservation.objects.get(order_id=order["id"]).amount == Decimal("603.1005")
    assert Attempt.objects.filter(kind="submit").count() == 1


@pytest.mark.parametrize("executed", [True, False])
def test_server_error_is_unknown_whether_executed_or_not(engine: Engine, executed: bool) -> None:
    engine.simulator.fault("status", status=503, code=-1008, msg="Server is currently overloaded.", execute=executed)
    _, order = engine.place(quantity="0.01")
    drain("submit-binance")
    assert engine.order(order["id"])["status"] == "submit_unknown"
    drain()
    assert engine.order(order["id"])["status"] == ("filled" if executed else "submit_unknown")
    assert Attempt.objects.filter(kind="submit").count() == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "rate_limit", "retry_after": 1},
        {
            "kind": "status",
            "status": 400,
            "code": -1021,
            "msg": "Timestamp for this request is old.",
        },
    ],
)
def test_proven_not_executed_goes_again_under_a_new_client_order_id(engine: Engine, fault: dict) -> None:  # type: ignore[type-arg]
    engine.simulator.fault(**fault)
    _, order = engine.limit("BUY", "0.01", "60010.00")
    valid_until = Order.objects.get(id=order["id"]).valid_until
    drain("submit-binance")
    assert engine.order(order["id"])["status"] == "pending"
    assert Order.objects.get(id=order["id"]).valid_until == valid_until
    first, second = ExchangeOrder.objects.filter(order_id=order["id"]).order_by("generation")
    assert first.end_proof.startswith("not_executed:")
    assert first.client_order_id != second.client_order_id
    due_now()
    assert engine.order(order["id"])["status"] == "filled"
    assert all(count == 1 for count in engine.simulator.posted().values())
    assert list(Reservation.objects.filter(order_id=order["id"]).values_list("amount", flat=True)) == [0, 0]


def test_pause_of_the_host_is_kept_for_all_processes(engine: Engine) -> None:
    engine.simulator.fault("rate_limit", retry_after=30)
    engine.limit("BUY", "0.01", "60010.00")
    drain("submit-binance")
    assert HostPause.objects.get().until > clock.now() + timedelta(seconds=25)
    engine.place(quantity="0.01")
    drain("submit-binance")
    assert Attempt.objects.filter(kind="submit").count() == 1


def test_unsent_order_is_claimed_again_under_the_same_client_order_id(engine: Engine) -> None:
    url = engine.account.rest_url
    engine.account.rest_url = "http://127.0.0.1:9"
    engine.account.save()
    from exchanges.models import HostClock

    HostClock.objects.create(host="127.0.0.1:9", offset_ms=0, round_trip_ms=1, sampled_at=clock.now())
    _, order = engine.limit("BUY", "0.01", "60010.00")
    drain("submit-binance")
    assert engine.order(order["id"])["status"] == "pending"
    assert Attempt.objects.get().outcome == "not_sent"
    engine.account.rest_url = url
    engine.account.save()
    due_now()
    assert engine.order(order["id"])["status"] == "filled"
    assert ExchangeOrder.objects.filter(order_id=order["id"]).count() == 1
    assert set(engine.simulator.posted().values()) == {1}


def test_refused_key_halts_its_account(engine: Engine) -> None:
    engine.simulator.fault("status", status=401, code=-2015, msg="Invalid API-key, IP, or permissions for action.")
    _, order = engine.place(quantity="0.01")
    drain("submit-binance")
    assert engine.order(order["id"])["status"] == "rejected"
    status, problem = engine.place(quantity="0.01")
    assert (status, problem["code"]) == (422, "TRADING_HALTED")


def test_claim_without_answer_becomes_unknown_and_is_never_sent_again(engine: Engine) -> None:
    """A worker that died after its claim: the bytes may be on the wire."""
    from exchanges.connections import adapter_for
    from orders.claiming import claim
    from risk.reading import read_prices_of

    _, order = engine.place(quantity="0.01")
    command = Command.objects.get(order_id=order["id"])
    prices = read_prices_of(Order.objects.get(id=order["id"]).instrument)
    assert claim(command.id, adapter_for(engine.account), clock.now_ms(), prices) is not None
    drain("submit-binance")
    assert engine.order(order["id"])["status"] == "submitting"
    with clock.using(clock.ManualClock(datetime.now(UTC) + sweeping.CLAIM_SILENCE + timedelta(seconds=1))):
        assert sweeping.recover_silent_claims() == 1
    drain()
    assert engine.order(order["id"])["status"] == "submit_unknown"
    assert engine.simulator.posted() == {}


def test_stale_intent_is_denied_unsent(engine: Engine) -> None:
    _, order = engine.place(quantity="0.01", valid_for=1)
    with clock.using(clock.ManualClock(datetime.now(UTC) + timedelta(seconds=2))):
        assert sweeping.expire_stale_intents() == 1
    document = engine.order(order["id"])
    assert (document["status"], document["reason"]) == ("denied", "STALE_INTENT")
    drain()
    assert engine.simulator.posted() == {}
    assert Reservation.objects.get(order_id=order["id"]).amount == 0


def test_late_fill_after_a_rejection_is_booked(engine: Engine) -> None:
    """No status refuses a fill."""
    engine.simulator.fault("status", status=400, code=-2010, msg="Account has insufficient balance.", execute=True)
    _, order = engine.place(quantity="0.01")
    drain()
    assert engine.order(order["id"])["status"] == "rejected"
    from exchanges.connections import adapter_for
    from orders.ingest import ingest
    from orders.looking import look_up
    from tests.engines import BY

    row = ExchangeOrder.objects.get(order_id=order["id"])
    reports = look_up(adapter_for(engine.account), engine.account, "BTCUSDT", row)
    ingest(engine.account, reports, by=BY)
    document = engine.order(order["id"])
    assert (document["status"], document["filled_quantity"]) == ("filled", "0.01")


@pytest.mark.parametrize("kind", ["not_sent", "throttled", "refused", "accepted", "unknown"])
def test_an_answer_that_comes_after_the_sweeper_gave_up_still_counts(engine: Engine, kind: str) -> None:
    """A fenced or late worker's answer is still a report, and a proof that nothing was executed is still a proof."""
    from exchanges.connections import adapter_for
    from exchanges.reports import Evidence, Outcome, OutcomeKind
    from orders.answers import record_outcome
    from orders.claiming import claim
    from risk.reading import read_prices_of

    _, order = engine.place(quantity="0.01")
    row = Order.objects.get(id=order["id"])
    claimed = claim(
        Command.objects.get().id, adapter_for(engine.account), clock.now_ms(), read_prices_of(row.instrument)
    )
    assert claimed is not None
    with clock.using(clock.ManualClock(datetime.now(UTC) + sweeping.CLAIM_SILENCE + timedelta(seconds=1))):
        sweeping.recover_silent_claims()
    assert engine.order(order["id"])["status"] == "submit_unknown"
    if kind == "accepted":
        outcome = adapter_for(engine.account).send(claimed.prepared, claimed.send_by + 60)
    else:
        outcome = Outcome(OutcomeKind(kind), Evidence("POST", "/api/v3/order", {}), code="-1", message="late")
    record_outcome(claimed.attempt.id, outcome)
    expected = {"accepted": "filled", "unknown": "submit_unknown"}.get(kind, "rejected")
    assert engine.order(order["id"])["status"] == expected
    reserved_now = Reservation.objects.get(order_id=order["id"]).amount
    assert (reserved_now > 0) == (expected == "submit_unknown")
    assert ExchangeOrder.objects.filter(order_id=order["id"]).count() == 1
