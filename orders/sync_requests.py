"""Asking for fresh facts from an exchange: rings the housekeeping chores of one account, now.

Nothing here talks to an exchange. The ticker rings the same chores in their own periods (``orders.sweeping``); one that
is under way already is not rung twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from django.db import transaction

from exchanges.models import Account
from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from orders.queues import ring_reading


class Fact(StrEnum):
    """What can be asked for. ``orders``: ours that work; ``reconciled_…``: compared with all that the exchange has."""

    INSTRUMENTS = "instruments"
    QUOTES = "quotes"
    BALANCES = "balances"
    CLOCK = "clock"
    ORDERS = "orders"
    RECONCILED_ORDERS = "reconciled_orders"
    RECONCILED_TRADES = "reconciled_trades"


@dataclass(frozen=True, slots=True)
class _Chore:
    task: str
    name: str

    def name_for(self, account: Account) -> str:
        return self.name.format(pk=account.pk, exchange=account.exchange, mode=account.mode)


_CHORES: dict[Fact, _Chore] = {
    Fact.INSTRUMENTS: _Chore("orders.tasks.refresh_instruments", "instruments:{exchange}:{mode}"),
    Fact.QUOTES: _Chore("orders.tasks.refresh_quotes", "quotes:{exchange}:{mode}"),
    Fact.BALANCES: _Chore("orders.tasks.refresh_balances", "balances:{pk}"),
    Fact.CLOCK: _Chore("orders.tasks.sample_clock", "clock:{pk}"),
    Fact.ORDERS: _Chore("orders.tasks.follow", "follow:{pk}"),
    Fact.RECONCILED_ORDERS: _Chore("orders.tasks.reconcile_orders", "reconcile-orders:{pk}"),
    Fact.RECONCILED_TRADES: _Chore("orders.tasks.reconcile_all_trades", "reconcile-all:{pk}"),
}
_OF_OPEN_BOOKS = frozenset({Fact.RECONCILED_ORDERS, Fact.RECONCILED_TRADES})


def facts_of(account: Account) -> list[Fact]:
    """What can be asked for this account; no reconciliation before its books are open."""
    return [fact for fact in Fact if account.books_opened_at is not None or fact not in _OF_OPEN_BOOKS]


def chore_names(account: Account) -> dict[Fact, str]:
    """The rows of ``Chore`` that tell how each fact of an account was last brought in."""
    return {fact: _CHORES[fact].name_for(account) for fact in facts_of(account)}


def request_sync(account: Account, facts: Sequence[Fact], *, reason: str, by: Actor) -> list[Fact]:
    """Ring for these facts; returns those that were rung, the others are being fetched already.

    Raises ``Problem``: 403 without the right, 400 for no facts, 409 for a reconciliation of books that are not open.
    """
    by.require(Right.SYNC)
    if not facts:
        raise Problem(400, "NOTHING_TO_SYNC", "Say what to fetch.")
    if missing := set(facts) - set(facts_of(account)):
        names = ", ".join(sorted(missing))
        raise Problem(409, "BOOKS_NOT_OPEN", f"The books of {account.name} are not open yet: no {names}.")
    rung = []
    with transaction.atomic():
        for fact in facts:
            chore = _CHORES[fact]
            if ring_reading(account.exchange, chore.name_for(account), chore.task, account.pk):
                rung.append(fact)
        evidence = {"facts": [fact.value for fact in facts], "rung": [fact.value for fact in rung], "reason": reason}
        record("account.sync_requested", "account", account.name, by, evidence=evidence)
    return rung
