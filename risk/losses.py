"""What was lost of each scope's equity, as the last complete valuation has it; nothing is valued anew here."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection

from execution_project.common import clock
from risk.facts import Losses
from risk.intent import scope_name

# A point is kept at least once a minute (positions.equity); with what may pass until it is read.
POINT_WITHIN = timedelta(minutes=3)

READ_LOSSES = """
SELECT e.mode, e.scope AS kind, coalesce(a.name, s.name, '') AS key, e.opening_nav IS NOT NULL AS begun,
       CASE WHEN e.last_equity IS NULL THEN p.at ELSE e.last_at END AS known_at,
       coalesce(p.confirmed OR e.at >= p.at, true) AS confirmed,
       p.equity::text, p.drawdown_trailing::text AS drawdown, p.drawdown_absolute::text AS drawdown_amount,
       p.daily_loss::text,
       (CASE WHEN (p.at AT TIME ZONE 'UTC')::date > e.day THEN e.equity ELSE e.day_equity END)::text AS opening
  FROM positions_equityseries e
  LEFT JOIN exchanges_account a ON a.id = e.account_id
  LEFT JOIN common_strategy s ON s.id = e.strategy_id
  LEFT JOIN LATERAL (
    SELECT q.at, q.confirmed, q.equity, q.drawdown_trailing, q.drawdown_absolute, q.daily_loss
      FROM positions_equitypoint q
     WHERE q.series_id = e.id AND q.equity IS NOT NULL AND q.at > %(points_since)s::timestamptz
     ORDER BY q.at DESC LIMIT 1) p ON true
 WHERE e.currency = %(currency)s AND e.mode = ANY(%(modes)s::text[])
   AND (%(owners)s::text[] IS NULL OR coalesce(a.name, s.name, '') = ANY(%(owners)s::text[]))
"""
"""Parameters: ``currency``; ``modes``; ``owners``, names of accounts and strategies, "" for global, null for all;
``points_since``."""


def losses_since(now: datetime) -> datetime:
    """From when on points of the series say how it stands now."""
    return now - POINT_WITHIN


def parsed_losses(rows: list[dict[str, Any]]) -> dict[tuple[str, str], Losses]:
    """Rows of ``READ_LOSSES`` by mode and scope."""
    found = {}
    for row in rows:
        scope = scope_name(row["kind"], row["key"])
        found[row["mode"], scope] = Losses(
            scope=scope,
            known_at=None if row["known_at"] is None else datetime.fromisoformat(row["known_at"]),
            begun=row["begun"],
            confirmed=row["confirmed"],
            **{
                name: None if row[name] is None else Decimal(row[name])
                for name in ("equity", "drawdown", "drawdown_amount", "daily_loss", "opening")
            },
        )
    return found


def losses_of(mode: str) -> tuple[Losses, ...]:
    """Of every scope of a mode that has a series."""
    parameters: dict[str, Any] = {
        "currency": settings.EXEC_REPORTING_CURRENCY,
        "modes": [mode],
        "owners": None,
        "points_since": losses_since(clock.now()),
    }
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT jsonb_agg(to_jsonb(x)) FROM ({READ_LOSSES}) x", parameters)  # noqa: S608  a constant
        rows = cursor.fetchone()[0]
    return tuple(parsed_losses(json.loads(rows, parse_float=Decimal) if rows else []).values())
