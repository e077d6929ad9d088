"""What a check found wrong with the books stays on the desk until a later check finds nothing."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from execution_project.common import clock
from execution_project.common.approvals import decide_and_carry_out
from execution_project.common.locking import ordered
from execution_project.common.models import Chore, Event
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


def check_again() -> int:
    """The daily check, a day later."""
    Chore.objects.filter(name__startswith="books:check:").update(finished_at=clock.now() - timedelta(days=2))
    return check_books()


def test_books_that_differ_stand_on_the_desk_until_they_agree() -> None:
    account = AccountFactory(name="main")
    posted(account, "deposit", "USDT", "100")
    assert check_again() == 0
    assert not Event.objects.filter(kind="books.agree").exists(), "it never differed"
    Holding.objects.filter(account=account).update(quantity=7)
    assert check_again() == check_again() == 1
    (said,) = words()
    assert said.startswith("Books and facts differ in 1 numbers, such as quantity unallocated of holding main USDT")
    assert said[:30] in desk()
    Chore.objects.filter(name__endswith=":ledger").update(finished_at=clock.now() - timedelta(days=2))
    assert check_books() == 0
    assert words() == [said], "another part's being right says nothing of this one"
    assert run("rebuild_books", "--write").code == 0
    assert words() == []
    check_again()
    assert Event.objects.filter(kind="books.agree").count() == 1
    Holding.objects.filter(account=account).update(quantity=7)
    assert check_again() == 1
    Holding.objects.filter(account=account).update(quantity=100)
    assert check_again() == 0
    assert words() == []
    assert Event.objects.filter(kind="books.agree").count() == 2


def test_too_much_in_suspense_stands_on_the_desk_until_it_is_explained() -> None:
    account = AccountFactory()
    with ordered() as locks:
        book_transfer(locks, account, "USDT", Decimal(5000), reference="seen", by=BY)
    assert words() == [
        "Unexplained: 5000 USDT, allowed are 100. Say what it was: Postings, or classify_transfer.",
    ]
    check_again()
    assert len(words()) == 1
    to = Classification(PostingKind.DEPOSIT)
    approval = propose_classification(Posting.objects.get().id, to, reason="seen in the bank's list", by=BY)
    decide_and_carry_out(approval.id, approved=True, by=SECOND)
    assert words() == []
    assert Event.objects.filter(kind="suspense.within_limit").count() == 1
