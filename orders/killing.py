"""The kill switch: a latched halt, then the end of everything in its scope is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Exists, OuterRef

from execution_project.common.actors import Actor, engine
from execution_project.common.problems import Problem
from orders.canceling import cancel_all, cancel_scope, working_orders
from orders.lifecycle import CommandStatus
from orders.models import Command, CommandKind
from risk.models import State, TradingState
from risk.trading_state import halt


@dataclass(frozen=True, slots=True)
class Killed:
    """The latched state, and how many orders were asked to end."""

    state: TradingState
    cancels_requested: int


def kill(scope_kind: str, scope_key: str, *, reason: str, by: Actor) -> Killed:
    """Latch the scope in a transaction of its own, then ask for the end of every order in it.

    Once the latch stands, nothing unclaimed goes out, whatever becomes of the cancels; those that a crash or a busy
    row left out are asked for by ``cancel_in_latched_scopes``. Raises ``Problem`` (403) without the right.
    """
    state = halt(scope_kind, scope_key, reason=reason, by=by, latched=True)
    try:
        asked = cancel_scope(scope_kind, scope_key, by=by, reason=reason)
    except Problem as problem:
        if problem.code != "CANCELS_INCOMPLETE":
            raise
        asked = problem.members["cancels_requested"]
    return Killed(state, asked)


def cancel_in_latched_scopes() -> int:
    """Ask for the end of every order that is left in a latched scope and has no cancel under way; returns how many.

    Rung by the ticker: a kill goes on although whoever began it died.
    """
    by = engine("killer", "latched scope")
    under_way = Command.objects.filter(
        order=OuterRef("pk"), kind=CommandKind.CANCEL, status__in=[CommandStatus.QUEUED, CommandStatus.CLAIMED]
    )
    asked = 0
    for row in TradingState.objects.filter(latched=True, state=State.HALTED).order_by("id"):
        orders = working_orders(row.scope_kind, row.scope_key).exclude(Exists(under_way))
        try:
            asked += len(cancel_all(orders, by=by, reason=row.reason))
        except Problem as problem:
            asked += problem.members["cancels_requested"]
    return asked
