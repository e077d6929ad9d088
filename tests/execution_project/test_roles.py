"""Facts cannot be changed: not by the engine's role, and not by the owner."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.apps import apps
from django.db import IntegrityError, ProgrammingError, connection, transaction

from execution_project.common.models import Event, QueueBeat
from execution_project.roles import ENGINE_ROLE, fact_tables, set_up_roles

pytestmark = pytest.mark.django_db


@pytest.fixture
def engine_role() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {ENGINE_ROLE}")
        yield
        cursor.execute("RESET ROLE")


@pytest.mark.parametrize("statement", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_engine_may_not_change_any_fact_table(engine_role: None, statement: str) -> None:
    assert Event._meta.db_table in fact_tables()
    for table in fact_tables():
        with (
            pytest.raises(ProgrammingError, match="permission denied"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement.format(connection.ops.quote_name(table)))


def test_engine_may_work_with_everything_else(engine_role: None) -> None:
    QueueBeat.objects.create(queue="q")
    assert QueueBeat.objects.filter(queue="q").update(worker_pid=1) == 1
    assert QueueBeat.objects.filter(queue="q").delete()[0] == 1


def test_every_fact_table_has_the_trigger() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'exec_append_only'")
        assert sorted(name for (name,) in cursor.fetchall()) == fact_tables()


@pytest.mark.parametrize("statement", ["UPDATE t SET n = 2", "DELETE FROM t"])
def test_owner_is_stopped_by_the_trigger(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE t (n int)")
        cursor.execute(
            "CREATE TRIGGER x BEFORE UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION exec_refuse_change()"
        )
        cursor.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(IntegrityError, match="facts are corrected by new facts"), transaction.atomic():
            cursor.execute(statement)


def test_setting_up_twice_changes_nothing_and_a_former_fact_table_is_freed() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TRIGGER exec_append_only BEFORE UPDATE OR DELETE ON common_queuebeat"
            " FOR EACH ROW EXECUTE FUNCTION exec_refuse_change()"
        )
    set_up_roles(using="default", plan=[], apps=apps)
    test_every_fact_table_has_the_trigger()
