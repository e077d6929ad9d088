"""The books against their facts: no difference, every tampering found, and repaired when asked."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.db.models import F

from exchanges.models import Account
from execution_project.common import clock
from execution_project.common.models import Chore, Event
from positions import folding, tasks
from positions.models import Allocation, Holding, HoldingCheckpoint, Inventory, Position, RealisedPnl
from positions.rebuilding import subjects_of
from tests.commands import run, run_program
from tests.factories import AccountFactory, StrategyFactory
from tests.positions.books import book, everything, mark, pair, posted, trade

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    """Books with two strategies, a fee in BNB, an allocation and checkpoints."""
    monkeypatch.setattr(folding, "CHECKPOINT_EVERY", 2)
    account = AccountFactory(name="main", books_opened_at=clock.now())
    mark("BNB", "600")
    posted(account, "deposit", "USDT", "1000")
    posted(account, "deposit", "BTC", "2", value=D(150))
    posted(account, "deposit", "BNB", "1", value=D(500))
    alpha = StrategyFactory()
    btc = pair("BTC")
    book(account, btc, trade(1, "BUY", "1", "100", "0.01 BNB"), trade(2, "SELL", "2", "120"), strategy=alpha)
    book(account, btc, trade(3, "BUY", "1", "110", "0.001 BTC"), trade(4, "SELL", "0.5", "90", "0.01 BNB"))
    return account


def test_books_and_facts_do_not_differ(account: Account) -> None:
    ended = run("rebuild_books", "--check", "--progress")
    assert ended.code == 0, ended.out
    assert "5 checked, no difference." in ended.out
    assert "pages of facts" in ended.err
    assert not Event.objects.filter(kind="books.differ").exists()


TAMPERINGS: dict[str, Any] = {
    "quantity unallocated": lambda: Holding.objects.filter(asset="BTC", strategy=None).update(
        quantity=F("quantity") + 1
    ),
    "cost unallocated": lambda: Holding.objects.filter(asset="BTC", strategy=None).update(cost=F("cost") + D("1E-18")),
    "realised of strategy": lambda: Holding.objects.filter(asset="BTC").exclude(strategy=None).update(realised_pnl=0),
    "pending": lambda: Holding.objects.filter(asset="BNB", strategy=None).update(pending=1),
    "disposals": lambda: RealisedPnl.objects.filter(asset="BTC").first().delete(),  # type: ignore[union-attr]
    "realised cost": lambda: RealisedPnl.objects.filter(asset="BTC").update(cost=1),
    "takings": lambda: Allocation.objects.filter(asset="BTC").delete(),
    "checkpoint": lambda: HoldingCheckpoint.objects.filter(asset="BTC").update(state={"holders": [], "suspense": []}),
    "facts": lambda: Inventory.objects.filter(asset="BTC").update(fact_count=7),
    "last fact": lambda: Inventory.objects.filter(asset="BTC").update(moment="x"),
    "net_quantity": lambda: Position.objects.update(net_quantity=9),
    "fees_valued": lambda: Position.objects.update(fees_valued=9),
    "in suspense": lambda: Holding.objects.create(
        account=Account.objects.get(), asset="BTC", in_suspense=True, quantity=-1, updated_at=clock.now()
    ),
}


@pytest.mark.parametrize("what", TAMPERINGS)
def test_whatever_was_changed_is_found_and_repaired(account: Account, what: str) -> None:
    before = everything(account)
    TAMPERINGS[what]()
    ended = run("rebuild_books", "--account", "main")
    assert ended.code == 1
    assert what in ended.out
    event = Event.objects.get(kind="books.differ")
    assert event.evidence["count"] == len(event.evidence["differences"]) >= 1
    assert run("rebuild_books", "--check").code == 1, "a check repairs nothing"
    ended = run("rebuild_books", "--write")
    assert ended.code == 0, ended.out
    assert "stored and facts agree now" in ended.out
    assert Event.objects.filter(kind="books.rebuilt").exists()
    assert run("rebuild_books").code == 0
    assert everything(account) == before


def test_a_ledger_that_lost_a_leg_is_found_and_not_papered_over(account: Account) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("DELETE FROM positions_ledgerentry WHERE book = 'trading' AND asset = 'BTC' AND amount > 1")
        cursor.execute("SET LOCAL session_replication_role = DEFAULT")
    ended = run("rebuild_books", "--write", "--json")
    assert ended.code == 1
    assert any(document.get("what") == "legs in BTC" for document in ended.documents)


def test_every_part_of_the_books_is_checked_once_a_day_longest_unchecked_first(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks.ring_book_checks()
    assert Chore.objects.filter(name="books:check").exists()
    assert tasks.check_books() == 0
    parts = Chore.objects.filter(name__startswith=f"books:check:{account.pk}:")
    subjects = subjects_of([account])
    assert parts.count() == len(subjects) + 1
    assert not parts.filter(succeeded_at__isnull=True).exists()
    Holding.objects.filter(asset="BTC").update(quantity=7)
    assert tasks.check_books() == 0, "not again today"
    parts.update(finished_at=clock.now() - timedelta(hours=25))
    btc = parts.filter(name__endswith=":asset BTC")
    btc.update(finished_at=clock.now() - timedelta(hours=26))
    monkeypatch.setattr(tasks, "CHECKS_FOR", timedelta(0))
    assert tasks.check_books() > 0
    assert Event.objects.get(kind="books.differ").subject_id == "main"
    fresh = parts.filter(finished_at__gt=clock.now() - timedelta(hours=1))
    assert [row.name for row in fresh] == [btc.get().name], "its time was up after the first"


def test_a_part_that_takes_too_long_gives_way_to_the_others(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "ONE_CHECK", timedelta(microseconds=-1))
    assert tasks.check_books() == 0
    parts = Chore.objects.filter(name__startswith=f"books:check:{account.pk}:")
    assert parts.filter(finished_at__isnull=True).count() == 0
    assert "rebuild_books" in parts.get(name__endswith=":asset BTC").error


@pytest.mark.django_db(transaction=True)
def test_a_check_reads_one_moment_as_the_engines_own_role() -> None:
    account = AccountFactory(name="main")
    posted(account, "deposit", "USDT", "1000")
    book(account, pair("BTC"), trade(1, "BUY", "1", "100"))
    ended = run_program("rebuild_books", "--check")
    assert (ended.code, ended.out.strip()) == (0, "3 checked, no difference."), ended.err
    Holding.objects.filter(asset="BTC").update(cost=1)
    ended = run_program("rebuild_books", "--write", "--progress")
    assert ended.code == 0, ended.err
    assert Holding.objects.get(asset="BTC").cost == 100
