"""Limits: versioned rows per control, mode and scope; a change is a new version, never an edit."""

from __future__ import annotations

from decimal import Decimal

from django.db import transaction
from django.db.models import Max

from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.locking import one_at_a_time
from execution_project.common.money import plain_or_none
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from risk.models import Limit


def newest(control: str, mode: str, kind: str, key: str) -> Limit | None:
    """The version that counts."""
    return Limit.objects.filter(control=control, mode=mode, scope_kind=kind, scope_key=key).order_by("-version").first()


def tighten_or_set(control: str, mode: str, kind: str, key: str, value: Decimal, *, reason: str, by: Actor) -> Limit:
    """Set a limit that did not exist, or a lower one. Raises ``Problem`` (409) for a looser one: not by one person."""
    by.require(Right.CHANGE_LIMITS)
    with transaction.atomic():
        one_at_a_time(f"limit/{control}/{mode}/{kind}:{key}")
        before = newest(control, mode, kind, key)
        if before is not None and (before.value is None or value > before.value):
            raise Problem(409, "LOOSENING_NEEDS_APPROVAL", "A looser limit needs a second person's approval.")
        top = Limit.objects.filter(control=control, mode=mode, scope_kind=kind, scope_key=key).aggregate(
            top=Max("version")
        )["top"]
        row = Limit.objects.create(
            control=control,
            mode=mode,
            scope_kind=kind,
            scope_key=key,
            version=(top or 0) + 1,
            value=value,
            reason=reason,
            set_by=by.name,
            set_at=clock.now(),
        )
        record(
            "limit.set",
            "limit",
            f"{control}/{mode}/{kind}:{key}",
            by,
            evidence={"version": row.version, "value": plain_or_none(value), "reason": reason},
        )
    return row
