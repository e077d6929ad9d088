"""Stamps that strictly increase per API key, over all threads, processes and hosts of this database.

BTCTurk takes the time of a call as its nonce and may refuse one that it has seen before (docs/btcturk.md §1). Two
processes that read their own clocks would sooner or later send the same millisecond.
"""

from __future__ import annotations

import hashlib

from django.db import connection

MAX_AHEAD_MS = 3000
"""How far a stamp may run ahead of the time; the exchange refuses it at 5000 (docs/btcturk.md §1)."""
REFUSED_AHEAD_MS = 10_000
"""A stamp that far ahead was refused by the exchange for certain, whatever we know of its clock: it used up nothing."""


class StampAhead(Exception):
    """The key's sequence is so far ahead of the time that the exchange would refuse the stamp; nothing may be sent.

    It means that some process has stamped with a clock that was ahead; the sequence is right again once time has
    caught up with it.
    """


def key_identity(public_key: str) -> str:
    """What stands for an API key in the database: its SHA-256 in hex."""
    return hashlib.sha256(public_key.encode()).hexdigest()


def next_stamp_ms(key_identity: str, now_ms: int) -> int:
    """``now_ms`` (exchange time), or one more than the key's last stamp if that is later. Raises ``StampAhead``.

    A sequence that a wrong clock has carried beyond ``REFUSED_AHEAD_MS`` begins again at ``now_ms``: the key's calls,
    cancels among them, must not wait for that time to come.

    One statement. Inside a transaction the key's row stays locked until its end, and every other caller waits for it;
    take the stamp before the transaction begins.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO exchanges_stampsequence AS known (key_identity, last_stamp_ms) VALUES (%s, %s)"
            " ON CONFLICT (key_identity) DO UPDATE"
            " SET last_stamp_ms = CASE WHEN known.last_stamp_ms > excluded.last_stamp_ms + %s"
            " THEN excluded.last_stamp_ms ELSE greatest(known.last_stamp_ms + 1, excluded.last_stamp_ms) END"
            " RETURNING last_stamp_ms",
            [key_identity, now_ms, REFUSED_AHEAD_MS],
        )
        stamp_ms = int(cursor.fetchone()[0])
    if stamp_ms - now_ms > MAX_AHEAD_MS:
        raise StampAhead(f"the key's stamps are {stamp_ms - now_ms} ms ahead of the exchange's time")
    return stamp_ms
