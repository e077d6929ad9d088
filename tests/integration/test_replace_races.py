"""Replaces under fire: late proofs, killed workers, fills and cancels that race them, on the real path to the wire.

Helpers stop a worker after the wire and before it records, and let the sweeper find its silence.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from exchanges.connections import adapter_for
from exchanges.host_clock import exchange_now_ms
from exchanges.reports import Evidence, Outcome, OutcomeKind, ReadFailed, ReplaceOutcome
from execution_project.common import clock
from orders import answers, following, looking, sending, sweeping
from orders.following import follow_account, settle
from orders.ingest import ingest
from orders.models import Attempt, Command, ExchangeOrder, Order
from risk.models import Reservation
from tests.engines import BY, Engine, drain, reserved
from tests.integration.test_replacing import REPLACE, go_on, patch, resting, working_at_exchange

pytestmark = pytest.mark.e2e
Patch = pytest.MonkeyPatch
EV = Evidence("POST", "/x", {})


def out(kind: OutcomeKind, **k: Any) -> Outcome:
    return Outcome(kind, EV, **k)


def stall(monkeypatch: Patch) -> list[Any]:
    """The worker dies/stalls after the wire, before recording."""
    kept: list[Any] = []
    monkeypatch.setattr(sending, "_insistently", kept.append)
    return kept


def silence() -> None:
    Attempt.objects.filter(outcome="").update(send_by=clock.now() - timedelta(seconds=60))
    assert sweeping.recover_silent_claims()


def test_a_fill_up_to_the_new_total_does_not_end_an_order_that_still_works(engine: Engine) -> None:
    order_id = resting(engine)  # 0.03 @ 59000
    engine.simulator.trade("BTCUSDT", "59000.00", "0.01", "SELL")
    follow_account(engine.account)
    assert patch(engine, order_id, quantity="0.02", price="59100.00")[1]["replace"]["method"] == "cancel_then_place"
    engine.simulator.trade("BTCUSDT", "59000.00", "0.01", "SELL")  # before the cancel goes out
    follow_account(engine.account)
    go_on()
    doc = engine.order(order_id)
    status, _ = engine.request("DELETE", f"order/{order_id}")
    go_on()
    assert (doc["status"], working_at_exchange(engine), status) == ("filled", [], 200)


def test_fills_after_a_lost_replace_leave_the_order_followed_and_cancelable(engine: Engine) -> None:
    order_id = resting(engine)
    patch(engine, order_id, quantity="0.02", price="59100.00")
    engine.simulator.fault("drop_before", call=REPLACE)
    drain()
    engine.simulator.trade("BTCUSDT", "59000.00", "0.02", "SELL")
    follow_account(engine.account)
    assert engine.order(order_id)["status"] == "partially_filled"
    assert working_at_exchange(engine) == [("0.01", "5.9E+4")]
    assert reserved(engine) == {"USDT": Decimal(590)}
    engine.request("DELETE", f"order/{order_id}")
    go_on()
    assert (engine.order(order_id)["status"], working_at_exchange(engine)) == ("canceled", [])


def test_an_order_can_be_replaced_after_a_replace_was_abandoned(engine: Engine) -> None:
    order_id = resting(engine)
    patch(engine, order_id, price="59500.00")
    engine.request("POST", "stop", {"scope": "global", "reason": "test"})
    go_on()
    from risk.trading_state import start
    from tests.engines import BY

    start("global", "", reason="go", by=BY)
    engine.refresh()
    status, doc = patch(engine, order_id, price="59600.00")
    assert status == 202, doc


def test_a_trade_of_the_old_order_disproves_a_lost_replace_and_frees_its_reservation(engine: Engine) -> None:
    order_id = resting(engine)
    patch(engine, order_id, price="59500.00")
    engine.simulator.fault("drop_before", call=REPLACE)
    drain()
    engine.simulator.trade("BTCUSDT", "59000.00", "0.03", "SELL")
    follow_account(engine.account)
    assert engine.order(order_id)["status"] == "filled"
    settle(engine.account, Order.objects.get(id=order_id))
    go_on()
    assert reserved(engine) == {}


def test_a_worker_killed_after_the_claim_and_a_fill_leave_nothing_reserved(engine: Engine, monkeypatch: Patch) -> None:
    order_id = resting(engine)
    patch(engine, order_id, price="59500.00")
    engine.simulator.fault("drop_before", call=REPLACE)
    stall(monkeypatch)
    drain()
    engine.simulator.trade("BTCUSDT", "59000.00", "0.03", "SELL")
    follow_account(engine.account)
    silence()
    go_on()
    settle(engine.account, Order.objects.get(id=order_id))
    assert reserved(engine) == {}


@pytest.mark.parametrize(
    "both",
    [
        ReplaceOutcome(out(OutcomeKind.NOT_SENT, reason="too_late"), out(OutcomeKind.NOT_SENT, reason="too_late")),
        ReplaceOutcome(
            out(OutcomeKind.REFUSED, reason="cancel_restricted"), out(OutcomeKind.NOT_EXECUTED, reason="not_attempted")
        ),
    ],
)
def test_a_proof_that_comes_late_still_ends_an_unknown_replace(
    engine: Engine, monkeypatch: Patch, both: ReplaceOutcome
) -> None:
    order_id = resting(engine)
    patch(engine, order_id, price="59500.00")
    engine.simulator.fault("drop_before", call=REPLACE)
    stall(monkeypatch)
    drain()
    silence()
    drain()
    attempt = Attempt.objects.get(kind="replace")
    answers.record_replace(attempt.id, both)
    assert Command.objects.get(order_id=order_id, kind="replace").status != "unknown"


def test_a_late_acceptance_of_an_adopted_replace_changes_nothing(engine: Engine, monkeypatch: Patch) -> None:
    order_id = resting(engine)
    patch(engine, order_id, price="59500.00")
    kept = stall(monkeypatch)
    drain()
    silence()
    drain()  # the probe adopts it
    assert engine.order(order_id)["price"] == "59500"
    engine.simulator.trade("BTCUSDT", "59500.00", "0.01", "SELL")
    follow_account(engine.account)
    assert reserved(engine) == {"USDT": Decimal(1190)}
    kept[-1]()  # the late answer
    assert reserved(engine) == {"USDT": Decimal(1190)}


def test_a_late_not_sent_of_the_rest_ends_it(engine: Engine, monkeypatch: Patch) -> None:
    order_id = resting(engine)
    engine.simulator.trade("BTCUSDT", "59000.00", "0.01", "SELL")
    follow_account(engine.account)
    patch(engine, order_id, quantity="0.05", price="59100.00")
    drain("cancel")
    engine.simulator.fault("drop_before", call="POST /api/v3/order")
    stall(monkeypatch)
    drain()
    silence()
    drain()
    attempt = Attempt.objects.filter(kind="submit").latest("claimed_at")
    assert attempt.command.status == "unknown"
    answers.record_outcome(attempt.id, out(OutcomeKind.NOT_SENT, reason="too_late"))
    assert Command.objects.get(id=attempt.command_id).status != "unknown"


def test_a_late_acceptance_of_an_adopted_submit_is_recorded(engine: Engine, monkeypatch: Patch) -> None:
    kept = stall(monkeypatch)
    _, order = engine.limit("BUY", "0.03", "59000.00")
    drain()
    silence()
    drain()
    assert engine.order(order["id"])["status"] == "open"
    kept[-1]()
    assert Attempt.objects.get().outcome == "accepted"


def test_a_cancel_after_a_lost_replace_is_also_sent_for_what_it_may_have_placed(engine: Engine) -> None:
    """Nothing ends the order by time: what may have been placed stays unknown, reserved and asked to end."""
    order_id = resting(engine)
    patch(engine, order_id, price="59500.00")
    engine.simulator.fault("drop_before", call=REPLACE)
    drain()
    planned = ExchangeOrder.objects.get(order_id=order_id, planned=True)
    engine.request("DELETE", f"order/{order_id}")
    go_on()
    assert working_at_exchange(engine) == []
    assert Attempt.objects.filter(kind="cancel", exchange_order=planned).exists()
    assert engine.order(order_id)["status"] == "open"
    assert reserved(engine) == {"USDT": Decimal(1785)}


def test_a_cancel_reaches_what_a_lost_replace_did_place(engine: Engine) -> None:
    order_id = resting(engine)
    patch(engine, order_id, price="59500.00")
    engine.simulator.fault("drop_after", call=REPLACE)
    drain("cancel")
    engine.request("DELETE", f"order/{order_id}")
    go_on()
    assert (engine.order(order_id)["status"], working_at_exchange(engine)) == ("canceled", [])
    assert reserved(engine) == {}


def test_a_cancel_of_unknown_outcome_with_nothing_placed_goes_on_by_a_proven_cancel(
    engine: Engine, monkeypatch: Patch
) -> None:
    order_id = resting(engine)
    patch(engine, order_id, price="59500.00")
    engine.simulator.fault("drop_before", call=REPLACE)
    stall(monkeypatch)
    drain()
    attempt = Attempt.objects.get(kind="replace")
    answers.record_replace(
        attempt.id,
        ReplaceOutcome(out(OutcomeKind.UNKNOWN, code="-1007"), out(OutcomeKind.NOT_EXECUTED, reason="not_attempted")),
    )
    assert Command.objects.get(order_id=order_id, kind="replace").status == "queued"


def test_an_amend_that_nobody_recorded_is_read_off_the_exchange(engine: Engine, monkeypatch: Patch) -> None:
    order_id = resting(engine)
    patch(engine, order_id, quantity="0.02")
    stall(monkeypatch)
    drain()
    monkeypatch.undo()
    silence()
    Command.objects.filter(kind="replace").update(created_at=clock.now() - timedelta(seconds=60))
    go_on()
    follow_account(engine.account)
    assert engine.order(order_id)["quantity"] == "0.02"


def test_a_replacement_refused_before_the_cancel_is_not_sent_again(engine: Engine, monkeypatch: Patch) -> None:
    order_id = resting(engine)
    patch(engine, order_id, price="59500.00")
    from exchanges.binance.adapter import BinanceAdapter

    calls = []

    def refuse(self, prepared, send_by):
        calls.append(1)
        return ReplaceOutcome(
            out(OutcomeKind.NOT_EXECUTED, reason="not_attempted"),
            out(OutcomeKind.REFUSED, code="-1013", reason="filter"),
        )

    monkeypatch.setattr(BinanceAdapter, "send_replace", refuse)
    go_on()
    go_on()
    assert len(calls) == 1


def test_one_unreadable_order_does_not_stop_the_others(engine: Engine, monkeypatch: Patch) -> None:
    a = resting(engine, "0.03", "59000.00")
    b = resting(engine, "0.03", "59001.00")
    engine.simulator.trade("BTCUSDT", "59000.00", "0.04", "SELL")
    from exchanges.binance.adapter import BinanceAdapter

    real = BinanceAdapter.query_order
    bad = ExchangeOrder.objects.get(order_id=a).client_order_id

    def query(self, symbol, *, client_order_id, **k):
        if client_order_id == bad:
            raise ReadFailed(out(OutcomeKind.REFUSED, code="-2026", reason="archived"))
        return real(self, symbol, client_order_id=client_order_id, **k)

    monkeypatch.setattr(BinanceAdapter, "query_order", query)
    from orders import tasks

    tasks.follow(engine.account.pk)
    tasks.follow(engine.account.pk)
    assert engine.order(b)["filled_quantity"] != "0"


def test_an_accepted_order_with_an_unknown_status_is_followed(engine: Engine, monkeypatch: Patch) -> None:
    from exchanges.binance import parsing

    monkeypatch.setitem(parsing.STATUSES, "NEW", parsing.ReportedStatus.UNRECOGNISED)
    _, order = engine.limit("BUY", "0.03", "59000.00")
    drain()
    monkeypatch.undo()
    engine.simulator.trade("BTCUSDT", "59000.00", "0.03", "SELL")
    from orders import tasks

    for _ in range(3):
        tasks.follow(engine.account.pk)
        sweeping.ring_probes()
        drain()
    doc = engine.order(order["id"])
    assert doc["filled_quantity"] == "0.03", doc["status"]


def test_the_rest_of_an_old_replace_is_not_placed(engine: Engine) -> None:
    order_id = resting(engine)
    engine.simulator.trade("BTCUSDT", "59000.00", "0.01", "SELL")
    follow_account(engine.account)
    patch(engine, order_id, quantity="0.05", price="59100.00")
    engine.simulator.fault("drop_after", call="DELETE /api/v3/order")
    engine.simulator.fault("drop_before", call="GET /api/v3/order", times=3)
    drain("cancel")
    follow_account(engine.account)
    Command.objects.filter(kind="replace").update(created_at=clock.now() - timedelta(hours=1))
    go_on()
    assert working_at_exchange(engine) == [], "an intent of an hour ago"


def test_a_rejected_order_that_turns_out_alive_is_reserved_again(engine: Engine) -> None:
    from exchanges.connections import adapter_for
    from exchanges.host_clock import exchange_now_ms
    from orders.ingest import ingest
    from tests.engines import BY

    _, order = engine.limit("BUY", "0.03", "59000.00")
    drain()
    # as if the answer had been read as a refusal
    o = Order.objects.get(id=order["id"])
    Order.objects.filter(id=o.id).update(status="rejected")
    ExchangeOrder.objects.filter(order=o).update(end_proof="refused:-2010", reported_status="")
    Reservation.objects.filter(order_id=o.id).update(amount=0, exposure=0)
    reports = adapter_for(engine.account).open_orders("BTCUSDT", now_ms=exchange_now_ms(engine.account))
    ingest(engine.account, reports, by=BY)
    assert engine.order(order["id"])["status"] == "open"
    assert reserved(engine) == {"USDT": Decimal(1770)}


def test_reduce_only_between_request_and_claim_stops_a_growing_replace(engine: Engine) -> None:
    from risk.models import TradingState

    order_id = resting(engine)
    patch(engine, order_id, quantity="0.05", price="59500.00")
    TradingState.objects.create(
        scope_kind="global", scope_key="", state="REDUCE_ONLY", changed_by="x", changed_at=clock.now()
    )
    go_on()
    assert working_at_exchange(engine) == [("0.03", "5.9E+4")]


def test_a_stop_cancels_an_order_whose_replace_was_overtaken_by_a_fill(engine: Engine) -> None:
    order_id = resting(engine)
    engine.simulator.trade("BTCUSDT", "59000.00", "0.01", "SELL")
    follow_account(engine.account)
    patch(engine, order_id, quantity="0.02", price="59100.00")
    engine.simulator.trade("BTCUSDT", "59000.00", "0.01", "SELL")
    follow_account(engine.account)
    engine.request("POST", "stop", {"scope": "global", "reason": "test", "cancel_orders": True})
    go_on()
    assert working_at_exchange(engine) == []


def test_the_rest_of_a_replace_ends_while_the_host_is_paused(engine: Engine) -> None:
    from exchanges import rate_budget
    from exchanges.connections import host_of

    order_id = resting(engine)
    engine.simulator.trade("BTCUSDT", "59000.00", "0.01", "SELL")
    follow_account(engine.account)
    patch(engine, order_id, quantity="0.05", price="59100.00")
    drain("cancel")
    rate_budget.pause(host_of(engine.account), 3_600_000, reason="ban", banned=True)
    Order.objects.filter(id=order_id).update(valid_until=clock.now() - timedelta(seconds=30))
    go_on()
    sweeping.expire_stale_intents()
    engine.request("DELETE", f"order/{order_id}")
    go_on()
    assert engine.order(order_id)["status"] == "canceled"


def test_an_amend_overtaken_by_the_whole_fill_ends_filled(engine: Engine) -> None:
    """old canceled by somebody else while the replace waits, then the replace is halted"""
    order_id = resting(engine)
    patch(engine, order_id, quantity="0.02")  # amend
    engine.simulator.trade("BTCUSDT", "59000.00", "0.03", "SELL")
    go_on()
    doc = engine.order(order_id)
    follow_account(engine.account)
    doc = engine.order(order_id)
    assert doc["status"] == "filled"


def test_a_worker_killed_while_looking_after_its_answer_loses_nothing(engine: Engine, monkeypatch: Patch) -> None:
    order_id = resting(engine)
    engine.request("DELETE", f"order/{order_id}")
    engine.simulator.trade("BTCUSDT", "59000.00", "0.03", "SELL")

    def killed(*_: Any) -> None:
        raise SystemExit

    monkeypatch.setattr(looking, "look_up", killed)
    with pytest.raises(SystemExit):
        drain()
    monkeypatch.undo()
    attempt = Attempt.objects.get(kind="cancel")
    assert (attempt.outcome, attempt.command.status) == ("refused", "claimed")
    assert sweeping.resume_answered_commands() == 0
    Attempt.objects.filter(id=attempt.id).update(answered_at=clock.now() - timedelta(seconds=60))
    assert sweeping.resume_answered_commands() == 1
    go_on()
    assert engine.order(order_id)["status"] == "filled"
    assert Command.objects.get(id=attempt.command_id).status == "done"


def restored(engine: Engine) -> str:
    """An order that a restored database holds as pending, and that the exchange's list has moved to open."""
    _, order = engine.limit("BUY", "0.03", "59000.00")
    drain()
    order_id: str = order["id"]
    command = Command.objects.get(order_id=order_id)
    Attempt.objects.all().delete()
    Command.objects.filter(id=command.id).update(status="queued", fence=0, finished_at=None)
    Order.objects.filter(id=order_id).update(status="pending")
    rows = ExchangeOrder.objects.filter(order_id=order_id)
    rows.update(reported_status="", exchange_order_id="", last_report_at=None)
    account = engine.account
    ingest(account, adapter_for(account).open_orders("BTCUSDT", now_ms=exchange_now_ms(account)), by=BY)
    assert engine.order(order_id)["status"] == "open"
    return order_id


def test_an_order_that_a_restored_database_would_submit_again_is_not_ended_by_time(engine: Engine) -> None:
    order_id = restored(engine)
    Order.objects.filter(id=order_id).update(valid_until=clock.now() - timedelta(seconds=30))
    sweeping.expire_stale_intents()
    go_on()
    assert engine.order(order_id)["status"] == "open"
    assert working_at_exchange(engine) == [("0.03", "5.9E+4")]
    assert set(engine.simulator.posted().values()) == {1}


def test_a_cancel_of_such_an_order_goes_to_the_exchange(engine: Engine) -> None:
    order_id = restored(engine)
    engine.request("DELETE", f"order/{order_id}")
    go_on()
    assert (engine.order(order_id)["status"], working_at_exchange(engine)) == ("canceled", [])


def test_a_whole_fill_under_a_replace_that_is_refused_ends_filled(engine: Engine, monkeypatch: Patch) -> None:
    order_id = resting(engine)
    patch(engine, order_id, price="59500.00")
    engine.simulator.fault("drop_before", call=REPLACE)
    stall(monkeypatch)
    drain()
    engine.simulator.trade("BTCUSDT", "59000.00", "0.03", "SELL")
    follow_account(engine.account)
    refused = out(OutcomeKind.AUTH, code="-2015")
    answers.record_replace(Attempt.objects.get(kind="replace").id, ReplaceOutcome(refused, refused))
    assert engine.order(order_id)["status"] == "filled"
    assert reserved(engine) == {}


def test_an_old_order_that_still_shows_as_open_proves_nothing(engine: Engine) -> None:
    """Reads may lag: one look, however late, neither frees the reservation nor lets another replace go out."""
    order_id = resting(engine)
    patch(engine, order_id, price="59500.00")
    engine.simulator.fault("drop_before", call=REPLACE)
    drain()
    Attempt.objects.filter(kind="replace").update(stamp_ms=clock.now_ms() - 3_600_000)
    assert following.probe(Order.objects.get(id=order_id).id) is False
    assert Command.objects.get(order_id=order_id, kind="replace").status == "unknown"
    assert reserved(engine) == {"USDT": Decimal(1785)}
    assert patch(engine, order_id, price="59600.00")[1]["code"] == "REPLACE_IN_FLIGHT"


def test_a_whole_fill_before_a_halted_replace_ends_filled(engine: Engine) -> None:
    order_id = resting(engine)
    patch(engine, order_id, price="59500.00")
    engine.simulator.trade("BTCUSDT", "59000.00", "0.03", "SELL")
    follow_account(engine.account)
    engine.request("POST", "stop", {"scope": "global", "reason": "test"})
    go_on()
    assert engine.order(order_id)["status"] == "filled"


def test_a_late_acceptance_with_an_unknown_status_is_followed(engine: Engine, monkeypatch: Patch) -> None:
    from exchanges.binance import parsing

    monkeypatch.setitem(parsing.STATUSES, "NEW", parsing.ReportedStatus.UNRECOGNISED)
    kept = stall(monkeypatch)
    _, order = engine.limit("BUY", "0.03", "59000.00")
    drain()
    silence()
    kept[-1]()
    monkeypatch.undo()
    engine.simulator.trade("BTCUSDT", "59000.00", "0.03", "SELL")
    follow_account(engine.account)
    assert engine.order(order["id"])["filled_quantity"] == "0.03"


def test_an_amend_that_is_read_off_the_exchange_is_a_new_version(engine: Engine, monkeypatch: Patch) -> None:
    order_id = resting(engine)
    patch(engine, order_id, quantity="0.02")
    stall(monkeypatch)
    drain()
    monkeypatch.undo()
    before = engine.order(order_id)["version"]
    follow_account(engine.account)
    document = engine.order(order_id)
    assert document["quantity"] == "0.02"
    assert document["version"] > before
