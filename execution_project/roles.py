"""The engine's database role and the triggers that keep facts unchanged, set up after every migrate.

Two locks on the same door: processes of the engine run as a role that may not UPDATE, DELETE or TRUNCATE a fact table,
and a trigger stops everybody else, the owner included. Only migrations run as the owner (``EXEC_DATABASE_ROLE=""``).
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import connections, transaction
from django.db.backends.utils import CursorWrapper

ENGINE_ROLE = "exec_engine"
TRIGGER = "exec_append_only"

_REFUSE_CHANGE = """
CREATE OR REPLACE FUNCTION exec_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % refused: facts are corrected by new facts', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$
"""


def fact_tables() -> list[str]:
    """The tables of every model whose class says ``append_only = True``."""
    return sorted(model._meta.db_table for model in apps.get_models() if getattr(model, "append_only", False))


def set_up_roles(using: str = "default", **sent: Any) -> None:
    """Receiver of ``post_migrate``: create the role, grant what the engine needs, protect the fact tables.

    Runs only after a real migrate: tests send the same signal, without a plan, after each flush.
    """
    if "plan" not in sent:
        return
    connection = connections[using]
    with transaction.atomic(using=using), connection.cursor() as cursor:
        # Roles belong to the whole server: two databases of one server may be migrated at the same time.
        cursor.execute(
            f"DO $$ BEGIN CREATE ROLE {ENGINE_ROLE} NOLOGIN;"
            " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        )
        cursor.execute("SELECT pg_has_role(current_user, %s, 'MEMBER')", [ENGINE_ROLE])
        if not _only(cursor):
            cursor.execute(f"GRANT {ENGINE_ROLE} TO CURRENT_USER")
        cursor.execute("SELECT quote_ident(current_schema())")
        schema = _only(cursor)
        cursor.execute(f"GRANT USAGE ON SCHEMA {schema} TO {ENGINE_ROLE}")
        cursor.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {ENGINE_ROLE}")
        cursor.execute(f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {ENGINE_ROLE}")
        cursor.execute(f"REVOKE INSERT, UPDATE, DELETE ON django_migrations FROM {ENGINE_ROLE}")
        present = set(connection.introspection.table_names(cursor))  # not all, after migrating one app alone
        _protect(cursor, {connection.ops.quote_name(table): table for table in fact_tables() if table in present})


def _protect(cursor: CursorWrapper, tables: dict[str, str]) -> None:
    """``tables``: quoted name to plain name. A table that is no fact table any more loses its trigger."""
    cursor.execute(_REFUSE_CHANGE)
    cursor.execute(
        "SELECT c.relname, quote_ident(c.relname) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
        " WHERE t.tgname = %s AND c.relnamespace = current_schema()::regnamespace",
        [TRIGGER],
    )
    protected: dict[str, str] = dict(cursor.fetchall())
    for quoted, plain in tables.items():
        cursor.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {quoted} FROM {ENGINE_ROLE}")
        if plain not in protected:
            cursor.execute(
                f"CREATE TRIGGER {TRIGGER} BEFORE UPDATE OR DELETE ON {quoted}"
                " FOR EACH ROW EXECUTE FUNCTION exec_refuse_change()"
            )
    for plain, quoted in protected.items():
        if plain not in tables.values():
            cursor.execute(f"DROP TRIGGER {TRIGGER} ON {quoted}")


def _only(cursor: CursorWrapper) -> Any:
    row = cursor.fetchone()
    assert row is not None  # noqa: S101  a SELECT without FROM has a row
    return row[0]
