"""Openings and transfers from before postings were kept: what the migration makes of them."""

from __future__ import annotations

from decimal import Decimal
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction

from exchanges.models import Account
from execution_project.common import clock
from positions.models import Holding, LedgerEntry, PendingRate, Posting
from positions.rates import give_rates
from positions.rebuilding import rebuild, subjects_of
from tests.factories import BY, AccountFactory
from tests.positions.books import after, held, posted
from tests.positions.test_restating import differences

pytestmark = pytest.mark.django_db
D = Decimal


def entries(account: Account, kind: str, book: str, asset: str, amount: str, *, seconds: float = 0) -> None:
    """Two legs as they were written when there were no postings."""
    shared: dict[str, Any] = {"reference": "as before", "effective_at": after(seconds), "posted_at": after(seconds)}
    LedgerEntry.objects.bulk_create(
        LedgerEntry(account=account, asset=asset, book=where, amount=signed, kind=kind, **shared)
        for where, signed in (("exchange", D(amount)), (book, -D(amount)))
    )


def migrate() -> None:
    with connection.schema_editor() as editor:
        import_module("positions.migrations.0007_postings_of_earlier_entries").post_earlier_entries(apps, editor)


def test_earlier_entries_get_their_postings_and_can_be_valued() -> None:
    account = AccountFactory()
    entries(account, "opening", "opening", "USDT", "1000")
    entries(account, "opening", "opening", "BTC", "2")
    entries(account, "transfer", "transfers", "BTC", "-0.5", seconds=5)
    entries(account, "transfer", "transfers", "BTC", "-0.5", seconds=5)
    new = posted(account, "deposit", "USDT", "7", seconds=9)
    migrate()
    found = Posting.objects.exclude(id=new.id).order_by("effective_at", "-asset")
    assert [(row.kind, row.asset, row.amount, row.value, row.value_assumed) for row in found] == [
        ("opening", "USDT", 1000, None, False),
        ("opening", "BTC", 2, None, True),
        ("transfer", "BTC", D("-0.5"), None, True),
        ("transfer", "BTC", D("-0.5"), None, True),
    ]
    for row in found:
        legs = LedgerEntry.objects.filter(posting=row)
        assert sorted(leg.amount for leg in legs) == [-abs(row.amount), abs(row.amount)]
        assert {leg.effective_at for leg in legs} == {row.effective_at} == {row.posted_at}
    assert not LedgerEntry.objects.filter(posting__isnull=True).exists()
    assert sorted(PendingRate.objects.values_list("asset", "at")) == [("BTC", after(0)), *[("BTC", after(5))] * 2]
    assert PendingRate.objects.filter(next_at__lte=clock.now()).count() == 3, "they are looked for at once"
    for subject in subjects_of([account]):
        rebuild(subject, by=BY)
    assert differences(account) == []
    assert Holding.objects.get(account=account, asset="BTC").quantity == 1
    assert give_rates(account, "BTC", D(60000), reason="the exchange's chart", by=BY) == 3
    assert held(account, "BTC") == ("1", "60000", "60000", "0")
    migrate()
    assert Posting.objects.count() == 5, "done once"


def test_a_leg_without_its_other_one_stays_as_it_is() -> None:
    account = AccountFactory()
    LedgerEntry.objects.create(
        account=account,
        asset="BTC",
        book="exchange",
        amount=D(1),
        kind="opening",
        reference="x",
        effective_at=after(0),
        posted_at=after(0),
    )
    migrate()
    assert not Posting.objects.exists()
    assert differences(account)[0].what == "legs in BTC"


def test_the_ledger_is_protected_again_afterwards() -> None:
    account = AccountFactory()
    entries(account, "opening", "opening", "USDT", "1000")
    migrate()
    row = LedgerEntry.objects.first()
    assert row is not None
    assert row.posting_id is not None
    with (
        pytest.raises(DatabaseError, match="facts are corrected by new facts"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("SET LOCAL ROLE NONE")
        cursor.execute("UPDATE positions_ledgerentry SET amount = 1")
