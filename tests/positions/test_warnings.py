"""What a check found wrong with the books stays on the desk until a later check finds nothing."""

from __future__ import annotations

from decimal import Decimal

import pytest

from execution_project.common.approvals import decide_and_carry_out
from execution_project.common.locking import ordered
from execution_project.common.models import Event
from positions.classifying import Classification, propose_classification
from positions.models import Holding, Posting, PostingKind
from positions.posting import book_transfer
from positions.tasks import check_books
from positions.warnings import standing_warnings
from tests.commands import run
from tests.factories import BY, AccountFactory
from tests.people import client_of, person
from tests.positions.books import posted
from tests.positions.test_classifying import SECOND

pytestmark = pytest.mark.django_db


def words() -> list[str]:
    return [warned.says for warned in standing_warnings(limit=10)]


def desk() -> str:
    return client_of(person("ada", "auditor")).get("/admin/").content.decode()


def test_books_that_differ_stand_on_the_desk_until_they_agree() -> None:
    account, other = AccountFactory(name="main"), AccountFactory()
    posted(account, "deposit", "USDT", "100")
    assert check_books(account.pk) == check_books(other.pk) == 0
    assert not Event.objects.filter(kind="books.agree").exists(), "it never differed"
    Holding.objects.filter(account=account).update(quantity=7)
    assert check_books(account.pk) == check_books(account.pk) == 1
    (said,) = words()
    assert said.startswith("Books and facts differ in 1 numbers, such as quantity unallocated of holding main USDT")
    assert said[:30] in desk()
    check_books(other.pk)
    assert words() == [said], "another account's books say nothing of these"
    assert run("rebuild_books", "--write").code == 0
    assert words() == []
    check_books(account.pk)
    assert Event.objects.filter(kind="books.agree").count() == 1


def test_too_much_in_suspense_stands_on_the_desk_until_it_is_explained() -> None:
    account = AccountFactory()
    with ordered() as locks:
        book_transfer(locks, account, "USDT", Decimal(5000), reference="seen", by=BY)
    assert words() == [
        "Unexplained: 5000 USDT, allowed are 100. Say what it was: Postings, or classify_transfer.",
    ]
    check_books(account.pk)
    assert len(words()) == 1
    to = Classification(PostingKind.DEPOSIT)
    approval = propose_classification(Posting.objects.get().id, to, reason="seen in the bank's list", by=BY)
    decide_and_carry_out(approval.id, approved=True, by=SECOND)
    assert words() == []
    assert Event.objects.filter(kind="suspense.within_limit").count() == 1
