"""Complaints about the kill switch, by number (docs/complaints.md)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from exchanges.models import Depth, Instrument
from execution_project.common import clock
from execution_project.common.approvals import consequences
from execution_project.common.models import Approval, Event
from orders.flattening import confirm_flatten, plan_flatten, ring_flattens
from orders.models import Order
from positions.models import Holding
from risk.kill_episodes import note_cause
from risk.models import Flatten, KillEpisode
from tests.engines import BY, Engine, holdings
from tests.kills import WHY, kill_ticks, lift_one_stage, until_verified
from tests.regressions.rounds import (
    CANCEL,
    assert_all_over,
    calls,
    fault,
    make_due,
    prints,
    resting,
    rounds,
    status,
    working_at_exchange,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e
D = Decimal


def fresh(engine: Engine) -> None:
    """Prices and a visible book of 10 BTC, as streams bring them."""
    engine.refresh()
    instrument = Instrument.objects.get(exchange=engine.account.exchange, symbol="BTCUSDT")
    values = {"bids": [["60000", "10"]], "asks": [["60010", "10"]], "confirmed_at": clock.now()}
    Depth.objects.update_or_create(instrument=instrument, defaults=values)


def flatten_until_over(engine: Engine) -> Flatten:
    """Go on until the flatten has its verdict."""

    def over() -> bool:
        fresh(engine)
        make_due()
        ring_flattens()
        kill_ticks()
        return not Flatten.objects.filter(status="RUNNING").exists()

    wait_until(over, 30, "the verdict of the flatten", every=0.2)
    return Flatten.objects.latest("id")


PAIR = {"scope": {"symbol": "BTCUSDT"}, "reason": "a drill"}


def test_complaint_19_what_is_halted_can_be_flattened(venue: Engine) -> None:
    """A halted engine refused the very orders that would have closed its positions."""
    assert venue.request("POST", "kill", PAIR)[0] == 200
    episode = until_verified("symbol", "BTCUSDT")
    assert venue.place(side="SELL", quantity="0.01")[0] == 422, "trading is halted"
    fresh(venue)
    plan = plan_flatten(episode)
    confirm_flatten(episode, confirm=plan.confirm, reason="flat before the weekend", by=BY)
    assert flatten_until_over(venue).status == "FLAT"
    assert "BTC" not in holdings(venue)
    assert set(Order.objects.filter(side="SELL", kill_id=episode.id).values_list("ended_as", flat=True)) <= {
        "filled",
        "canceled",
        "expired",
    }


def test_complaint_20_after_a_kill_nothing_trades_whatever_is_lost_on_the_way(venue: Engine) -> None:
    """A kill switch misfired: orders went on, others were placed, and nobody said so."""
    order_id = resting(venue)
    pending = venue.limit("BUY", "0.01", "58000")[1]["id"]
    fault(venue, "drop_before", CANCEL, times=2)
    code, document = venue.request("POST", "kill", {"scope": "global", "reason": "runaway"})
    assert (code, document["kill"]["verdict"]) == (200, "SWEEPING")
    assert status(venue, pending) == "canceled", "what was not sent never goes out"
    kill_ticks()
    assert venue.limit("BUY", "0.01", "59000")[0] == 422
    until_verified()
    assert working_at_exchange(venue) == []
    assert status(venue, order_id) in {"canceled", "settled"}
    assert sum(venue.simulator.posted().values()) == 1
    verdicts = Event.objects.filter(kind__in=["kill.verified", "kill.kill_incomplete"]).values_list("kind", flat=True)
    assert list(verdicts)[-1] == "kill.verified"


def test_complaint_34_a_flatten_ends_the_entries_first_and_sells_their_last_fills_too(venue: Engine) -> None:
    """The filled part of a slow buy was sold while the rest still worked, and filled later."""
    before = holdings(venue)["BTC"]
    resting(venue, quantity="0.03", price="59000")
    prints(venue, "58999", "0.01", "SELL")
    kill_id = venue.request("POST", "kill", PAIR)[1]["kill"]["id"]
    code, refused = venue.request("GET", f"kills/{kill_id}/flatten")
    assert (code, refused["code"]) == (409, "KILL_NOT_VERIFIED"), "not while an entry may still fill"
    episode = until_verified("symbol", "BTCUSDT")
    assert working_at_exchange(venue) == []
    held = holdings(venue)["BTC"]
    assert held > before and holdings(venue) == venue.simulator.balances(venue.account.name)
    fresh(venue)
    plan = plan_flatten(episode)
    assert sum((item.quantity for item in plan.items if item.asset == "BTC"), D(0)) == held
    confirm_flatten(episode, confirm=plan.confirm, reason="out", by=BY)
    assert flatten_until_over(venue).status in {"FLAT", "FLAT_BUT_DUST"}
    assert not Holding.objects.filter(asset="BTC", quantity__gt=D("0.0001")).exists()


def test_complaint_40_a_latch_is_not_lifted_before_its_cancels_have_done_their_work(venue: Engine) -> None:
    """An operator cleared the latch, and the cancel of an order that still lived was not repeated any more; the alert
    said "reset" and not what, why, and what it led to."""
    order_id = resting(venue)
    fault(venue, "drop_before", CANCEL, times=2)
    scope, name = {"account": venue.account.name}, venue.account.name
    assert venue.request("POST", "kill", {"scope": scope, "reason": "drawdown"})[0] == 200
    kill_ticks()
    assert len(working_at_exchange(venue)) == 1
    code, held = venue.request("POST", "start", {"scope": scope, "reason": WHY})
    assert (code, held["code"]) == (409, "LATCH_HELD")
    assert any("works at the exchange" in sentence for sentence in held["held_by"]), held["held_by"]
    assert any(order_id in sentence for sentence in held["held_by"])
    until_verified("account", name)
    assert calls(venue, CANCEL[venue.account.exchange]) >= 2, "the cancel was repeated"
    note_cause(KillEpisode.objects.get().id, "a strategy lost too much", by=BY)
    venue.refresh()
    code, proposed = venue.request("POST", "start", {"scope": scope, "reason": WHY})
    assert code == 202, proposed
    said = consequences(Approval.objects.get(id=proposed["approval"]["id"]))
    assert f"account:{name} takes orders again that only reduce exposure" in said[0]
    assert any("a strategy lost too much" in sentence for sentence in said)
    assert any(sentence.startswith("Not flat: ") and "BTC" in sentence for sentence in said)
    assert lift_one_stage("account", name).state == "REDUCE_ONLY"
    venue.refresh()
    assert lift_one_stage("account", name).state == "ACTIVE"
    venue.refresh()
    assert venue.limit("BUY", "0.01", "58000")[0] == 202, "trading goes on"
    rounds()
    venue.request("DELETE", f"orders?account={name}")
    wait_until(lambda: rounds() or not working_at_exchange(venue), 30, "the new one to end")
    rounds(2)
    assert_all_over(venue)
