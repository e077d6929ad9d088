"""Facts are only added: the model refuses a change, and so does the database, whoever asks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, models, transaction

from execution_project.common.actors import Actor, engine
from execution_project.common.events import event, record
from execution_project.common.models import AppendOnlyError, AppendOnlyModel, Event
from execution_project.roles import fact_tables
from tests.factories import BY, FillFactory, LimitFactory

pytestmark = pytest.mark.django_db


def test_an_event_says_who_when_why_and_what() -> None:
    by = Actor("key:desk", "POST /api/exec/stop", "request-1")
    made = record("trading.halted", "scope", "global:", by, from_status="ACTIVE", to_status="HALTED", evidence={"n": 1})
    row = Event.objects.get(pk=made.pk)
    assert (row.kind, row.subject_type, row.subject_id) == ("trading.halted", "scope", "global:")
    assert (row.actor, row.cause, row.request_id) == ("key:desk", "POST /api/exec/stop", "request-1")
    assert (row.from_status, row.to_status, row.evidence) == ("ACTIVE", "HALTED", {"n": 1})


def test_a_cause_of_any_length_is_recorded_and_the_engine_names_its_part() -> None:
    row = record("x.y", "order", 1, engine("sweeper", "c" * 1000))
    assert (row.actor, len(row.cause)) == ("engine:sweeper", 256)


def test_an_unsaved_event_is_not_stored() -> None:
    event("x.y", "order", 1, BY)
    assert not Event.objects.exists()


def make_event() -> models.Model:
    return record("x.y", "order", 1, BY)


FACTS: list[Callable[[], models.Model]] = [make_event, LimitFactory, FillFactory]


@pytest.mark.parametrize("make", FACTS)
def test_the_model_refuses_to_change_or_delete_a_fact(make: Callable[[], models.Model]) -> None:
    row = make()
    stored = type(row)._default_manager.get(pk=row.pk)
    for act in (row.save, stored.save, row.delete, stored.delete):
        with pytest.raises(AppendOnlyError):
            act()


@pytest.mark.parametrize("make", FACTS)
@pytest.mark.parametrize("statement", ["UPDATE {table} SET id = id", "DELETE FROM {table}"])
def test_the_database_refuses_to_change_or_delete_a_fact(make: Callable[[], models.Model], statement: str) -> None:
    table = make()._meta.db_table
    refused = pytest.raises(DatabaseError, match="refused: facts are corrected by new facts")
    with refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement.format(table=table))


def test_bulk_writes_do_not_get_around_the_database() -> None:
    make_event()
    with pytest.raises(DatabaseError, match="refused"), transaction.atomic():
        Event.objects.update(actor="nobody")
    with pytest.raises(DatabaseError, match="refused"), transaction.atomic():
        Event.objects.all()._raw_delete(using="default")


def test_every_fact_table_has_the_trigger_and_is_read_and_insert_only_for_the_engine() -> None:
    tables = {model._meta.db_table for model in apps.get_models() if issubclass(model, AppendOnlyModel)}
    assert {"common_event", "positions_fill", "positions_ledgerentry", "risk_decision", "risk_limit"} <= tables
    assert set(fact_tables()) == tables
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(
                "SELECT count(*) FROM pg_trigger WHERE tgrelid = %s::regclass AND tgname = 'exec_append_only'"
                " AND tgenabled = 'O'",
                [table],
            )
            assert cursor.fetchone() == (1,), table
            for right, wanted in [("SELECT", 1), ("INSERT", 1), ("UPDATE", 0), ("DELETE", 0), ("TRUNCATE", 0)]:
                cursor.execute("SELECT has_table_privilege('exec_engine', %s, %s)::int", [table, right])
                assert cursor.fetchone() == (wanted,), (table, right)
