"""Recordings of a market: what its books, quotes and public trades were, compact enough for days of it.

A file is gzipped lines of JSON. The first is the header: format, exchange, mode, begin, and the pairs with their
filters. Each further line is ``[kind, ms since the line before, number of the pair, …]``:

- ``d``: levels of the book that changed, bids and asks, as ``[price, quantity]``, quantity 0 for a level that is gone
- ``q``: best bid and ask of a pair without a book, "" for an empty side
- ``t``: price, quantity and the side that took, of a public trade
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from exchanges.models import Depth, Instrument, PublicPrint, Quote
from exchanges.quotes import paper_twins
from execution_project.common import clock
from execution_project.common.money import plain

FORMAT = "market-recording/1"
Levels = tuple[tuple[Decimal, Decimal], ...]
_FACTS = (
    *("base_asset", "quote_asset", "status", "is_trading", "base_precision", "quote_precision"),
    *("order_types", "quote_quantity_allowed", "filters"),
)
_Sides = dict[str, str]


class Kind(StrEnum):
    """What a line tells of."""

    DEPTH = "d"
    QUOTE = "q"
    TRADE = "t"


class NotARecording(ValueError):
    """The file is none, or of a format that is not known; the text says where it fails."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a recording is of. ``instruments``: symbol to the fields of ``Instrument``."""

    exchange: str
    mode: str
    start: datetime
    instruments: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that the market showed; a book comes whole, best prices first."""

    kind: Kind
    at: datetime
    symbol: str
    bids: Levels = ()
    asks: Levels = ()
    price: Decimal = Decimal(0)
    quantity: Decimal = Decimal(0)
    aggressor: str = ""


class Writer:
    """Writes a recording; use it as a context."""

    def __init__(self, path: Path, header: Header) -> None:
        self._header = header
        self._numbers = {symbol: number for number, symbol in enumerate(sorted(header.instruments))}
        self._last_ms = clock.to_ms(header.start)
        self._books: dict[str, tuple[_Sides, _Sides]] = {}
        self._file: TextIO = gzip.open(path, "wt", encoding="utf-8")  # noqa: SIM115  closed by the context
        self.lines = 0
        document = {
            "format": FORMAT,
            "exchange": header.exchange,
            "mode": header.mode,
            "start_ms": self._last_ms,
            "instruments": header.instruments,
        }
        self._file.write(json.dumps(document, separators=(",", ":")) + "\n")

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, event: Event) -> None:
        """Append an event; a book that has not changed is left out. Events come in the order of their times."""
        if event.kind is Kind.DEPTH:
            before = self._books.get(event.symbol, ({}, {}))
            after = (_texts(event.bids), _texts(event.asks))
            changes = [_changes(old, new) for old, new in zip(before, after, strict=True)]
            self._books[event.symbol] = after
            if any(changes):
                self._line(event, *changes)
        elif event.kind is Kind.QUOTE:
            self._line(event, *(plain(side[0][0]) if side else "" for side in (event.bids, event.asks)))
        else:
            self._line(event, plain(event.price), plain(event.quantity), event.aggressor)

    def _line(self, event: Event, *rest: Any) -> None:
        at_ms = max(clock.to_ms(event.at), self._last_ms)
        row = [event.kind.value, at_ms - self._last_ms, self._numbers[event.symbol], *rest]
        self._last_ms = at_ms
        self._file.write(json.dumps(row, separators=(",", ":")) + "\n")
        self.lines += 1


def _texts(levels: Levels) -> _Sides:
    return {plain(price): plain(quantity) for price, quantity in levels}


def _changes(before: _Sides, after: _Sides) -> list[list[str]]:
    changed = [[price, quantity] for price, quantity in after.items() if before.get(price) != quantity]
    return changed + [[price, "0"] for price in before if price not in after]


def read(path: Path) -> tuple[Header, Iterator[Event]]:
    """The header, and the events one by one. Raises ``NotARecording``, also while reading, and ``OSError``."""
    lines = _lines(path)
    try:
        document = json.loads(next(lines))
        if document["format"] != FORMAT:
            raise NotARecording(f"{path}: format {document['format']!r}; this reads {FORMAT}.")
        header = Header(
            document["exchange"], document["mode"], clock.from_ms(document["start_ms"]), document["instruments"]
        )
    except (StopIteration, ValueError, KeyError, TypeError) as error:
        if isinstance(error, NotARecording):
            raise
        raise NotARecording(f"{path} is no recording of a market: its first line is no header.") from error
    return header, _events(path, header, lines)


def _lines(path: Path) -> Iterator[str]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            yield from file
    except (gzip.BadGzipFile, EOFError, UnicodeDecodeError) as error:
        raise NotARecording(f"{path} is cut off or no recording: {error}.") from error


def _events(path: Path, header: Header, lines: Iterator[str]) -> Iterator[Event]:
    symbols = sorted(header.instruments)
    books: dict[str, tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]] = {}
    at_ms = clock.to_ms(header.start)
    for number, line in enumerate(lines, 2):
        try:
            kind, passed, which, *rest = json.loads(line)
            at_ms += passed
            symbol, at = symbols[which], clock.from_ms(at_ms)
            if kind == Kind.DEPTH:
                sides = books.setdefault(symbol, ({}, {}))
                for side, changes in zip(sides, rest, strict=True):
                    _apply(side, changes)
                yield Event(Kind.DEPTH, at, symbol, _sorted(sides[0], best_is_high=True), _sorted(sides[1]))
            elif kind == Kind.QUOTE:
                bids, asks = (((Decimal(text), Decimal(0)),) if text else () for text in rest)
                yield Event(Kind.QUOTE, at, symbol, bids, asks)
            else:
                price, quantity, aggressor = rest
                yield Event(
                    Kind(kind), at, symbol, price=Decimal(price), quantity=Decimal(quantity), aggressor=aggressor
                )
        except (ValueError, ArithmeticError, IndexError, TypeError) as error:
            raise NotARecording(f"{path}: line {number} cannot be read.") from error


def _apply(side: dict[Decimal, Decimal], changes: Sequence[Sequence[str]]) -> None:
    for price, quantity in changes:
        if Decimal(quantity):
            side[Decimal(price)] = Decimal(quantity)
        else:
            side.pop(Decimal(price), None)


def _sorted(side: dict[Decimal, Decimal], *, best_is_high: bool = False) -> Levels:
    return tuple(sorted(side.items(), reverse=best_is_high))


@dataclass(slots=True)
class Recorder:
    """Copies what the engine keeps of a market into a recording, as often as ``look`` is called."""

    writer: Writer
    instruments: Sequence[Instrument]
    counts: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))
    _depths: dict[int, datetime] = field(default_factory=dict)
    _quotes: dict[int, tuple[Decimal | None, Decimal | None]] = field(default_factory=dict)
    _last_print: int | None = None

    def look(self) -> None:
        """Write what is new since the last look, in the order in which it happened."""
        by_id = {row.pk: row.symbol for row in self.instruments}
        found = [*self._new_depths(by_id), *self._new_prints(by_id)]
        with_books = set(self._depths)
        found += self._new_quotes({pk: symbol for pk, symbol in by_id.items() if pk not in with_books})
        for event in sorted(found, key=lambda event: event.at):
            self.writer.write(event)
            self.counts[event.kind] += 1

    def _new_depths(self, by_id: dict[int, str]) -> Iterator[Event]:
        for row in Depth.objects.filter(instrument__in=by_id):
            if self._depths.get(row.pk) != row.confirmed_at:
                self._depths[row.pk] = row.confirmed_at
                bids, asks = (
                    tuple((Decimal(price), Decimal(size)) for price, size in side) for side in (row.bids, row.asks)
                )
                yield Event(Kind.DEPTH, row.confirmed_at, by_id[row.pk], bids, asks)

    def _new_quotes(self, by_id: dict[int, str]) -> Iterator[Event]:
        for row in Quote.objects.filter(instrument__in=by_id):
            if self._quotes.get(row.pk) != (row.bid, row.ask):
                self._quotes[row.pk] = (row.bid, row.ask)
                bids, asks = (((price, Decimal(0)),) if price is not None else () for price in (row.bid, row.ask))
                yield Event(Kind.QUOTE, row.confirmed_at, by_id[row.pk], bids, asks)

    def _new_prints(self, by_id: dict[int, str]) -> Iterator[Event]:
        twins = {paper: by_id[source] for source, paper in paper_twins(list(by_id)).items()}
        twins |= {row.pk: row.symbol for row in self.instruments if row.mode == "paper"}
        rows = PublicPrint.objects.filter(instrument__in=twins).order_by("id")
        if self._last_print is None:
            newest = rows.last()
            self._last_print = newest.pk if newest is not None else 0
            return
        for row in rows.filter(id__gt=self._last_print):
            self._last_print = row.pk
            yield Event(
                Kind.TRADE,
                row.traded_at,
                twins[row.instrument_id],
                price=row.price,
                quantity=row.quantity,
                aggressor=row.aggressor,
            )


def header_of(exchange: str, mode: str, instruments: Sequence[Instrument]) -> Header:
    """The header of a recording of these pairs that begins now."""
    facts = {row.symbol: {name: getattr(row, name) for name in _FACTS} for row in instruments}
    return Header(exchange, mode, clock.now(), facts)
