"""The bar on every page: which money moves, whether trading goes on, what is unknown, who has banned us, and the kill
switch."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce

from exchanges.models import Account, HostPause, Mode
from exchanges.rate_budget import sentence_of
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.rights import Right
from orders.lifecycle import OrderStatus
from orders.models import Order
from risk.models import ScopeKind, State, TradingState

TONE_OF_MODE = {Mode.LIVE: "danger", Mode.SANDBOX: "warning", Mode.PAPER: "info"}
# What the partial index order_live leaves out; named so that the planner sees that it covers the question.
NOT_LIVE = (OrderStatus.DENIED, OrderStatus.REJECTED, OrderStatus.SETTLED)


@dataclass(frozen=True, slots=True)
class Bar:
    """What the bar shows; ``tone``s are danger, warning, info or good."""

    modes: list[tuple[str, str]]
    state: str
    state_tone: str
    restricted: int
    latched: int
    unknown: int
    bans: list[str]
    """A sentence for each, the one that lasts longest first."""
    may_kill: bool
    may_halt: bool
    may_start: bool
    global_halted: bool


def unknown_orders_of(account: str) -> Subquery:
    """Orders of the outer query's account (``account``: its field) whose outcome is not known."""
    rows = Order.objects.filter(account=OuterRef(account), status=OrderStatus.SUBMIT_UNKNOWN)
    return Subquery(
        rows.exclude(status__in=NOT_LIVE).order_by().values("account").annotate(number=Count("id")).values("number")
    )


def read_bar(by: Actor) -> Bar | None:
    """Three queries on small tables and a partial index; None for staff without sight of anything."""
    if Right.VIEW not in by.rights:
        return None
    accounts = Account.objects.annotate(unknown=Coalesce(unknown_orders_of("pk"), 0)).values_list("mode", "unknown")
    modes, unknown = set(), 0
    for mode, number in accounts:
        modes.add(mode)
        unknown += number
    states = list(TradingState.objects.exclude(state=State.ACTIVE))
    everywhere = next((row for row in states if row.scope_kind == ScopeKind.GLOBAL), None)
    bans = HostPause.objects.filter(banned=True, until__gt=clock.now()).order_by("-until")
    scoped = [row for row in states if row is not everywhere]
    state = State.ACTIVE.value if everywhere is None else everywhere.state
    return Bar(
        modes=[(mode.label.upper(), TONE_OF_MODE[mode]) for mode in Mode if mode in modes],
        state=state.replace("_", " "),
        state_tone={"ACTIVE": "good", "REDUCE_ONLY": "warning"}.get(state, "danger"),
        restricted=len(scoped),
        latched=sum(row.latched for row in states),
        unknown=unknown,
        bans=[sentence_of(row) for row in bans],
        may_kill=Right.KILL in by.rights,
        may_halt=Right.HALT in by.rights,
        may_start=Right.START in by.rights,
        global_halted=everywhere is not None,
    )
