"""Ramp limits: after a live account was armed, and after a kill was lifted, money limits count in part for a time.

A ramp is a limit row of its own (``ramp``, control 28) of an account, or global, and usually expires.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal, localcontext

from django.conf import settings

from exchanges.models import Account
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.money import CONTEXT, round_down
from risk.controls.catalogue import BLOCK, CATALOGUE, OF_LOSS, RAMP
from risk.inputs import LimitVersion
from risk.limits import impose

MONEY = "reporting currency"
WHOLE = Decimal(1)


def ramps_of(rows: Iterable[tuple[str, str, Decimal | None, str]]) -> dict[str, Decimal]:
    """Fraction by scope, from (control, scope, value, enforcement) of limits that count."""
    return {
        scope: value
        for control, scope, value, enforcement in rows
        if control == RAMP and value is not None and enforcement == BLOCK
    }


def in_part(control: str, scope: str, value: Decimal, ramps: Mapping[str, Decimal]) -> Decimal:
    """What counts of a limit: of one in money the smallest fraction of its own scope's ramp and the global one, rounded
    down; any other whole, also one of losses, which is no cap that a start may fill again."""
    if CATALOGUE[control].unit != MONEY or control in OF_LOSS:
        return value
    with localcontext(CONTEXT):
        return round_down(value * min(WHOLE, ramps.get("global", WHOLE), ramps.get(scope, WHOLE)))


def ramped(limits: tuple[LimitVersion, ...]) -> tuple[LimitVersion, ...]:
    """The limits as they count, each with what was set as ``whole`` where that is more."""
    ramps = ramps_of((row.control, row.scope, row.value, row.enforcement) for row in limits)
    if not ramps:
        return limits
    return tuple(_ramped(row, ramps) for row in limits)


def _ramped(row: LimitVersion, ramps: Mapping[str, Decimal]) -> LimitVersion:
    if row.value is None or row.control not in CATALOGUE:
        return row
    value = in_part(row.control, row.scope, row.value, ramps)
    return row if value == row.value else replace(row, value=value, whole=row.value)


def begin_ramp(accounts: Iterable[Account], *, reason: str, by: Actor) -> None:
    """Set the ramp that the settings say for these accounts, never above one that counts; nothing at 100 per cent.

    The caller's transaction is that of the act by two persons that it belongs to.
    """
    if settings.EXEC_RAMP_PERCENT == 100:
        return
    value = Decimal(settings.EXEC_RAMP_PERCENT) / 100
    until = clock.now() + timedelta(hours=settings.EXEC_RAMP_HOURS)
    for account in sorted(accounts, key=lambda each: each.name):
        impose(RAMP, account.mode, "account", account.name, value, reason=reason, by=by, expires_at=until)


def what_a_ramp_does() -> list[str]:
    """What the settings make of money limits, in a sentence; none at 100 per cent."""
    if settings.EXEC_RAMP_PERCENT == 100:
        return []
    share, hours = settings.EXEC_RAMP_PERCENT, settings.EXEC_RAMP_HOURS
    return [f"Money limits of the accounts count {share} per cent for {hours} hours (ramp)."]
