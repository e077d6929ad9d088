"""Asking for fresh facts: the same chores as the ticker's, so that nothing is fetched twice at once."""

from __future__ import annotations

import pytest
from django_q.models import OrmQ

from execution_project.common.actors import Actor
from execution_project.common.models import Chore, Event
from execution_project.common.problems import Problem
from execution_project.common.rights import EVERYTHING, Right
from orders.reconciling_schedule import resync
from orders.sweeping import ring_account_data, ring_following, ring_instruments, ring_market_data
from orders.sync_requests import Fact, chore_names, facts_of, request_sync
from tests.engines import Engine, drain
from tests.factories import AccountFactory, whole_order

pytestmark = pytest.mark.django_db(transaction=True)
BY = Actor("user:olga", "a test", rights=EVERYTHING)


def test_what_the_ticker_has_rung_is_not_rung_again() -> None:
    account = whole_order(status="open").account
    for ring in (ring_account_data, ring_following, ring_instruments, ring_market_data):
        ring()
    resync(account)
    waiting = OrmQ.objects.count()
    assert set(chore_names(account).values()) == set(Chore.objects.values_list("name", flat=True))
    assert request_sync(account, list(Fact), reason="x", by=BY) == []
    assert OrmQ.objects.count() == waiting == len(Fact)


def test_each_fact_rings_a_task_that_brings_it_in_and_answers_its_chore(engine: Engine) -> None:
    account = engine.account
    assert request_sync(account, list(Fact), reason="x", by=BY) == list(Fact)
    drain("housekeeping")
    answered = Chore.objects.filter(succeeded_at__isnull=False, error="").values_list("name", flat=True)
    assert set(chore_names(account).values()) <= set(answered)
    assert len(chore_names(account)) == len(Fact)


def test_no_reconciliation_before_the_books_are_open() -> None:
    account = AccountFactory(books_opened_at=None)
    assert Fact.BALANCES in facts_of(account) and Fact.RECONCILED_TRADES not in facts_of(account)
    with pytest.raises(Problem) as refused:
        request_sync(account, [Fact.BALANCES, Fact.RECONCILED_TRADES], reason="x", by=BY)
    assert (refused.value.status, refused.value.code) == (409, "BOOKS_NOT_OPEN")
    assert not OrmQ.objects.exists() and not Event.objects.exists()


def test_whoever_lacks_the_right_rings_nothing() -> None:
    account = AccountFactory()
    with pytest.raises(Problem) as refused:
        request_sync(
            account, [Fact.QUOTES], reason="x", by=Actor("user:ada", "a test", rights=EVERYTHING - {Right.SYNC})
        )
    assert refused.value.status == 403
    assert not OrmQ.objects.exists() and not Event.objects.exists()
