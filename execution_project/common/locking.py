"""The one module that locks, and the one lock order.

idempotency row → order rows by id → holdings and positions by id → an account's breaks → trading state (both advisory
locks) → exposure row.

A transaction that locks is opened with ``ordered()``; taking a lock of an earlier rank than the last one raises
``LockOrderError`` at once, in development as in production: a deadlock that cannot be written needs no retry.
Row locks are FOR NO KEY UPDATE, so that foreign keys to the row are never held up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from enum import IntEnum
from typing import TypeVar
from uuid import UUID

from django.db import connection, models, transaction

from execution_project.common.models import IdempotencyKey
from execution_project.common.writing import insert_new

ModelT = TypeVar("ModelT", bound=models.Model)

# The first half of a two-part advisory lock key; the second is made from the scope.
_TRADING_STATE = 0x45584543
_LEADER = 0x4C454144
_CHANGE = 0x4348414E


class Rank(IntEnum):
    """The order in which one transaction may take locks."""

    IDEMPOTENCY = 1
    ORDERS = 2
    HOLDINGS = 3
    POSITIONS = 4
    BREAKS = 5
    TRADING_STATE = 6
    EXPOSURE = 7


OWN_STATE_WAITS = "25s"


class LockOrderError(RuntimeError):
    """A lock was asked for out of order, or outside ``ordered()``: a programming error."""


class Locks:
    """The locks of one transaction."""

    def __init__(self) -> None:
        self._reached: Rank | None = None

    def _step(self, rank: Rank) -> None:
        if self._reached is not None and rank < self._reached:
            raise LockOrderError(f"{rank.name} after {self._reached.name}: take locks in the order of Rank.")
        self._reached = rank

    def idempotency(
        self, principal: str, key: str, body_hash: str, resource_id: UUID, at: datetime
    ) -> IdempotencyKey | None:
        """Claim a key; None when it is ours now, else the row of whoever came first (waits for a racing claim)."""
        self._step(Rank.IDEMPOTENCY)
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO common_idempotencykey (principal, key, body_hash, resource_id, created_at)"
                " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (principal, key) DO NOTHING",
                [principal, key, body_hash, resource_id, at],
            )
            claimed = cursor.rowcount == 1
        return None if claimed else IdempotencyKey.objects.get(principal=principal, key=key)

    def rows(self, rank: Rank, queryset: models.QuerySet[ModelT]) -> list[ModelT]:
        """Lock and read rows, always in the order of their primary key."""
        self._step(rank)
        return list(queryset.order_by("pk").select_for_update(no_key=True, of=("self",)))

    def share_trading_state(self, scopes: Iterable[str]) -> None:
        """Hold off halts of these scopes until commit; any number of transactions share."""
        self._step(Rank.TRADING_STATE)
        keys = sorted({_hash(scope) for scope in scopes})
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_advisory_xact_lock_shared(%s, k) FROM unnest(%s::int[]) AS k", [_TRADING_STATE, keys]
            )

    def own_trading_state(self, scope: str) -> None:
        """Wait for every sharing transaction to end, and keep new ones out until commit.

        Waits longer than any of them can last (``idle_in_transaction_session_timeout``): a halt must not fail because
        one placement hangs.
        """
        self._step(Rank.TRADING_STATE)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('lock_timeout', %s, true), set_config('statement_timeout', %s, true)",
                [OWN_STATE_WAITS, OWN_STATE_WAITS],
            )
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_TRADING_STATE, _hash(scope)])

    def exposure(self, model: type[ModelT], key: str) -> ModelT:
        """Lock the row ``key`` of ``model``, making it if need be: the last lock of a transaction."""
        self._step(Rank.EXPOSURE)
        queryset = model._default_manager.select_for_update(no_key=True)
        row = queryset.filter(pk=key).first()
        if row is None:
            insert_new([model(pk=key)])
            row = queryset.get(pk=key)
        return row


_open: ContextVar[Locks | None] = ContextVar("locks", default=None)


def one_at_a_time(name: str, rank: Rank | None = None) -> None:
    """Until the current transaction ends, no other transaction passes this line with the same name.

    For changes that read a version and write the next one. ``rank``: the place in the lock order of one that is also
    taken beside other locks; without it no other lock may be taken after it. Raises ``LockOrderError``.
    """
    locks = _open.get()
    if rank is not None and locks is not None:
        locks._step(rank)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_CHANGE, _hash(name)])


def _hash(scope: str) -> int:
    """A signed 32-bit number for a scope; two scopes that collide merely wait for each other."""
    return int.from_bytes(hashlib.sha256(scope.encode()).digest()[:4], "big", signed=True)


@contextmanager
def ordered() -> Iterator[Locks]:
    """A durable transaction (never nested) with its locks."""
    with transaction.atomic(durable=True):
        locks = Locks()
        token = _open.set(locks)
        try:
            yield locks
        finally:
            _open.reset(token)


def try_lead(role: str) -> bool:
    """Take the session-wide leadership of a role if nobody has it; held until the connection ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [_LEADER, _hash(role)])
        row = cursor.fetchone()
    return bool(row and row[0])
