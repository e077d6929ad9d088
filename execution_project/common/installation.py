"""The installation's prefix, and how a restored database is told from the one that it was copied from.

A client order id is prefix, order id and generation. A database that was restored from a backup has forgotten which
generations it used since, so it takes a new prefix before it makes another id: none is used twice.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from execution_project.common import ids
from execution_project.common.actors import Actor, engine
from execution_project.common.events import record
from execution_project.common.locking import one_at_a_time
from execution_project.common.models import Event, Installation

PREFIX_CHANGED = "installation.prefix_changed"
_NOTICED = engine("installation", "the database is a copy: restored from a backup")


@cache
def prefix() -> str:
    """The two characters that start every new client order id of this installation.

    Asked for the first time on a new connection, it looks whether this is still the database that it was taken for.
    """
    row, made = Installation.objects.get_or_create(
        id=1, defaults={"prefix": ids.new_installation_prefix(), "database": database_identity()}
    )
    identity = database_identity()
    if not row.database:
        Installation.objects.filter(id=1, database="").update(database=identity)
    elif not made and row.database != identity:
        return take_new_prefix(by=_NOTICED)
    return row.prefix


def forget_prefix(**sent: Any) -> None:
    """Receiver of ``connection_created``: behind a new connection may be a database that was restored meanwhile."""
    prefix.cache_clear()


def database_identity() -> str:
    """Which database of which server on which timeline: a copy has another one.

    Where a managed server hides its control data only the database's number tells; docs/operating.md, restore.
    """
    database = "SELECT oid::text FROM pg_database WHERE datname = current_database()"
    server = "SELECT system_identifier || ':' || timeline_id FROM pg_control_system(), pg_control_checkpoint()"
    readable = (
        "SELECT has_function_privilege('pg_control_system()', 'EXECUTE')"
        " AND has_function_privilege('pg_control_checkpoint()', 'EXECUTE')"
    )
    with connection.cursor() as cursor:
        cursor.execute(readable)
        statements = [server, database] if _only(cursor) else [database]
        parts = []
        for statement in statements:
            cursor.execute(statement)
            parts.append(str(_only(cursor)))
    return ":".join(parts)


def _only(cursor: CursorWrapper) -> object:
    row = cursor.fetchone()
    return None if row is None else row[0]


def take_new_prefix(*, by: Actor) -> str:
    """Use another prefix from now on, one that was not used before; returns it. The former ones stay known as ours."""
    with transaction.atomic():
        one_at_a_time("installation-prefix")
        row = Installation.objects.get(id=1)
        identity = database_identity()
        if by is _NOTICED and row.database == identity:
            return row.prefix  # another process was first
        used = _stored_prefixes()
        fresh = ids.new_installation_prefix()
        while fresh in used:
            fresh = ids.new_installation_prefix()
        record(PREFIX_CHANGED, "installation", 1, by, from_status=row.prefix, to_status=fresh)
        row.prefix, row.database = fresh, identity
        row.save(update_fields=["prefix", "database"])
    prefix.cache_clear()
    return fresh


def known_prefixes() -> set[str]:
    """Every prefix that marks a client order id as ours: the present one and all before."""
    return {prefix(), *_stored_prefixes()}


def _stored_prefixes() -> set[str]:
    present = Installation.objects.filter(id=1).values_list("prefix", flat=True)
    return {*present, *Event.objects.filter(kind=PREFIX_CHANGED).values_list("from_status", flat=True)}
