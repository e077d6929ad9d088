"""Setting pauses: stops of what increases exposure that end by themselves, and by nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.clock import rfc3339
from execution_project.common.events import record
from execution_project.common.locking import one_at_a_time
from risk.intent import scope_name
from risk.models import Limit, Pause

LONGEST = timedelta(days=1)
"""What has to last longer is a latch, and takes two persons to lift."""


def pause(
    mode: str,
    kind: str,
    key: str,
    *,
    control: str,
    length: timedelta,
    reason: str,
    evidence: dict[str, Any],
    by: Actor,
) -> Pause | None:
    """Let a scope of a mode take only what reduces, for ``length`` from now, at most a day.

    None while a pause of this control stands there, and for no length: a pause is never drawn out.
    """
    now = clock.now()
    if length <= timedelta(0):
        return None
    with transaction.atomic():
        one_at_a_time(f"pause/{mode}/{scope_name(kind, key)}")
        if standing().filter(mode=mode, scope_kind=kind, scope_key=key, control=control).exists():
            return None
        row = Pause.objects.create(
            mode=mode,
            scope_kind=kind,
            scope_key=key,
            control=control,
            reason=reason[:256],
            evidence=evidence,
            began_at=now,
            until=now + min(length, LONGEST),
        )
        told = {"control": control, "mode": mode, "until": rfc3339(row.until), "reason": reason, **evidence}
        record("trading.paused", "scope", scope_name(kind, key), by, evidence=told)
    return row


def standing() -> QuerySet[Pause]:
    """The pauses that have not ended; at ``until`` one has."""
    return Pause.objects.filter(until__gt=clock.now())


def last_pauses(control: str) -> dict[tuple[str, str, str], Pause]:
    """Of the pauses of a control that stood within the last two days, the newest by mode, kind and key."""
    rows = Pause.objects.filter(control=control, until__gt=clock.now() - 2 * LONGEST)
    return {(row.mode, row.scope_kind, row.scope_key): row for row in rows.order_by("began_at", "id")}


def length_of(limits: Sequence[Limit], control: str, mode: str, *scopes: tuple[str, str], unset: int) -> timedelta:
    """The longest that the limits of this name say for these scopes, in seconds; ``unset`` where none does."""
    values = [
        limit.value
        for limit in limits
        if limit.value is not None
        and (limit.control, limit.mode) == (control, mode)
        and (limit.scope_kind, limit.scope_key) in {("global", ""), *scopes}
    ]
    seconds = max(values, default=Decimal(unset))
    whole = min(int(seconds * 1000), LONGEST // timedelta(milliseconds=1))
    return timedelta(milliseconds=whole)
