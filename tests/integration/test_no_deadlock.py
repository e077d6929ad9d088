"""All flows that take locks, two at a time on the same orders: nobody waits for somebody who waits for him."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import OperationalError

from exchanges.reports import ReadFailed
from exchanges.syncing import sync_balances, sync_quotes
from execution_project.common.problems import Problem
from orders.canceling import cancel_scope, request_cancel
from orders.following import follow_account, settle_account
from orders.models import Command, Order
from orders.replacing import request_replace
from orders.sending import send_command
from orders.sweeping import (
    expire_stale_intents,
    recover_silent_claims,
    resume_answered_commands,
    ring_due_commands,
)
from risk.trading_state import halt, start
from tests.engines import BY, Engine
from tests.threads import run_together

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

TURNS = 4
Flow = Callable[[Engine, random.Random], Any]


def place(engine: Engine, chance: random.Random) -> None:
    """Place a few orders that rest."""
    for _ in range(3):
        engine.limit("BUY", "0.01", f"{chance.randint(50000, 59000)}.00")


def send(engine: Engine, chance: random.Random) -> None:
    """Carry out what is queued."""
    for command_id in Command.objects.filter(status="queued").order_by("-created_at").values_list("id", flat=True)[:4]:
        send_command(command_id)


def some_order(chance: random.Random) -> Order | None:
    """One of the newest, so that two flows meet at the same one."""
    newest = list(Order.objects.order_by("-id")[:4])
    return chance.choice(newest) if newest else None


def cancel(engine: Engine, chance: random.Random) -> None:
    """Ask for an end."""
    if order := some_order(chance):
        request_cancel(order.id, by=BY)


def replace(engine: Engine, chance: random.Random) -> None:
    """Ask for another price."""
    if order := some_order(chance):
        request_replace(order.id, quantity=None, price=Decimal(chance.randint(50000, 59000)), by=BY)


def halt_and_start(engine: Engine, chance: random.Random) -> None:
    """The account and everything, in turn."""
    for kind, key in (("account", engine.account.name), ("global", "")):
        halt(kind, key, reason="pairwise", by=BY)
        start(kind, key, reason="pairwise", by=BY)


def cancel_everything(engine: Engine, chance: random.Random) -> None:
    """As a kill does."""
    cancel_scope("account", engine.account.name, by=BY, reason="pairwise")


def follow(engine: Engine, chance: random.Random) -> None:
    """Trades of resting orders are booked, ended orders settled."""
    engine.simulator.trade("BTCUSDT", "50000.00", "0.02", "SELL")
    follow_account(engine.account)
    settle_account(engine.account)


def sweep(engine: Engine, chance: random.Random) -> None:
    """What the ticker does with orders."""
    for act in (ring_due_commands, expire_stale_intents, recover_silent_claims, resume_answered_commands):
        act()


def refresh(engine: Engine, chance: random.Random) -> None:
    """Quotes and balances."""
    sync_quotes(engine.account)
    sync_balances(engine.account)


FLOWS: dict[str, Flow] = {
    flow.__name__: flow
    for flow in (place, send, cancel, replace, halt_and_start, cancel_everything, follow, sweep, refresh)
}


def turns_of(name: str, engine: Engine, seed: str) -> Callable[[], list[str]]:
    """Several turns of a flow; returns what must never happen, in words."""
    chance = random.Random(seed)

    def run() -> list[str]:
        wrong = []
        for _ in range(TURNS):
            try:
                FLOWS[name](engine, chance)
            except (Problem, ReadFailed):
                continue  # refused in words, which is an answer
            except OperationalError as error:
                wrong.append(f"{name}: {error}")
        return wrong

    return run


def test_no_two_flows_block_each_other(engine: Engine) -> None:
    place(engine, random.Random(0))
    send(engine, random.Random(0))
    for first, second in itertools.combinations_with_replacement(FLOWS, 2):
        results = run_together(
            [turns_of(first, engine, f"{first}{second}1"), turns_of(second, engine, f"{first}{second}2")]
        )
        for result in results:
            assert not isinstance(result, Exception), f"{first} with {second}: {result!r}"
            assert result == [], f"{first} with {second}"
