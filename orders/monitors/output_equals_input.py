"""Holds what went out against what was decided, for live orders and those of the last minutes (control 25).

Orders that were found at the exchange are not looked at: they have breaks, and a policy (``foreign_orders``).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from django.db import connection

from execution_project.common import clock
from execution_project.common.actors import Actor, engine
from execution_project.common.ids import first_uuid7_of
from execution_project.common.money import plain_or_none
from risk.models import TradingState
from risk.monitors.output_equals_input import CONTROL, Sent, evaluate
from risk.tripping import controls_of, must_hold_to_lift_trip, trip

RECENT = timedelta(minutes=10)
"""Of what has ended: looked at every 15 s, an order is seen many times before it is old."""

_SENT = """
WITH looked_at AS (
  SELECT id FROM orders_order WHERE status NOT IN ('denied', 'rejected', 'settled')
  UNION SELECT id FROM orders_order WHERE id >= %(since)s
  UNION SELECT order_id FROM positions_fill WHERE id >= %(since)s AND order_id IS NOT NULL)
SELECT o.id, a.name, coalesce(o.quantity, o.quote_quantity),
       (SELECT max(c.new_quantity) FROM orders_command c JOIN risk_decision d ON d.id = c.decision_id
         WHERE c.order_id = o.id AND c.kind = 'replace' AND d.accepted),
       CASE WHEN o.quantity IS NULL AND e.booked_quantity > 0 THEN e.booked_quote / e.booked_quantity * greatest(
         (i.filters -> 'LOT_SIZE' ->> 'stepSize')::numeric, (i.filters -> 'MARKET_LOT_SIZE' ->> 'stepSize')::numeric, 0)
       ELSE 0 END, e.client_order_id,
       coalesce(CASE WHEN o.quantity IS NULL THEN e.quote_quantity ELSE e.quantity END, 0),
       CASE WHEN o.quantity IS NULL THEN e.booked_quote ELSE e.booked_quantity END,
       e.end_proof <> '', e.planned,
       EXISTS (SELECT 1 FROM risk_decision d WHERE d.id = o.decision_id AND d.order_id = o.id AND d.accepted)
       AND NOT EXISTS (
         SELECT 1 FROM orders_command c LEFT JOIN risk_decision d ON d.id = c.decision_id
          WHERE c.planned_id = e.id AND (d.id IS NULL OR d.order_id <> o.id OR NOT d.accepted))
  FROM looked_at l
  JOIN orders_order o ON o.id = l.id
  JOIN exchanges_account a ON a.id = o.account_id
  JOIN exchanges_instrument i ON i.id = o.instrument_id
  JOIN orders_exchangeorder e ON e.order_id = o.id
 WHERE o.origin = 'engine' AND (%(account)s::text IS NULL OR a.name = %(account)s::text)
 ORDER BY o.id, e.generation
"""


@dataclass(frozen=True, slots=True)
class Unexplained:
    """An order of an account that is not what was decided."""

    order_id: UUID
    account: str
    size: Decimal | None
    said: str


def watch() -> int:
    """Latch every account with an unexplained exchange order; returns how many. The ticker calls it."""
    found: dict[str, list[Unexplained]] = defaultdict(list)
    for row in look():
        found[row.account].append(row)
    if not found:
        return 0
    latched = TradingState.objects.filter(scope_kind="account", scope_key__in=found, latched=True)
    known = {row.scope_key for row in latched if CONTROL in controls_of(row)}
    by = engine("monitor", CONTROL)
    return sum(_latch(account, rows, by) for account, rows in found.items() if account not in known)


def look(account: str | None = None) -> list[Unexplained]:
    """Every order among the live and recent ones, of all accounts or this one, that is not explained. One statement."""
    with connection.cursor() as cursor:
        cursor.execute(_SENT, {"since": first_uuid7_of(clock.now() - RECENT), "account": account})
        rows = cursor.fetchall()
    orders: dict[UUID, tuple[str, Decimal | None, Decimal | None, list[Sent], list[Decimal]]] = {}
    for order_id, name, size, replaced, slack, *sent in rows:
        *_, sent_for_it, slacks = orders.setdefault(order_id, (name, size, replaced, [], []))
        sent_for_it.append(Sent(*sent))
        slacks.append(slack)
    found = []
    for order_id, (name, size, replaced, sent_for_it, slacks) in orders.items():
        largest = max(sent_for_it[0].size, replaced or sent_for_it[0].size)
        said = evaluate(size, largest, sent_for_it, max(slacks))
        if said is not None:
            found.append(Unexplained(order_id, name, size, said))
    return found


def _latch(account: str, rows: list[Unexplained], by: Actor) -> bool:
    first = rows[0]
    evidence = {
        "orders": [
            {"order": str(row.order_id), "size": plain_or_none(row.size), "said": row.said} for row in rows[:20]
        ],
        "count": len(rows),
    }
    reason = f"Order {first.order_id} is not explained: {first.said}."
    return trip("account", account, control=CONTROL, reason=reason, evidence=evidence, by=by) is not None


@must_hold_to_lift_trip(CONTROL)
def _still_unexplained(kind: str, key: str) -> list[str]:
    if kind != "account":
        return []
    return [f"Order {row.order_id} is not explained: {row.said}." for row in look(key)[:5]]
