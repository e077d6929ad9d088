"""Latches that monitors set: a scope takes only what reduces until two persons lift it (docs/risk-controls.md §1).

A monitor calls ``trip`` when its limit is met; nothing that it measures later lifts the latch. Before two persons may,
the machine asks the monitor again (``must_hold_to_lift_trip``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.locking import ordered
from risk.intent import scope_name
from risk.models import State, TradingState

Recheck = Callable[[str, str], list[str]]
_RECHECKS: dict[str, Recheck] = {}


def must_hold_to_lift_trip(*controls: str) -> Callable[[Recheck], Recheck]:
    """Register who says, for a scope's kind and key, what still speaks against lifting a trip of these controls."""

    def register(check: Recheck) -> Recheck:
        _RECHECKS.update(dict.fromkeys(controls, check))
        return check

    return register


def trip(kind: str, key: str, *, control: str, reason: str, evidence: dict[str, Any], by: Actor) -> TradingState | None:
    """Latch a scope to REDUCE_ONLY for a control; None when this control has tripped it already.

    A halted scope stays halted and becomes latched, so that one person's start does not pass over it. What increases
    exposure and works at the exchange is canceled by ``orders.tripped``.
    """
    name = scope_name(kind, key)
    with ordered() as locks:
        locks.own_trading_state(name)
        row = TradingState.objects.filter(scope_kind=kind, scope_key=key).first()
        row = row or TradingState(scope_kind=kind, scope_key=key, state=State.ACTIVE.value)
        if row.latched and control in controls_of(row):
            return None
        before = row.state
        if row.state != State.HALTED:
            row.state = State.REDUCE_ONLY.value
        row.latched = True
        row.tripped_by = ",".join(sorted({*controls_of(row), control}))
        row.reason, row.changed_by, row.changed_at = reason[:256], by.name, clock.now()
        row.save()
        record(
            "trading.tripped",
            "scope",
            name,
            by,
            from_status=before,
            to_status=row.state,
            evidence={"control": control, "reason": reason, **evidence},
        )
    return row


def controls_of(row: TradingState) -> list[str]:
    """The controls that have latched it."""
    return [name for name in row.tripped_by.split(",") if name]


def what_keeps_it_tripped(row: TradingState) -> list[str]:
    """What its monitors say against lifting it, in sentences."""
    wrong: list[str] = []
    for control in controls_of(row):
        if control in _RECHECKS:
            wrong += _RECHECKS[control](row.scope_kind, row.scope_key)
    return wrong
