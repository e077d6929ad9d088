"""Counts the entries of every strategy and latches a strategy that reaches its limit (control 16).

An entry is an order that the gate took as increasing and that filled. Counting begins with the account's books, and
anew when two persons lift a latch: for live of the strategy, otherwise of the account. A paper or sandbox account is
latched in the strategy's place, for a strategy's latch would stop its live orders.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection

from exchanges.models import Mode
from execution_project.common.actors import engine
from execution_project.common.ids import first_uuid7_of
from execution_project.common.models import Event
from positions.models import Position
from risk.intent import scope_name
from risk.models import Limit
from risk.monitors.acting import Finding, act_on, latching, limits_of
from risk.monitors.repeated_execution import LIMIT, evaluate

_COUNT = """
SELECT p.strategy_id, p.account_id, n.entries
  FROM unnest(%(strategies)s::bigint[], %(accounts)s::bigint[], %(since)s::uuid[], %(enough)s::bigint[])
       AS p(strategy_id, account_id, since, enough)
 CROSS JOIN LATERAL (
   SELECT count(*) AS entries
     FROM (SELECT 1
             FROM orders_order o JOIN risk_decision d ON d.id = o.decision_id
            WHERE o.strategy_id = p.strategy_id AND o.account_id = p.account_id AND o.id >= p.since
              AND o.filled_quantity > 0 AND NOT d.reducing
            LIMIT p.enough) counted) n
"""


@dataclass(frozen=True, slots=True)
class _Pair:
    """A strategy that has traded on an account."""

    strategy_id: int
    strategy: str
    account_id: int
    account: str
    mode: str
    books_opened_at: datetime

    @property
    def scope(self) -> tuple[str, str]:
        """What is latched for it, and whose lift begins the count anew."""
        return ("strategy", self.strategy) if self.mode == Mode.LIVE else ("account", self.account)


def watch() -> int:
    """Latch every strategy that reached its limit; returns how many scopes. The ticker calls it."""
    limits = limits_of(LIMIT)
    if not limits:
        return 0
    by = engine("monitor", LIMIT)
    return act_on(look(limits), of=(LIMIT,), by=by, block=latching(by))


def look(limits: list[Limit]) -> list[Finding]:
    """What each limit sees for each strategy in its scope, by what would be latched."""
    pairs = [pair for pair in _pairs({limit.mode for limit in limits}) if any(_covers(limit, pair) for limit in limits)]
    enough = max((limit.value for limit in limits if limit.value is not None), default=Decimal(1))
    counts = _counts(pairs, max(int(enough.to_integral_value(rounding="ROUND_UP")), 1))
    findings = []
    for limit in limits:
        entries: dict[tuple[tuple[str, str], str], int] = defaultdict(int)
        for pair in pairs:
            if _covers(limit, pair):
                entries[pair.scope, pair.strategy] += counts.get((pair.strategy_id, pair.account_id), 0)
        findings += [_finding(limit, scope, strategy, count) for (scope, strategy), count in entries.items()]
    return findings


def _finding(limit: Limit, scope: tuple[str, str], strategy: str, count: int) -> Finding:
    value = limit.value or Decimal(0)
    reason = f"{strategy} went in {count} times since its last re-arming, {value.normalize():f} are allowed."
    evidence = {"strategy": strategy, "entries": count}
    about = strategy if limit.scope_kind == "global" else ""
    return Finding(limit, scope, Decimal(count), evaluate(count, value), reason, evidence, about)


def _covers(limit: Limit, pair: _Pair) -> bool:
    return limit.mode == pair.mode and (limit.scope_kind == "global" or limit.scope_key == pair.strategy)


def _pairs(modes: Iterable[str]) -> list[_Pair]:
    rows = (
        Position.objects.filter(
            strategy__isnull=False, account__mode__in=list(modes), account__books_opened_at__isnull=False
        )
        .values_list(
            "strategy_id",
            "strategy__name",
            "account_id",
            "account__name",
            "account__mode",
            "account__books_opened_at",
        )
        .distinct()
    )
    return [
        _Pair(strategy_id, strategy, account_id, account, mode, opened)
        for strategy_id, strategy, account_id, account, mode, opened in rows
        if opened is not None
    ]


def _counts(pairs: list[_Pair], enough: int) -> dict[tuple[int, int], int]:
    """Entries of each pair since its count began; counting stops at ``enough``."""
    if not pairs:
        return {}
    lifted = _lifted_at({scope_name(*pair.scope) for pair in pairs})
    begun = [max(filter(None, [pair.books_opened_at, lifted.get(scope_name(*pair.scope))])) for pair in pairs]
    with connection.cursor() as cursor:
        cursor.execute(
            _COUNT,
            {
                "strategies": [pair.strategy_id for pair in pairs],
                "accounts": [pair.account_id for pair in pairs],
                "since": [first_uuid7_of(moment) for moment in begun],
                "enough": [enough] * len(pairs),
            },
        )
        return {(strategy, account): entries for strategy, account, entries in cursor.fetchall()}


def _lifted_at(scopes: Iterable[str]) -> dict[str, datetime]:
    """When two persons last lifted a latch of these scopes; what one person started does not count."""
    rows = (
        Event.objects.filter(
            subject_type="scope",
            subject_id__in=list(scopes),
            kind="trading.started",
            evidence__has_key="approval",
        )
        .order_by("subject_id", "-id")
        .distinct("subject_id")
    )
    return dict(rows.values_list("subject_id", "at"))
