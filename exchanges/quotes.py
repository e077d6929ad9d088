"""Storing prices: polled quotes and streamed books meet here, and the later confirmation wins.

What comes from the market that feeds paper accounts (``EXEC_PAPER_MARKET``) is also theirs, with the same confirmation.
Rows are written in the order of their instruments, so that two writers never wait for each other in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from psycopg.types.json import Jsonb

from execution_project.common.money import plain

Levels = tuple[tuple[Decimal, Decimal], ...]

_QUOTES = """
INSERT INTO exchanges_quote AS known (instrument_id, bid, ask, confirmed_at) VALUES (%s, %s, %s, %s)
ON CONFLICT (instrument_id) DO UPDATE SET bid = excluded.bid, ask = excluded.ask, confirmed_at = excluded.confirmed_at,
(before_mid, before_at) = (
  SELECT CASE WHEN younger THEN (known.bid + known.ask) / 2 ELSE known.before_mid END,
         CASE WHEN younger THEN known.confirmed_at ELSE known.before_at END
    FROM (SELECT known.bid IS NOT NULL AND known.ask IS NOT NULL AND known.confirmed_at < excluded.confirmed_at
             AND (known.before_at IS NULL OR known.confirmed_at >= known.before_at + interval '1 second') AS younger) j)
WHERE known.confirmed_at <= excluded.confirmed_at
"""
_DEPTH = """
INSERT INTO exchanges_depth AS known (instrument_id, bids, asks, confirmed_at) VALUES (%s, %s, %s, %s)
ON CONFLICT (instrument_id) DO UPDATE SET bids = excluded.bids, asks = excluded.asks,
confirmed_at = excluded.confirmed_at WHERE known.confirmed_at <= excluded.confirmed_at
"""


_TWINS = """
SELECT source.id, paper.id FROM exchanges_instrument source
JOIN exchanges_instrument paper
  ON paper.exchange = source.exchange AND paper.symbol = source.symbol AND paper.mode = 'paper'
WHERE source.id = ANY(%s) AND source.mode = %s
"""


@dataclass(frozen=True, slots=True)
class Price:
    """Best bid and ask of an instrument (by id), None for an empty side, confirmed at (UTC)."""

    instrument_id: int
    bid: Decimal | None
    ask: Decimal | None
    confirmed_at: datetime


@dataclass(frozen=True, slots=True)
class Levels20:
    """The best levels of an instrument (by id), best first: (price, quantity)."""

    instrument_id: int
    bids: Levels
    asks: Levels
    confirmed_at: datetime


def store_quotes(prices: Iterable[Price]) -> None:
    """Write quotes; an instrument whose stored quote was confirmed later keeps it."""
    rows = [(p.instrument_id, p.bid, p.ask, p.confirmed_at) for p in prices]
    if rows:
        _write([(_QUOTES, _with_twins(rows, paper_twins([row[0] for row in rows])))])


def store_books(books: Iterable[Levels20]) -> None:
    """Write depth, and the quotes that its first levels are; of one instrument the later books after the earlier."""
    books = list(books)
    if not books:
        return
    twins = paper_twins([book.instrument_id for book in books])
    quotes = [
        (b.instrument_id, b.bids[0][0] if b.bids else None, b.asks[0][0] if b.asks else None, b.confirmed_at)
        for b in books
    ]
    depths = [(b.instrument_id, _json(b.bids), _json(b.asks), b.confirmed_at) for b in books]
    _write([(_QUOTES, _with_twins(quotes, twins)), (_DEPTH, _with_twins(depths, twins))])


def _with_twins(rows: list[tuple[Any, ...]], twins: dict[int, int]) -> list[tuple[Any, ...]]:
    """The same rows for the paper instruments that this market feeds, in the same write."""
    return rows + [(twins[row[0]], *row[1:]) for row in rows if row[0] in twins]


def paper_twins(instrument_ids: Sequence[int]) -> dict[int, int]:
    """Of these instruments (by id), those whose market feeds paper accounts, with the paper instrument of the pair."""
    if not instrument_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_TWINS, [list(instrument_ids), settings.EXEC_PAPER_MARKET])
        return dict(cursor.fetchall())


def _json(levels: Levels) -> Jsonb:
    return Jsonb([[plain(price), plain(quantity)] for price, quantity in levels])


def _write(statements: list[tuple[str, list[tuple[Any, ...]]]]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        for statement, rows in statements:
            rows.sort(key=lambda row: int(row[0]))
            cursor.executemany(statement, rows)
