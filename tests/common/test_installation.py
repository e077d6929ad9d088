"""The installation's prefix is made once, whoever asks first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import IntegrityError, connection, transaction

from execution_project.common import installation
from execution_project.common.models import Installation
from tests.threads import run_together


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    installation.prefix.cache_clear()
    yield
    installation.prefix.cache_clear()


@pytest.mark.django_db
def test_the_prefix_is_stored_and_kept() -> None:
    first = installation.prefix()
    installation.prefix.cache_clear()
    assert installation.prefix() == first == Installation.objects.get().prefix
    assert len(first) == 2


@pytest.mark.django_db
def test_there_is_one_installation() -> None:
    installation.prefix()
    with pytest.raises(IntegrityError, match="installation_is_one_row"), transaction.atomic():
        Installation.objects.create(id=2, prefix="ZZ")


@pytest.mark.django_db(transaction=True)
def test_processes_that_start_together_agree() -> None:
    results = run_together([installation.prefix.__wrapped__] * 8)
    assert len(set(map(str, results))) == 1
    assert results[0] == Installation.objects.get().prefix


@pytest.mark.django_db(transaction=True)
def test_a_new_connection_looks_whose_database_it_reaches() -> None:
    before = installation.prefix()
    Installation.objects.update(database="the one that this was copied from")
    assert installation.prefix() == before, "nothing is asked while the connection lives"
    connection.close()
    connection.ensure_connection()
    assert installation.prefix() != before
