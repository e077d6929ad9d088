"""Emptying the test database after a test that committed: only tables that have rows, by DELETE.

Django's own flush truncates every table and then sends ``post_migrate``, which makes content types and permissions
anew: about 80 ms a test here, against a few. What a migrate leaves behind (content types, permissions) stays.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import connections
from django.test import TransactionTestCase

KEPT = frozenset({"django_content_type", "auth_permission", "django_migrations"})

_EMPTY = """
DO $$
DECLARE one text; filled boolean;
BEGIN
    SET LOCAL session_replication_role = replica;  -- neither append-only triggers nor foreign keys
    FOREACH one IN ARRAY '{TABLES}'::text[] LOOP
        EXECUTE 'SELECT EXISTS (SELECT 1 FROM ' || quote_ident(one) || ')' INTO filled;
        IF filled THEN EXECUTE 'DELETE FROM ' || quote_ident(one); END IF;
    END LOOP;
END $$
"""


def empty_database(using: str = "default") -> None:
    """Delete the rows of every table of the installed apps but ``KEPT``."""
    connection = connections[using]
    tables = sorted(set(connection.introspection.django_table_names(include_views=False)) - KEPT)
    with connection.cursor() as cursor:
        cursor.execute(_EMPTY.replace("TABLES", ",".join(tables)))


def install() -> None:
    """Use it in place of Django's flush."""

    def teardown(self: TransactionTestCase, *_: Any) -> None:
        apps.check_models_ready()
        for using in self._databases_names(include_mirrors=False):
            empty_database(using)

    TransactionTestCase._fixture_teardown = teardown  # type: ignore[method-assign]
