"""Statements as files: CSV for spreadsheets, JSON lines for programs; exact decimals as text, times in UTC."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from execution_project.common.clock import rfc3339
from execution_project.common.money import plain
from positions.statement_parts import Part, Row, Statement

FORMATS = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}
"""Format → media type."""
# What a spreadsheet would take for a formula, or for the end of a cell.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
Watch = Callable[[Sequence[Part]], Iterable[Part]]


def text_of(value: Any) -> str:
    """A cell: decimals exact and plain, times RFC 3339; texts that a spreadsheet would compute get an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return rfc3339(value)
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def lines_of(statement: Statement, form: str, *, watch: Watch = iter) -> Iterator[str]:
    """The file, in pieces that end with a line: header, rows, totals. ``form`` is a key of ``FORMATS``.

    ``watch`` hands the parts on one by one, for whoever wants to see how far it is.
    """
    parts = watch(cast("Sequence[Part]", statement))
    return _csv(statement, parts) if form == "csv" else _json(statement, parts)


def _csv(statement: Statement, parts: Iterable[Part]) -> Iterator[str]:
    """Lines that begin with # say what the statement is; the columns follow."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    for name, value in statement.header.items():
        writer.writerow([f"# {name}: {value}"])
    writer.writerow(statement.columns)
    for part in parts:
        for row in part:
            writer.writerow([text_of(row.get(column)) for column in statement.columns])
            if buffer.tell() > 65536:
                yield _taken(buffer)
        yield _taken(buffer)


def _taken(buffer: io.StringIO) -> str:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text


def _json(statement: Statement, parts: Iterable[Part]) -> Iterator[str]:
    """The header is the first document."""
    yield f"{json.dumps({'row': 'header', **statement.header}, ensure_ascii=False)}\n"
    for part in parts:
        for row in part:
            yield f"{json.dumps(_document(row), ensure_ascii=False)}\n"


def _document(row: Row) -> dict[str, Any]:
    return {name: value if isinstance(value, int) else _text(value) for name, value in row.items()}


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, Decimal):
        return plain(value)
    return rfc3339(value) if isinstance(value, datetime) else str(value)
