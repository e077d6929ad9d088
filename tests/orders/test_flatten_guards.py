"""What a flatten's orders may, and for how long: never after its end, never beside a lift, never unattended."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import cast

import pytest

from exchanges.adapters import ExchangeAdapter
from execution_project.common import clock
from execution_project.common.installation import prefix
from orders import flattening
from orders.claiming import claim
from orders.flattening import flatten_step
from orders.kill_sweep import orders_of
from orders.killing import judge, kill, no_unknown_orders
from orders.models import Attempt, Command, Order
from risk.controls import trading_state
from risk.kill_episodes import what_keeps_it_latched
from risk.models import (
    Flatten,
    FlattenItem,
    FlattenState,
    FlattenStatus,
    KillEpisode,
    KillSweep,
    KillVerdict,
    State,
    TradingState,
)
from risk.trading_state import halt, next_gate_seq
from tests.factories import BY, whole_order
from tests.risk.gate_inputs import inputs, intent

pytestmark = pytest.mark.django_db
D = Decimal


def chunk_of_a_flatten(status: str = "open") -> tuple[Flatten, Order]:
    """A verified kill of one account with a flatten that runs, and its one chunk."""
    order = whole_order(side="SELL", status=status, valid_until=clock.now() + timedelta(minutes=1))
    halt("account", order.account.name, reason="x", by=BY, latched=True)
    episode = KillEpisode.objects.get()
    KillSweep.objects.create(
        episode=episode,
        account=order.account,
        counts_from_ms=1,
        empty_since=clock.now(),
        looked_at=clock.now(),
        verified_at=clock.now(),
    )
    KillEpisode.objects.update(verdict=KillVerdict.VERIFIED, killed_at=clock.now() - timedelta(minutes=5))
    flatten = Flatten.objects.create(
        episode=episode, confirmed_seq=next_gate_seq(), confirmed_by="x", confirmed_at=clock.now()
    )
    FlattenItem.objects.create(
        flatten=flatten,
        account=order.account,
        asset="BTC",
        symbol="BTCUSDT",
        quantity=D(1),
        left=D(1),
        chunks=1,
        moved_at=clock.now(),
    )
    Order.objects.filter(id=order.id).update(kill_id=episode.id, created_at=clock.now())
    return Flatten.objects.get(), Order.objects.get()


def end(flatten: Flatten) -> None:
    Flatten.objects.filter(id=flatten.id).update(status=FlattenStatus.NOT_FLAT, ended_at=clock.now())


def test_a_kill_spares_the_orders_of_its_flatten_while_it_runs_and_no_longer() -> None:
    flatten, order = chunk_of_a_flatten()
    episode = KillEpisode.objects.get()
    assert (list(orders_of(episode)), no_unknown_orders(episode)) == ([], [])
    end(flatten)
    assert list(orders_of(episode)) == [order]
    assert str(order.id) in no_unknown_orders(episode)[0]
    assert judge(episode).verdict != KillVerdict.VERIFIED


@pytest.mark.django_db(transaction=True)
def test_a_rest_is_not_given_up_while_its_chunk_lives() -> None:
    flatten, order = chunk_of_a_flatten()
    FlattenItem.objects.update(moved_at=clock.now() - flattening.GIVES_UP_AFTER * 2)
    flatten_step(flatten.id, order.account_id)
    assert FlattenItem.objects.get().state == FlattenState.SELLING
    assert Command.objects.get(kind="cancel").order_id == order.id
    Order.objects.update(status="canceled", ended_as="canceled")
    flatten_step(flatten.id, order.account_id)
    assert FlattenItem.objects.get().state == FlattenState.LEFT


@pytest.mark.parametrize("changes", [{"stage": State.REDUCE_ONLY}, {"ended_at": clock.now()}])
def test_a_flatten_of_a_kill_that_is_lifted_sells_nothing_more(changes: dict[str, object]) -> None:
    flatten, order = chunk_of_a_flatten()
    Order.objects.update(status="canceled", ended_as="canceled")
    KillEpisode.objects.update(**changes)
    flatten_step(flatten.id, order.account_id)
    item = FlattenItem.objects.get()
    assert (item.state, item.why) == (FlattenState.LEFT, "its kill is lifted")


def test_a_flatten_that_runs_keeps_its_kill_latched() -> None:
    flatten, _ = chunk_of_a_flatten("canceled")
    assert any("still runs" in said for said in what_keeps_it_latched(KillEpisode.objects.get()))
    end(flatten)
    assert not any("still runs" in said for said in what_keeps_it_latched(KillEpisode.objects.get()))


def test_the_gate_denies_what_belongs_to_a_flatten_that_is_over() -> None:
    result = trading_state.evaluate(inputs(order=intent(flatten_over=True)))
    assert result.code == "TRADING_HALTED"
    assert trading_state.evaluate(inputs()).code == ""


def test_the_claim_denies_it_too_though_nothing_is_halted_any_more() -> None:
    flatten, order = chunk_of_a_flatten("pending")
    row = order.exchange_orders.get()
    row.client_order_id = prefix() + row.client_order_id[2:]
    row.save()
    command = Command.objects.get(order=order)
    end(flatten)
    KillEpisode.objects.update(stage=State.ACTIVE, ended_at=clock.now())
    TradingState.objects.update(state=State.ACTIVE, latched=False, last_halt_seq=0)
    assert claim(command.id, cast(ExchangeAdapter, None), clock.now_ms(), None) is None
    ended = Order.objects.get(id=order.id)
    assert (ended.status, ended.reason) == ("denied", "TRADING_HALTED")
    assert "does not run" in ended.detail
    assert not Attempt.objects.exists()


def test_whoever_kills_again_has_it_proven_again() -> None:
    flatten, order = chunk_of_a_flatten("canceled")
    end(flatten)
    joined = kill("account", order.account.name, reason="again", by=BY)
    sweep = KillSweep.objects.get()
    assert (joined.episode.verdict, sweep.verified_at, sweep.empty_since) == (KillVerdict.SWEEPING, None, None)
    assert judge(joined.episode).verdict == KillVerdict.SWEEPING, "it has its time again"
    KillEpisode.objects.update(verdict=KillVerdict.KILL_INCOMPLETE)
    assert kill("account", order.account.name, reason="again", by=BY).episode.verdict == KillVerdict.KILL_INCOMPLETE
