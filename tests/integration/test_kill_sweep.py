"""The sweep of a kill on both exchanges: verified by the exchange's own evidence, or told what is not proven."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django_q.models import OrmQ

from exchanges.connections import adapter_for
from exchanges.host_clock import exchange_now_ms
from exchanges.models import HostClock
from execution_project.common import clock, fault_hooks
from execution_project.common.models import Chore, Event
from orders import killing
from orders.killing import kill, ring_sweeps
from orders.models import Attempt, Command, Order
from orders.sweeping import ring_due_commands
from risk.models import KillEpisode, KillSweep, TradingState
from risk.trading_state import halt
from tests.engines import BY, Engine, drain, holdings, make_engine
from tests.kills import kill_ticks, until_verified, verdict_of
from tests.regressions.rounds import CANCEL, fault, lift_faults, resting, rounds, status, working_at_exchange
from tests.simulators import Simulator
from tests.threads import workers
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e


@pytest.fixture(params=["binance", "btcturk"])
def venue(request: pytest.FixtureRequest, transactional_db: None, simulator: Simulator) -> Engine:
    """A seeded engine of each exchange in turn; bid 60000, ask 60010 on both."""
    simulator.call("POST", "/sim/btcturk", {"limits_on": False})
    return make_engine(simulator, exchange=request.param)


def foreign(engine: Engine, quantity: str = "0.02", price: str = "58000") -> None:
    """An order of another program with the same account."""
    at_binance = engine.account.exchange == "binance"
    body = {
        "account": engine.account.name,
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "quantity": quantity,
        "price": price,
        "client_order_id": "web-1",
        **({"time_in_force": "GTC"} if at_binance else {}),
    }
    engine.simulator.call("POST", "/sim/orders" if at_binance else "/sim/orders?exchange=btcturk", body)


def whats(episode: KillEpisode) -> set[str]:
    return {each["what"] for each in episode.unproven}


def test_a_kill_ends_ours_and_foreign_orders_and_says_verified_by_evidence(venue: Engine) -> None:
    mine = resting(venue)
    foreign(venue)
    assert len(working_at_exchange(venue)) == 2
    code, document = venue.request("POST", "kill", {"scope": "global", "reason": "a drill"})
    assert (code, document["cancels_requested"], document["kill"]["verdict"]) == (200, 1, "SWEEPING")
    episode = until_verified()
    assert working_at_exchange(venue) == []
    assert status(venue, mine) in {"canceled", "settled"}
    assert Order.objects.get(origin="external").ended_as == "canceled"
    sweep = KillSweep.objects.get()
    empty = [each for each in sweep.snapshots if each["working"] == 0]
    assert sweep.empty_since is not None and sweep.counts_from_ms is not None
    assert max(each["exchange_ms"] for each in empty) - min(each["exchange_ms"] for each in empty) >= 200
    assert all(each["exchange_ms"] >= sweep.counts_from_ms for each in empty[-2:])
    assert Event.objects.filter(kind="kill.verified", subject_id=str(episode.id)).count() == 1
    assert set(venue.simulator.call("GET", f"/sim/balances?account={venue.account.name}")) and all(
        Decimal(row["locked"]) == 0
        for row in venue.simulator.call("GET", f"/sim/balances?account={venue.account.name}").values()
    )


def test_fills_on_the_way_are_in_the_books_before_it_says_verified(venue: Engine) -> None:
    resting(venue, quantity="0.04", price="59000")
    kill("account", venue.account.name, reason="a drill", by=BY)
    venue.simulator.trade("BTCUSDT", "58999", "0.01", "SELL", venue.account.exchange)
    until_verified("account", venue.account.name)
    assert working_at_exchange(venue) == []
    assert holdings(venue) == venue.simulator.balances(venue.account.name)


def test_what_may_still_be_executed_keeps_it_from_verified_until_it_cannot(venue: Engine) -> None:
    """The answer to a placement is lost, and the exchange executes it after the kill."""
    fault(venue, "late_execution", ms=400)
    _, order = venue.limit("BUY", "0.03", "59000")
    drain()
    assert Attempt.objects.get().outcome == "unknown"
    kill("global", "", reason="a drill", by=BY)
    until_verified()
    assert working_at_exchange(venue) == []
    assert status(venue, order["id"]) in {"canceled", "settled", "rejected"}


def test_cancels_that_get_lost_make_it_incomplete_and_each_half_minute_it_is_told(
    venue: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = resting(venue)
    fault(venue, "drop_before", CANCEL, times=50)
    episode = kill("global", "", reason="a drill", by=BY).episode
    kill_ticks()
    assert verdict_of().verdict != "VERIFIED"
    begun = clock.now() - killing.VERIFY_WITHIN
    KillEpisode.objects.filter(id=episode.id).update(killed_at=begun, verdict_at=begun)
    kill_ticks(2)
    told = verdict_of()
    assert (told.verdict, whats(told)) == ("KILL_INCOMPLETE", {"works at the exchange", "not ended"})
    assert order_id in {each["subject"] for each in told.unproven}
    assert Event.objects.filter(kind="kill.kill_incomplete").count() == 1
    KillEpisode.objects.filter(id=episode.id).update(told_at=clock.now() - killing.TOLD_EVERY)
    kill_ticks()
    assert Event.objects.filter(kind="kill.kill_incomplete").count() == 2
    code, document = venue.request("GET", f"kills/{episode.id}")
    assert (code, document["verdict"]) == (200, "KILL_INCOMPLETE")
    assert document["unproven"] == verdict_of().unproven
    lift_faults(venue)
    until_verified()
    assert working_at_exchange(venue) == []


def test_an_exchange_that_does_not_answer_is_not_taken_for_empty(venue: Engine) -> None:
    reads = {"binance": "GET /api/v3/openOrders", "btcturk": "GET /api/v1/openOrders"}
    kill("global", "", reason="a drill", by=BY)
    fault(venue, "status", reads, times=50, status=503)
    kill_ticks(2)
    assert whats(verdict_of()) == {"not asked"}
    assert KillSweep.objects.get().empty_since is None
    lift_faults(venue)
    until_verified()


READS = {
    "binance": ("time", "openOrders", "order", "allOrders", "myTrades", "account"),
    "btcturk": (
        *("/api/v2/server/time", "/api/v1/openOrders", "/api/v1/order/{id}", "/api/v1/allOrders"),
        *("/api/v1/users/transactions/trade", "/api/v1/users/balances"),
    ),
}
HANGS_MS, AT_ONCE_MS = 5000, 3500


def test_with_every_read_hanging_the_cancels_of_a_kill_leave_at_once(venue: Engine) -> None:
    """Neither sweeps of other kills nor what is asked after each cancel stand before them, nor an old sample of the
    exchange's clock."""
    exchange = venue.account.exchange
    for number in range(4):
        venue.refresh()
        resting(venue, price=str(59000 - number))
    others = [make_engine(venue.simulator, exchange=exchange) for _ in range(2)]
    HostClock.objects.update(sampled_at="2020-01-01T00:00:00Z")
    for path in READS[exchange]:
        call = path if path.startswith("/") else f"/api/v3/{path}"
        venue.simulator.fault("delay", call=f"GET {call}", times=None, ms=HANGS_MS)
    with workers(*[f"cancel-{exchange}", f"probe-{exchange}"] * 2):
        for other in others:
            kill("account", other.account.name, reason="a drill", by=BY)
        wait_until(lambda: not OrmQ.objects.exists(), 10, "two sweeps to hang")
        killed_at = kill("account", venue.account.name, reason="a drill", by=BY).episode.killed_at

        def canceled() -> bool:
            ring_due_commands()  # what waits for its budget
            return working_at_exchange(venue) == []

        wait_until(canceled, 30, "nothing to work any more")
        lift_faults(venue)
    stamped = Attempt.objects.filter(kind="cancel").values_list("claimed_at", flat=True)
    took_ms = [round((at - killed_at).total_seconds() * 1000) for at in stamped]
    assert len(took_ms) >= 4
    assert max(took_ms) <= AT_ONCE_MS, f"ms: {sorted(took_ms)}"


@pytest.mark.parametrize("at", ["kill_ends_asked", "after_latch"])
def test_whoever_sweeps_may_die_and_the_next_goes_on(venue: Engine, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Died(BaseException):
        pass

    def die(point: str) -> None:
        if point == "kill_ends_asked":
            raise Died

    resting(venue)
    if at == "after_latch":
        halt("global", "", reason="a drill", by=BY, latched=True)
    else:
        kill("global", "", reason="a drill", by=BY)
        with monkeypatch.context() as patched:
            patched.setattr(fault_hooks, "reach", die)
            ring_sweeps()
            with pytest.raises(Died):
                drain("cancel")
    Chore.objects.update(finished_at=clock.now() + timedelta(seconds=1))
    until_verified()
    assert working_at_exchange(venue) == []


def test_a_second_kill_joins_and_is_proven_anew(venue: Engine) -> None:
    resting(venue)
    first = venue.request("POST", "kill", {"scope": "global", "reason": "a drill"})[1]
    until_verified()
    again = venue.request("POST", "kill", {"scope": "global", "reason": "a second hand"})[1]
    assert again["kill"]["id"] == first["kill"]["id"] and again["kill"]["joined"] == 1
    assert again["kill"]["verdict"] == "SWEEPING"
    until_verified()
    assert Command.objects.filter(kind="cancel").count() == 1
    assert Event.objects.get(kind="kill.joined").evidence["reason"] == "a second hand"


def test_an_order_that_another_program_places_after_verified_opens_the_kill_again(venue: Engine) -> None:
    kill("global", "", reason="a drill", by=BY)
    until_verified()
    foreign(venue)
    rounds()
    killing.cancel_in_latched_scopes()
    ring_sweeps()
    assert verdict_of().verdict != "VERIFIED"
    until_verified()
    assert working_at_exchange(venue) == []


def test_a_kill_of_one_symbol_leaves_the_others_alone(venue: Engine) -> None:
    mine = resting(venue)
    other = (
        venue.limit("BUY", "40", "39", symbol="USDTTRY")[1]
        if venue.account.exchange == "btcturk"
        else (venue.limit("BUY", "0.1", "2900", symbol="ETHUSDT")[1])
    )
    drain()
    kill("symbol", "BTCUSDT", reason="a drill", by=BY)
    until_verified("symbol", "BTCUSDT")
    assert status(venue, mine) in {"canceled", "settled"}
    assert status(venue, other["id"]) == "open"


def test_books_that_were_never_opened_do_not_keep_orders_alive(venue: Engine) -> None:
    """Foreign orders of an account that the engine does not trade on yet are canceled straight from the list."""
    foreign(venue)
    venue.account.books_opened_at = None
    venue.account.save()
    kill("account", venue.account.name, reason="a drill", by=BY)
    until_verified("account", venue.account.name)
    assert working_at_exchange(venue) == []
    event = Event.objects.get(kind="kill.canceled_at_once")
    assert event.evidence["outcome"] == "accepted"
    assert not Order.objects.exists()


def test_nothing_is_placed_or_replaced_in_a_killed_scope(venue: Engine) -> None:
    order_id = resting(venue)
    fault(venue, "drop_before", CANCEL, times=2)
    kill("global", "", reason="a drill", by=BY)
    assert venue.limit("BUY", "0.01", "59000")[0] == 422
    code, document = venue.request("PATCH", f"order/{order_id}", {"price": "58500"})
    assert code in {409, 422}, document
    until_verified()
    assert sum(venue.simulator.posted().values()) == 1
    assert TradingState.objects.get().state == "HALTED"
    assert adapter_for(venue.account).open_orders(None, now_ms=exchange_now_ms(venue.account)) == ()
