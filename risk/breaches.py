"""Decisions that broke limits: denied, or let pass by a limit that warns or only watches."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from execution_project.common.ids import first_uuid7_of
from risk.controls.result import ControlOutcome
from risk.models import Decision

BROKEN = (ControlOutcome.BREACH, ControlOutcome.WARNED, ControlOutcome.SHADOWED)
LOOKED_AT = 5000
"""Decisions that one search looks at: their results are in no index."""
_APART = timedelta(minutes=1)
"""By how much the time in a decision's id and the time it was decided at may differ."""


def walked(outcomes: Sequence[str], since: datetime | None, until: datetime | None) -> QuerySet[Decision]:
    """What a search goes through by id, newest first: the denied ones have an index of their own."""
    rows = Decision.objects.all()
    if list(outcomes) == [ControlOutcome.BREACH]:
        rows = rows.filter(accepted=False)
    if since is not None:
        rows = rows.filter(id__gte=first_uuid7_of(since - _APART))
    if until is not None:
        rows = rows.filter(id__lt=first_uuid7_of(until + _APART))
    return rows


def broken(outcomes: Sequence[str], control: str | None, scope: str | None) -> Q:
    """Decisions in which one and the same control broke: with one of these outcomes, by this name, at this scope."""
    found = Q()
    for outcome in outcomes:
        result: dict[str, Any] = {"outcome": str(outcome)}
        if control is not None:
            result["control"] = control
        if scope is not None:
            result["inputs"] = {"limit_scope": scope}
        found |= Q(results__contains=[result])
    return found


def results_of(
    decision: Decision, outcomes: Sequence[str], control: str | None = None, scope: str | None = None
) -> list[dict[str, Any]]:
    """The results in a decision that ``broken`` finds it by."""
    return [
        result
        for result in decision.results
        if result["outcome"] in outcomes
        and control in {None, result["control"]}
        and scope in {None, result["inputs"].get("limit_scope")}
    ]
