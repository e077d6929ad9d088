"""What a new value of a limit would have done: over the decisions that are stored, without asking the gate anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from exchanges.models import Instrument
from execution_project.common import clock
from execution_project.common.money import parse_decimal
from risk.controls.catalogue import CATALOGUE
from risk.intent import scope_name
from risk.models import Decision, LimitScopeKind
from risk.usage import OF_ONE_ORDER

CHUNK = 500


@dataclass(frozen=True, slots=True)
class WouldDeny:
    """An accepted order or replace that the value would have denied, with what was observed then."""

    decision_id: UUID
    order_id: UUID
    observed: Decimal


@dataclass(slots=True)
class Rehearsal:
    """How the value would have fared. ``unknown``: decisions that did not record what the limit looks at, because no
    such limit was set where it was looked for, or no price told."""

    looked_at: int = 0
    passed_over: int = 0
    unknown: int = 0
    would_deny: list[WouldDeny] = field(default_factory=list)


def rehearse(
    control: str, mode: str, kind: str, key: str, value: Decimal, days: int, *, most: int | None = None
) -> Rehearsal:
    """Hold a value against every accepted decision of a scope in the last ``days`` days, oldest first.

    ``most``: no more than so many, the newest, for whoever waits for the answer.
    """
    found, scope = Rehearsal(), scope_name(kind, key)
    tighter_is_higher = CATALOGUE[control].higher_is_tighter
    for decision in _decisions(mode, kind, key, days, most):
        found.looked_at += 1
        result = next((each for each in decision.results if each["control"] == control), None)
        if result is not None and result["outcome"] == "not_applicable":
            found.passed_over += 1
            continue
        observed = _observed(decision, result, control, scope)
        if observed is None:
            found.unknown += 1
        elif observed <= value if tighter_is_higher else observed > value:
            found.would_deny.append(WouldDeny(decision.id, decision.order_id, observed))
    return found


def _decisions(mode: str, kind: str, key: str, days: int, most: int | None) -> Iterator[Decision]:
    rows = Decision.objects.filter(mode=mode, accepted=True, decided_at__gt=clock.now() - timedelta(days=days))
    if kind == LimitScopeKind.ASSET:
        rows = rows.filter(symbol__in=Instrument.objects.filter(mode=mode, base_asset=key).values("symbol"))
    elif kind != LimitScopeKind.GLOBAL:
        rows = rows.filter(**{{LimitScopeKind.ACCOUNT.value: "account_name"}.get(kind, kind): key})
    if most is not None:
        return reversed(rows.order_by("-decided_at")[:most])
    return rows.order_by("decided_at").iterator(chunk_size=CHUNK)


def _observed(decision: Decision, result: dict[str, Any] | None, control: str, scope: str) -> Decimal | None:
    """What the limit looked at: as recorded for this scope, or for any where it looks at one order alone."""
    if result is not None:
        at_scope = result["inputs"].get("limits", {}).get(scope, {}).get("observed")
        text = at_scope or (result["observed"] if control in OF_ONE_ORDER else None)
        if text is not None:
            return parse_decimal(text)
    if control == "max_order_notional" and decision.kind == "order":
        notional: Decimal | None = decision.notional
        return notional
    return None
