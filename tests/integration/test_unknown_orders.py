"""Orders that nobody answered for: looked for until found, or until it is proven that the exchange never had them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db.models import Sum

from exchanges.connections import adapter_for
from exchanges.host_clock import exchange_now_ms
from exchanges.models import Exchange, RateWindow
from execution_project.common import clock
from execution_project.common.models import Chore, Event
from orders import following, sweeping
from orders.absence import unknown_placement
from orders.claiming import claim
from orders.following import follow_account, probe
from orders.ingest import ingest
from orders.models import AbsenceEvidence, Attempt, Command, ExchangeOrder, Order
from risk.reading import read_prices_of
from tests.engines import BY, Engine, drain, make_engine, reserved
from tests.integration.test_replacing import REPLACE, patch, resting, working_at_exchange
from tests.processes import Processes
from tests.simulators import Simulator
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e
LONG_AGO_MS = 60_000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> timedelta:
    """Rounds that prove nothing follow each other fast here; returns the engine's own pace, which has its own test."""
    pace = following.PACE_IN_VAIN
    monkeypatch.setattr(following, "PACE_IN_VAIN", timedelta(milliseconds=50))
    monkeypatch.setattr(following, "PROBE_EVERY", timedelta(milliseconds=50))
    return pace


@pytest.fixture
def turk(transactional_db: None, simulator: Simulator) -> Engine:
    """A seeded engine at BTCTurk."""
    return make_engine(simulator, exchange=Exchange.BTCTURK)


def status(engine: Engine, order_id: str) -> str:
    text: str = engine.order(order_id)["status"]
    return text


def past_its_time(order_id: str) -> None:
    """As if the request had been sent a minute ago: nothing can be executed any more."""
    for attempt in Attempt.objects.filter(command__order_id=order_id):
        attempt.stamp_ms -= LONG_AGO_MS
        attempt.send_by -= timedelta(milliseconds=LONG_AGO_MS)
        attempt.save(update_fields=["stamp_ms", "send_by"])
    ExchangeOrder.objects.filter(order_id=order_id).update(look_next_at=None)


def verdicts(order_id: str) -> list[str]:
    return list(AbsenceEvidence.objects.filter(order_id=order_id).order_by("id").values_list("verdict", flat=True))


def probed(order_id: str, rounds: int) -> list[str]:
    """Probe until so many rounds are stored, as the sweeper would; returns their verdicts."""

    def enough() -> bool:
        row = ExchangeOrder.objects.filter(order_id=order_id).order_by("generation").last()
        assert row is not None
        if row.look_next_at is None or row.look_next_at <= clock.now():
            probe(UUID(order_id))
        return AbsenceEvidence.objects.filter(order_id=order_id).count() >= rounds

    wait_until(enough, 30, f"{rounds} rounds", every=0.02)
    return verdicts(order_id)


def appear(engine: Engine, order_id: str) -> None:
    """The exchange takes the order after all, long after it was sent."""
    row = ExchangeOrder.objects.get(order_id=order_id)
    body = {"account": engine.account.name, "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "0.01"}
    body |= {"price": "59000.00", "time_in_force": "GTC", "client_order_id": row.client_order_id}
    body |= {"exchange": engine.account.exchange}
    engine.simulator.call("POST", "/sim/orders", body)


def test_a_request_that_never_arrived_is_rejected_with_its_evidence(engine: Engine) -> None:
    engine.simulator.fault("drop_before")
    _, order = engine.limit("BUY", "0.01", "59000.00")
    drain()
    assert probe(UUID(order["id"])) is False
    assert verdicts(order["id"]) == [], "nothing counts while it can still be executed"
    past_its_time(order["id"])
    assert probed(order["id"], 1) == ["negative"]
    assert status(engine, order["id"]) == "submit_unknown"
    assert reserved(engine) == {"USDT": Decimal(590)}
    assert probed(order["id"], 2) == ["negative"] * 2
    document = engine.order(order["id"])
    assert (document["status"], document["reason"]) == ("rejected", "PROVEN_ABSENT")
    assert reserved(engine) == {}
    assert Command.objects.get(order_id=order["id"]).status == "done"
    assert ExchangeOrder.objects.get(order_id=order["id"]).end_proof == "absent:2 rounds"
    first, second = AbsenceEvidence.objects.order_by("id")
    assert second.asked_at >= first.answered_at + timedelta(milliseconds=200)
    asked = {answer["call"] for answer in first.answers}
    assert {"open_orders", "order_history", "trades_between", "query_order"} <= asked
    assert all(answer["http_status"] in {200, 400} for answer in first.answers)
    assert first.bounds == {"quiet_ms": 500, "round_gap_ms": 200, "rounds": 2}
    assert Attempt.objects.filter(kind="submit").count() == 1


def test_an_order_that_reads_lag_behind_is_adopted_before_anything_counts(engine: Engine) -> None:
    engine.simulator.fault("not_found_for", call="*", ms=1500)
    engine.simulator.fault("drop_after")
    _, order = engine.limit("BUY", "0.01", "59000.00")
    drain()
    assert status(engine, order["id"]) == "submit_unknown"
    wait_until(lambda: probe(UUID(order["id"])), 30, "the order to be found")
    assert status(engine, order["id"]) == "open"
    assert "negative" not in verdicts(order["id"])


def test_late_execution_is_adopted(engine: Engine) -> None:
    """Executed after the answer was lost, within what the exchange may take: no round may count before that."""
    engine.simulator.fault("late_execution", ms=700, answer="drop")
    _, order = engine.limit("BUY", "0.01", "59000.00")
    drain()
    assert probe(UUID(order["id"])) is False
    wait_until(lambda: probe(UUID(order["id"])), 30, "the late order to be found")
    assert (status(engine, order["id"]), verdicts(order["id"])) == ("open", [])
    assert set(engine.simulator.posted().values()) == {1}


def test_an_order_that_appears_after_the_first_round_is_adopted(engine: Engine) -> None:
    engine.simulator.fault("drop_before")
    _, order = engine.limit("BUY", "0.01", "59000.00")
    drain()
    past_its_time(order["id"])
    assert probed(order["id"], 1) == ["negative"]
    body = {"account": engine.account.name, "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT"}
    row = ExchangeOrder.objects.get(order_id=order["id"])
    engine.simulator.call(
        "POST",
        "/sim/orders",
        {
            **body,
            "quantity": "0.01",
            "price": "59000.00",
            "time_in_force": "GTC",
            "client_order_id": row.client_order_id,
        },
    )
    assert probed(order["id"], 2) == ["negative", "found"]
    assert status(engine, order["id"]) == "open"
    assert reserved(engine) == {"USDT": Decimal(590)}


@pytest.mark.parametrize("call", ["GET /api/v3/openOrders", "GET /api/v3/allOrders", "GET /api/v3/myTrades"])
def test_an_error_is_not_a_negative(engine: Engine, call: str) -> None:
    engine.simulator.fault("drop_before")
    _, order = engine.limit("BUY", "0.01", "59000.00")
    drain()
    past_its_time(order["id"])
    engine.simulator.fault("garbage", call=call, times=2)
    assert probed(order["id"], 3)[:3] == ["failed", "failed", "negative"]
    assert status(engine, order["id"]) == "submit_unknown"
    assert AbsenceEvidence.objects.order_by("id")[0].detail
    assert probed(order["id"], 4)[3] == "negative"
    assert status(engine, order["id"]) == "rejected"


def test_what_is_proven_absent_and_shows_after_all_is_reserved_and_followed_again(engine: Engine) -> None:
    engine.simulator.fault("drop_before")
    _, order = engine.limit("BUY", "0.01", "59000.00")
    drain()
    past_its_time(order["id"])
    probed(order["id"], 2)
    assert status(engine, order["id"]) == "rejected"
    appear(engine, order["id"])
    listed = adapter_for(engine.account).open_orders("BTCUSDT", now_ms=exchange_now_ms(engine.account))
    ingest(engine.account, listed, by=BY)
    assert status(engine, order["id"]) == "open"
    assert reserved(engine) == {"USDT": Decimal(590)}


def test_a_lost_replace_is_proven_not_executed_and_the_order_goes_on(engine: Engine) -> None:
    order_id = resting(engine)
    patch(engine, order_id, price="59500.00")
    engine.simulator.fault("drop_before", call=REPLACE)
    drain()
    past_its_time(order_id)
    assert probed(order_id, 2) == ["negative"] * 2
    assert status(engine, order_id) == "open"
    assert Command.objects.get(order_id=order_id, kind="replace").status == "done"
    assert reserved(engine) == {"USDT": Decimal(1770)}
    answer, document = patch(engine, order_id, price="59600.00")
    assert answer == 202, document
    drain()
    assert working_at_exchange(engine) == [("0.03", "5.96E+4")]
    assert all(count == 1 for count in engine.simulator.posted().values())


def test_a_replace_that_only_canceled_ends_the_order(engine: Engine) -> None:
    """The old order's own evidence says how it ended once it is proven that nothing took its place."""
    order_id = resting(engine)
    patch(engine, order_id, price="59500.00")
    engine.simulator.fault("drop_before", call=REPLACE)
    drain()
    [row] = engine.simulator.call("GET", f"/sim/orders?account={engine.account.name}&symbol=BTCUSDT")
    engine.simulator.call(
        "DELETE",
        "/sim/orders",
        {"account": engine.account.name, "symbol": "BTCUSDT", "order_id": row["order_id"]},
    )
    past_its_time(order_id)
    probed(order_id, 2)
    assert status(engine, order_id) == "canceled"
    assert reserved(engine) == {}


def test_a_duplicate_id_is_adopted_and_never_proven_absent(engine: Engine) -> None:
    engine.simulator.fault("status", status=400, code=-2010, msg="Duplicate order sent.", execute=True)
    _, order = engine.limit("BUY", "0.01", "59000.00")
    drain("submit-binance")
    assert status(engine, order["id"]) == "submit_unknown"
    drain()
    assert status(engine, order["id"]) == "open"
    engine.simulator.fault("status", status=400, code=-2010, msg="Duplicate order sent.")
    _, other = engine.limit("BUY", "0.02", "59000.00")
    drain()
    past_its_time(other["id"])
    assert probed(other["id"], 3) == ["doubtful"] * 3
    assert status(engine, other["id"]) == "submit_unknown"


def test_a_claim_without_an_answer_is_proven_absent(engine: Engine) -> None:
    _, order = engine.limit("BUY", "0.01", "59000.00")
    command = Command.objects.get(order_id=order["id"])
    prices = read_prices_of(Order.objects.get(id=order["id"]).instrument)
    assert claim(command.id, adapter_for(engine.account), clock.now_ms(), prices) is not None
    past_its_time(order["id"])
    assert sweeping.recover_silent_claims() == 1
    assert status(engine, order["id"]) == "submit_unknown"
    probed(order["id"], 2)
    assert status(engine, order["id"]) == "rejected"
    assert engine.simulator.posted() == {}


# ------------------------------------------------------------------------------------------------------------ BTCTurk


def turk_limit(turk: Engine, quantity: str = "0.01", price: str = "59000") -> Any:
    return turk.limit("BUY", quantity, price)[1]


def lost_before(turk: Engine) -> str:
    turk.simulator.fault("drop_before", call="POST /api/v1/order")
    order_id: str = turk_limit(turk)["id"]
    drain()
    assert status(turk, order_id) == "submit_unknown"
    return order_id


def test_btcturk_needs_three_rounds_and_unchanged_balances(turk: Engine) -> None:
    order_id = lost_before(turk)
    assert set(Attempt.objects.get().balances) == {"BTC", "USDT"}
    past_its_time(order_id)
    assert probed(order_id, 2) == ["negative"] * 2
    assert status(turk, order_id) == "submit_unknown"
    assert probed(order_id, 3) == ["negative"] * 3
    assert status(turk, order_id) == "rejected"
    assert reserved(turk) == {}
    assert "balances" in {answer["call"] for answer in AbsenceEvidence.objects.order_by("id")[0].answers}


def test_btcturk_hang_is_adopted_when_it_shows(turk: Engine) -> None:
    turk.simulator.fault("hang", call="POST /api/v1/order", ms=400)
    order_id = turk_limit(turk)["id"]
    drain()
    wait_until(lambda: probe(UUID(order_id)) or status(turk, order_id) == "open", 30, "the order to be found")
    assert status(turk, order_id) == "open"
    assert "negative" not in verdicts(order_id)


@pytest.mark.parametrize(("asset", "amount"), [("BTC", "0.01"), ("USDT", "-5")])
def test_btcturk_balances_that_moved_without_a_reason_leave_it_to_an_operator(
    turk: Engine, asset: str, amount: str
) -> None:
    order_id = lost_before(turk)
    turk.simulator.call("POST", f"/sim/accounts/{turk.account.name}/deposit", {"balances": {asset: amount}})
    past_its_time(order_id)
    assert probed(order_id, 4) == ["doubtful"] * 4
    assert status(turk, order_id) == "submit_unknown"
    assert reserved(turk)["USDT"] > 590
    assert asset in AbsenceEvidence.objects.order_by("id")[0].detail


def test_btcturk_unknown_orders_share_a_pace_while_asking_is_in_vain(
    turk: Engine, quick: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or they would take every reading of trades from the reconciliation that explains what keeps them in doubt."""
    monkeypatch.setattr(following, "PACE_IN_VAIN", quick)
    ids = [lost_before(turk) for _ in range(3)]
    turk.simulator.call("POST", f"/sim/accounts/{turk.account.name}/deposit", {"balances": {"BTC": "0.01"}})
    for order_id in ids:
        past_its_time(order_id)
        before = clock.now()
        assert probed(order_id, 1) == ["doubtful"]
        row = ExchangeOrder.objects.get(order_id=order_id)
        assert row.look_next_at is not None
        assert row.look_next_at >= before + 3 * quick


def test_btcturk_a_cancel_leaves_the_looking_to_the_probes(turk: Engine) -> None:
    order_id = lost_before(turk)
    cancel = turk.request("DELETE", f"order/{order_id}")
    assert cancel[0] == 202
    before = RateWindow.objects.aggregate(total=Sum("used"))
    drain("cancel")
    assert RateWindow.objects.aggregate(total=Sum("used")) == before, "nothing was asked"
    assert Command.objects.get(kind="cancel").status == "queued"
    appear(turk, order_id)
    probe(UUID(order_id))
    assert status(turk, order_id) == "open"
    wait_until(lambda: (sweeping.ring_due_commands(), drain(), status(turk, order_id) == "canceled")[-1], 30, "its end")


def test_btcturk_an_order_that_only_the_locked_balance_shows_is_not_absent(turk: Engine) -> None:
    order_id = lost_before(turk)
    body = {"exchange": "btcturk", "account": turk.account.name, "symbol": "ETHUSDT", "side": "BUY", "type": "LIMIT"}
    turk.simulator.call("POST", "/sim/orders", {**body, "quantity": "1", "price": "2900", "client_order_id": "x"})
    past_its_time(order_id)
    assert probed(order_id, 1) == ["doubtful"]
    assert "locked" in AbsenceEvidence.objects.get().detail


def test_btcturk_balances_that_moved_as_booked_are_explained(turk: Engine) -> None:
    """An account whose balance never equalled the books is judged by what moved since the claim."""
    turk.simulator.call("POST", f"/sim/accounts/{turk.account.name}/deposit", {"balances": {"USDT": "123"}})
    turk.refresh()
    order_id = lost_before(turk)
    past_its_time(order_id)
    assert probed(order_id, 3) == ["negative"] * 3
    assert status(turk, order_id) == "rejected"


def test_btcturk_401_on_a_placement_needs_one_round(turk: Engine) -> None:
    turk.simulator.fault("status", call="POST /api/v1/order", status=401)
    order_id = turk_limit(turk)["id"]
    drain()
    assert status(turk, order_id) == "submit_unknown"
    past_its_time(order_id)
    assert probed(order_id, 1) == ["negative"]
    assert status(turk, order_id) == "rejected"


def test_btcturk_401_behind_which_the_order_lives_is_adopted(turk: Engine) -> None:
    turk.simulator.fault("status", call="POST /api/v1/order", status=401, execute=True)
    order_id = turk_limit(turk)["id"]
    drain()
    assert status(turk, order_id) == "open"


# ------------------------------------------------------------------------------------------------- closed, unverified


def vanished(engine: Engine) -> str:
    """A working order that no list of the exchange shows any more."""
    order_id = resting(engine)
    engine.simulator.fault("not_found_for", call="*", ms=3_600_000)
    past_its_time(order_id)
    ExchangeOrder.objects.update(last_report_at=clock.now() - timedelta(milliseconds=LONG_AGO_MS))
    return order_id


def followed(engine: Engine, order_id: str, wanted: str) -> None:
    def reached() -> bool:
        follow_account(engine.account)
        return status(engine, order_id) == wanted

    wait_until(reached, 30, f"the order to be {wanted}")


def test_a_working_order_that_the_exchange_no_longer_knows_is_closed_unverified_and_reserved(engine: Engine) -> None:
    order_id = vanished(engine)
    follow_account(engine.account)
    assert status(engine, order_id) == "open"
    followed(engine, order_id, "closed_unverified")
    assert verdicts(order_id) == ["negative"] * 2
    assert reserved(engine) == {"USDT": Decimal(1770)}
    before = AbsenceEvidence.objects.count()
    follow_account(engine.account)
    assert AbsenceEvidence.objects.count() == before
    assert status(engine, order_id) == "closed_unverified"


def test_it_is_repaired_when_it_shows_again(engine: Engine) -> None:
    order_id = vanished(engine)
    followed(engine, order_id, "closed_unverified")
    engine.simulator.call("DELETE", "/sim/faults")
    follow_account(engine.account)
    assert status(engine, order_id) == "open"
    assert verdicts(order_id)[-1] == "found"
    engine.simulator.trade("BTCUSDT", "59000.00", "0.03", "SELL")
    follow_account(engine.account)
    assert status(engine, order_id) == "filled"


def test_one_miss_between_two_sightings_counts_for_nothing(engine: Engine) -> None:
    order_id = vanished(engine)
    wait_until(lambda: follow_account(engine.account) or verdicts(order_id) == ["negative"], 30, "a round")
    engine.simulator.call("DELETE", "/sim/faults")
    follow_account(engine.account)
    engine.simulator.fault("not_found_for", call="*", ms=3_600_000)
    wait_until(lambda: follow_account(engine.account) or verdicts(order_id)[2:] == ["negative"], 30, "another round")
    assert status(engine, order_id) == "open"


def test_nothing_unknown_is_left_after_proof(engine: Engine) -> None:
    engine.simulator.fault("drop_before")
    _, order = engine.limit("BUY", "0.01", "59000.00")
    drain()
    past_its_time(order["id"])
    probed(order["id"], 2)
    assert unknown_placement(Order.objects.get(id=order["id"])) is None
    assert sweeping.ring_probes() == 0


# ------------------------------------------------------------------------------------------------------------- crashes


@pytest.mark.drill
@pytest.mark.timeout(120)
@pytest.mark.parametrize("moment", ["after_absence_round", "before_absence_commit", "after_absence"])
def test_a_prober_killed_at_every_boundary_still_ends_it_once(
    engine: Engine, processes: Processes, moment: str
) -> None:
    engine.simulator.fault("drop_before")
    _, order = engine.limit("BUY", "0.01", "59000.00")
    drain()
    past_its_time(order["id"])
    flag = processes.folder / "armed"
    flag.touch()
    processes.manage("run_cluster", "probe-binance", EXEC_FAULT_HOOK=f"{moment}@{flag}")
    processes.manage("run_ticker")
    wait_until(lambda: not flag.exists(), 60, f"a worker to die {moment}")
    killed_with = status(engine, order["id"])
    assert killed_with == ("rejected" if moment == "after_absence" else "submit_unknown")
    # As after the minute in which nobody answers for the chore.
    Chore.objects.update(rung_at="2020-01-01T00:00:00Z")
    wait_until(lambda: status(engine, order["id"]) == "rejected", 40, "the order to be rejected")
    assert verdicts(order["id"])[:2] == ["negative"] * 2
    assert Event.objects.filter(kind="order.rejected", subject_id=order["id"]).count() == 1
    assert reserved(engine) == {}
    assert Attempt.objects.filter(kind="submit").count() == 1
