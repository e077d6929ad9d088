"""The circuit of a symbol: the same refusal of the same request three times in a row stops it for a while.

What the exchange keeps refusing is a defect of whoever asks, and asking on costs the rate budget and the account's good
name. An open circuit closes by time or by a person; the next refusal of the same request opens it again, an acceptance
starts the count anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta

from django.db import connection, transaction

from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.rights import Right
from risk.models import Circuit

REFUSALS = 3
# Refusals further apart are not a loop.
IN_A_ROW = timedelta(minutes=10)
OPEN_FOR = timedelta(minutes=5)

_COUNT = """
INSERT INTO risk_circuit AS known (account_name, symbol, request_hash, request, code, refusals, refused_at)
VALUES (%(account)s, %(symbol)s, %(hash)s, %(request)s, %(code)s, 1, %(now)s)
ON CONFLICT (account_name, symbol, request_hash) DO UPDATE SET
  refusals = CASE WHEN known.code = excluded.code AND known.refused_at > %(since)s THEN known.refusals + 1 ELSE 1 END,
  code = excluded.code,
  refused_at = excluded.refused_at
RETURNING refusals
"""


def hash_of(request: Mapping[str, str | None]) -> str:
    """What makes two requests the same: SHA-256 of their fields."""
    return hashlib.sha256(json.dumps(dict(request), sort_keys=True).encode()).hexdigest()


def note_refusal(account: str, symbol: str, request: Mapping[str, str | None], code: str, *, by: Actor) -> bool:
    """Count the exchange's refusal of a request; whether the symbol's circuit is open by it."""
    now = clock.now()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            _COUNT,
            {
                "account": account,
                "symbol": symbol,
                "hash": hash_of(request),
                "request": json.dumps(dict(request)),
                "code": code[:64],
                "now": now,
                "since": now - IN_A_ROW,
            },
        )
        refusals = int(cursor.fetchone()[0])
        if refusals < REFUSALS:
            return False
        Circuit.objects.filter(account_name=account, symbol=symbol, request_hash=hash_of(request)).update(
            open_until=now + OPEN_FOR
        )
        evidence = {"code": code, "refusals": refusals, "request": dict(request)}
        record("circuit.opened", "circuit", f"{account}:{symbol}"[:64], by, evidence=evidence)
    return True


def note_acceptance(account: str, symbol: str, request: Mapping[str, str | None]) -> None:
    """The exchange took the request: what was counted against it is over."""
    Circuit.objects.filter(account_name=account, symbol=symbol, request_hash=hash_of(request)).delete()


def open_circuits(account: str, symbol: str) -> list[Circuit]:
    """The circuits that stop a symbol of an account now."""
    return list(Circuit.objects.filter(account_name=account, symbol=symbol, open_until__gt=clock.now()))


def close_circuit(account: str, symbol: str, *, reason: str, by: Actor) -> int:
    """Let a symbol trade again before its time and forget the count; returns how many circuits were open.

    Raises ``Problem`` (403) without the right to start trading.
    """
    by.require(Right.START)
    with transaction.atomic():
        closed, _ = Circuit.objects.filter(account_name=account, symbol=symbol, open_until__isnull=False).delete()
        if closed:
            evidence = {"reason": reason, "circuits": closed}
            record("circuit.closed", "circuit", f"{account}:{symbol}"[:64], by, evidence=evidence)
    return closed
