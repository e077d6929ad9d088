"""What a statement is made of: what was asked for, its header and columns, and parts of rows read one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from exchanges.models import Account

PAGE = 1000
# A download may be slow and a sort long, but a forgotten one must not hold back the database's cleaning for ever.
LONGEST_WAIT = "10min"

Row = Mapping[str, Any]
"""Column → text, decimal, time, number, or None for what does not belong or is not known."""
Part = Iterator[Row]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for: facts that happened in [start, end), of these accounts (all when None), in UTC."""

    kind: str
    start: datetime | None = None
    end: datetime | None = None
    accounts: tuple[str, ...] | None = None
    method: str = "average"


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that waits to be read; ``len`` says how many parts there are about to be, for a bar."""

    wanted: Wanted
    end: datetime
    header: Mapping[str, str]
    columns: tuple[str, ...]
    accounts: tuple[Account, ...]
    count_parts: Callable[[Statement], int]
    read: Callable[[Statement], Iterator[Part]]

    def __len__(self) -> int:
        return self.count_parts(self)

    def __iter__(self) -> Iterator[Part]:
        """The parts; each has to be read before the next is asked for."""
        with _one_picture():
            yield from self.read(self)


def period(statement: Statement, column: str) -> dict[str, Any]:
    """The lookups of a statement's accounts and period."""
    lookups: dict[str, Any] = {"account__in": statement.accounts, f"{column}__lt": statement.end}
    if statement.wanted.start is not None:
        lookups[f"{column}__gte"] = statement.wanted.start
    return lookups


def last_moment(statement: Statement) -> datetime:
    """The latest time that is in the statement's period."""
    return statement.end - timedelta(microseconds=1)


@contextmanager
def _one_picture() -> Iterator[None]:
    """One picture of the database for all that is read within."""
    outermost = not connection.in_atomic_block
    with transaction.atomic():
        with connection.cursor() as cursor:
            if outermost:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute(f"SET LOCAL statement_timeout = '{LONGEST_WAIT}'")
            cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{LONGEST_WAIT}'")
        yield
