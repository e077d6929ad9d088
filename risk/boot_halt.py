"""The halt of a start: until the books are known to agree with the exchange again.

It is the engine's own and plain: it gives way to any other word on the scope, and lifting it gives back the state that
it found.
"""

from __future__ import annotations

from datetime import datetime

from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.locking import ordered
from execution_project.common.models import Event
from risk.intent import scope_name
from risk.models import State, TradingState
from risk.trading_state import next_gate_seq

BOOT = "engine:boot"
REASON = "reconciling after start"


def halt_for_boot(account: str, *, by: Actor) -> bool:
    """Halt the account unless it is halted already: then whoever did it decides when it goes on. Whether it did.

    The halt of a start that was not finished begins anew: what was compared before says nothing about now.
    """
    with ordered() as locks:
        locks.own_trading_state(scope_name("account", account))
        row = TradingState.objects.filter(scope_kind="account", scope_key=account).first()
        row = row or TradingState(scope_kind="account", scope_key=account, state=State.ACTIVE.value)
        if row.state == State.HALTED:
            if stands(row):
                row.changed_at = clock.now()
                row.save(update_fields=["changed_at"])
            return False
        before, row.state = row.state, State.HALTED.value
        row.last_halt_seq = next_gate_seq()
        row.reason, row.changed_by, row.changed_at = REASON, BOOT, clock.now()
        row.save()
        _record("trading.halted", account, by, before, row)
    return True


def lift_boot_halt(account: str, *, by: Actor) -> bool:
    """Give back the state before the start if nobody has had a word since; whether it did."""
    with ordered() as locks:
        locks.own_trading_state(scope_name("account", account))
        row = TradingState.objects.filter(scope_kind="account", scope_key=account).first()
        if row is None or not stands(row):
            return False
        found = (
            Event.objects.filter(
                kind="trading.halted", subject_type="scope", subject_id=scope_name("account", account), actor=BOOT
            )
            .order_by("-id")
            .values_list("from_status", flat=True)
            .first()
        )
        row.state = found if found in State.values and found != State.HALTED else State.ACTIVE.value
        row.reason, row.changed_by, row.changed_at = "reconciled after start", BOOT, clock.now()
        row.save()
        _record("trading.started", account, by, State.HALTED.value, row)
    return True


def stands(row: TradingState) -> bool:
    """Whether the halt of a start is the newest word on the scope."""
    return row.state == State.HALTED and not row.latched and row.changed_by == BOOT


def halted_for_boot_since(account: str) -> datetime | None:
    """When the account's start began, or None when its halt does not stand."""
    row = TradingState.objects.filter(scope_kind="account", scope_key=account).first()
    return row.changed_at if row is not None and stands(row) else None


def accounts_halted_for_boot() -> list[str]:
    """Names of the accounts whose start is not finished."""
    rows = TradingState.objects.filter(scope_kind="account", state=State.HALTED, latched=False, changed_by=BOOT)
    return list(rows.order_by("scope_key").values_list("scope_key", flat=True))


def _record(kind: str, account: str, by: Actor, before: str, row: TradingState) -> None:
    record(
        kind,
        "scope",
        scope_name("account", account),
        by,
        from_status=before,
        to_status=row.state,
        evidence={"reason": row.reason, "seq": row.last_halt_seq},
    )
