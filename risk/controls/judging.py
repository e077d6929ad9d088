"""How a limit is applied: every scope's row is checked, what blocks outranks what warns, the tightest is reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from execution_project.common.money import plain_or_none
from risk.controls.catalogue import CATALOGUE
from risk.controls.result import ControlOutcome, ControlResult
from risk.inputs import GateInputs, LimitVersion

_OUTCOMES = {
    "BLOCK": ControlOutcome.BREACH,
    "WARN": ControlOutcome.WARNED,
    "SHADOW": ControlOutcome.SHADOWED,
}


@dataclass(frozen=True, slots=True)
class Observation:
    """What one limit looks at: the value now (None: not known, which counts as broken), and how to say it."""

    value: Decimal | None
    code: str
    detail: str
    seen: dict[str, Any] = field(default_factory=dict)


def cap(value: Decimal | None, limit: Decimal) -> bool:
    """``value ≤ limit`` passes; what is not known does not."""
    return value is None or value > limit


def passed_over(inputs: GateInputs, name: str, reason: str) -> ControlResult:
    """The limit has nothing to say about this order."""
    return ControlResult(CATALOGUE[name].number, name, ControlOutcome.NOT_APPLICABLE, detail=reason)


def judge(
    inputs: GateInputs,
    name: str,
    observe: Callable[[LimitVersion], Observation],
    *,
    broken_by: Callable[[Decimal | None, Decimal], bool] = cap,
    relevant: Callable[[LimitVersion], bool] | None = None,
) -> ControlResult:
    """Check every limit of this name against what it looks at.

    ``broken_by``: whether a value breaks a limit. ``relevant``: whether a scope's row concerns this order at all.
    """
    spec = CATALOGUE[name]
    if inputs.is_reducing and not spec.reducing:
        return passed_over(inputs, name, "The order reduces exposure.")
    limits = [limit for limit in inputs.limits if limit.control == name and limit.value is not None]
    for kind in spec.mandatory:
        if not any(limit.scope.startswith(f"{kind}:") for limit in limits):
            seen = {limit.scope: {"version": limit.version, "value": plain_or_none(limit.value)} for limit in limits}
            where = f"{kind} {getattr(inputs.intent, kind)}"
            detail = f"No {name} limit is set for {where} in mode {inputs.intent.mode}."
            return ControlResult(spec.number, name, ControlOutcome.BREACH, "LIMIT_NOT_SET", detail, inputs=seen)
    if relevant is not None:
        limits = [limit for limit in limits if relevant(limit)]
    if not limits:
        return ControlResult(spec.number, name, ControlOutcome.NOT_SET)
    checked = [(limit, observe(limit)) for limit in limits]
    return _worst(name, checked, broken_by)


def _worst(
    name: str,
    checked: list[tuple[LimitVersion, Observation]],
    broken_by: Callable[[Decimal | None, Decimal], bool],
) -> ControlResult:
    spec = CATALOGUE[name]

    def room(pair: tuple[LimitVersion, Observation]) -> tuple[bool, Decimal]:
        limit, seen = pair
        bound = limit.value or Decimal(0)
        if seen.value is None:
            return False, bound if not spec.higher_is_tighter else -bound
        return True, (seen.value - bound) if spec.higher_is_tighter else (bound - seen.value)

    broken = [(limit, seen) for limit, seen in checked if broken_by(seen.value, limit.value or Decimal(0))]
    deciding, outcome = checked, ControlOutcome.PASS
    for enforcement in ("BLOCK", "WARN", "SHADOW"):
        of_kind = [pair for pair in broken if pair[0].enforcement == enforcement]
        if of_kind:
            deciding, outcome = of_kind, _OUTCOMES[enforcement]
            break
    limit, seen = min(deciding, key=room)
    quiet = outcome is ControlOutcome.PASS
    return ControlResult(
        spec.number,
        name,
        outcome,
        "" if quiet else seen.code,
        "" if quiet else seen.detail,
        observed=seen.value,
        limit=limit.value,
        inputs={
            "limits": {
                each.scope: {
                    "version": each.version,
                    "value": plain_or_none(each.value),
                    "enforcement": each.enforcement,
                    "observed": plain_or_none(looked.value),
                    **({} if each.whole is None else {"whole": plain_or_none(each.whole)}),
                }
                for each, looked in checked
            },
            "limit_scope": limit.scope,
            "limit_version": limit.version,
            "enforcement": limit.enforcement,
            **seen.seen,
        },
    )
