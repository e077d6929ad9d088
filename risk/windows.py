"""What was asked for and accepted within a window: whole quarters of an hour from their sums, the rest from the
decisions themselves.

A day of a busy desk has a hundred thousand decisions, and the gate counts under the exposure lock. Decisions never
change, so a quarter that is over is summed once, under the same lock: whoever decided within it has committed. Where
nothing was summed, everything is counted from the decisions, to the same result.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db import connection

from exchanges.models import Mode
from execution_project.common import clock
from execution_project.common.locking import ordered
from risk.controls.catalogue import CATALOGUE
from risk.models import DecisionSum, Exposure

QUARTER = timedelta(minutes=15)
"""Also in the statements below."""
SETTLED_AFTER = timedelta(minutes=1)
"""So long after its end a quarter is summed: no clock of the engine's machines is further off."""
REACH = max(spec.window for spec in CATALOGUE.values() if spec.window is not None) + QUARTER
AT_ONCE = timedelta(hours=1)
"""Decisions that one turn sums at most, so that the lock is not held for long after a standstill."""

COUNTED = """
  CROSS JOIN LATERAL (
    SELECT date_bin(interval '15 minutes', %(now)s::timestamptz - q.width, timestamptz 'epoch')
             + interval '15 minutes' AS whole,
           (SELECT e.summed_until FROM risk_exposure e WHERE e.mode = %(mode)s) AS until) f
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(p.value), 0) AS value, coalesce(sum(p.increasing), 0) AS increasing,
           coalesce(sum(p.reducing), 0) AS reducing
      FROM (
        SELECT CASE WHEN d.accepted THEN d.notional END AS value, (NOT d.reducing)::int AS increasing,
               d.reducing::int AS reducing, d.exchange, d.account_name, d.strategy, d.symbol
          FROM risk_decision d
         WHERE d.mode = %(mode)s AND d.decided_at > %(now)s::timestamptz - q.width AND d.decided_at < f.whole
        UNION ALL
        SELECT CASE WHEN d.accepted THEN d.notional END, (NOT d.reducing)::int,
               d.reducing::int, d.exchange, d.account_name, d.strategy, d.symbol
          FROM risk_decision d
         WHERE d.mode = %(mode)s AND d.decided_at >= greatest(f.whole, f.until)
        UNION ALL
        SELECT s.value, s.increasing, s.reducing, s.exchange, s.account_name, s.strategy, s.symbol
          FROM risk_decisionsum s
         WHERE s.mode = %(mode)s AND s.begins >= f.whole AND s.begins < f.until) p
     WHERE CASE q.scope_kind WHEN 'global' THEN true WHEN 'exchange' THEN p.exchange = q.scope_key
                WHEN 'account' THEN p.account_name = q.scope_key WHEN 'strategy' THEN p.strategy = q.scope_key
                WHEN 'symbol' THEN p.symbol = q.scope_key ELSE false END) n
"""
"""To be joined to ``q`` (``width``, ``scope_kind``, ``scope_key``): of the decisions in that scope younger than
``width`` the sum of accepted values, and how many increased and reduced exposure. Parameters ``mode`` and ``now``."""

_SUM = """
INSERT INTO risk_decisionsum (mode, begins, exchange, account_name, strategy, symbol, value, increasing, reducing)
SELECT mode, date_bin(interval '15 minutes', decided_at, timestamptz 'epoch'), exchange, account_name, strategy, symbol,
       coalesce(sum(notional) FILTER (WHERE accepted), 0), count(*) FILTER (WHERE NOT reducing),
       count(*) FILTER (WHERE reducing)
  FROM risk_decision
 WHERE mode = %(mode)s AND decided_at >= %(since)s AND decided_at < %(until)s
 GROUP BY 1, 2, 3, 4, 5, 6
"""


def whole_quarter(at: datetime) -> datetime:
    """When the quarter of an hour began in which ``at`` lies."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + (at - epoch) // QUARTER * QUARTER


def sum_quarters() -> int:
    """A tick: sum what is over, of every mode that decides, an hour's worth at most; returns how many modes had any."""
    due = whole_quarter(clock.now() - SETTLED_AFTER)
    behind = [row.pk for row in Exposure.objects.order_by("mode") if row.summed_until is None or row.summed_until < due]
    for mode in behind:
        _sum(Mode(mode), due)
    return len(behind)


def _sum(mode: Mode, due: datetime) -> None:
    """Of what was not summed while the engine stood still only what a window still reaches is made up for."""
    oldest = whole_quarter(due - REACH)
    with ordered() as locks:
        row = locks.exposure(Exposure, mode)
        since = oldest if row.summed_until is None else max(row.summed_until, oldest)
        until = min(due, since + AT_ONCE)
        if since >= until:
            return
        with connection.cursor() as cursor:
            cursor.execute(_SUM, {"mode": mode, "since": since, "until": until})
        DecisionSum.objects.filter(mode=mode, begins__lt=oldest).delete()
        row.summed_until = until
        row.save(update_fields=["summed_until"])
