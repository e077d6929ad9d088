"""Control 21, loss streak: after so many losing sales within an hour nothing increases for a while.

The one stop that a loss sets and time ends: it is a pause, no latch, and its length is a limit of its own (cool_down).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Count, Max, Q, Sum

from execution_project.common import clock
from execution_project.common.actors import Actor, engine
from positions.models import RealisedPnl
from risk.models import Limit, Pause
from risk.monitors.acting import Finding, act_on, limits_of, reached
from risk.pausing import last_pauses, length_of, pause

NUMBER = 21
LIMIT, LENGTH = "max_losing_closes_1h", "cool_down"
WINDOW = timedelta(hours=1)
UNSET_LENGTH = 900


@dataclass(frozen=True, slots=True)
class Close:
    """What one order's sales realised in the reporting currency, and when the last of them was."""

    mode: str
    account: str
    strategy: str
    at: datetime
    realised: Decimal


def evaluate(closes: Iterable[Close], now: datetime, limit: Decimal, since: datetime | None = None) -> tuple[int, bool]:
    """How many closes of ``(now − 1 h, now]`` realised less than nothing, and whether they are at least the limit.

    ``since``: the end of the last pause; what came until then has had its consequence.
    """
    begin = now - WINDOW if since is None else max(since, now - WINDOW)
    count = sum(close.realised < 0 and begin < close.at <= now for close in closes)
    return count, reached(count, limit)


def watch() -> int:
    """Pause every scope with a streak of losses; returns how many. The ticker calls it."""
    limits = limits_of(LIMIT, LENGTH)
    looked_at = [limit for limit in limits if limit.control == LIMIT]
    if not looked_at:
        return 0
    by = engine("monitor", LIMIT)
    return act_on(look(looked_at), of=(LIMIT,), by=by, block=lambda finding: _pause(finding, limits, by))


def look(limits: list[Limit]) -> list[Finding]:
    """What each limit sees in its scope."""
    now, paused, closes = clock.now(), last_pauses(LIMIT), recent_closes()
    findings = []
    for limit in limits:
        scope = (limit.scope_kind, limit.scope_key)
        last, value = paused.get((limit.mode, *scope)), limit.value or Decimal(0)
        count, broken = evaluate(
            [close for close in closes if _covers(limit, close)], now, value, None if last is None else last.until
        )
        reason = f"{count} sales within an hour realised a loss, {value.normalize():f} are the limit"
        findings.append(Finding(limit, scope, Decimal(count), broken, reason))
    return findings


def recent_closes() -> list[Close]:
    """Every order's sales of the last hour by what they realised; without those whose value is not known yet."""
    now = clock.now()
    rows = (
        RealisedPnl.objects.filter(at__gt=now - WINDOW, at__lte=now, role="base", fill__side="SELL")
        .values("account__mode", "account__name", "strategy__name", "fill__order_id", "fill__exchange_order_id")
        .annotate(last=Max("at"), total=Sum("realised"), pending=Count("pk", filter=Q(is_pending=True)))
        .order_by()
    )
    return [
        Close(row["account__mode"], row["account__name"], row["strategy__name"] or "", row["last"], row["total"])
        for row in rows
        if not row["pending"]
    ]


def _covers(limit: Limit, close: Close) -> bool:
    own = {"account": close.account, "strategy": close.strategy}
    return close.mode == limit.mode and limit.scope_key == own.get(limit.scope_kind)


def _pause(finding: Finding, limits: list[Limit], by: Actor) -> Pause | None:
    mode, (kind, key) = finding.limit.mode, finding.scope
    length = length_of(limits, LENGTH, mode, finding.scope, unset=UNSET_LENGTH)
    return pause(*(mode, kind, key), control=LIMIT, length=length, reason=finding.reason, evidence=finding.seen, by=by)
