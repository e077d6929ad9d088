"""Breaks get older and graver, and an overview counts them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client

from exchanges.freshness import freshness_of
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.models import Event
from orders.break_overview import age_bucket_of, overview_of
from orders.break_rules import bucket_of, severity_at
from orders.breaks import escalate, needs_second_person, what_an_end_does
from orders.models import Break, BreakKind, Severity
from tests.factories import AccountFactory, BreakFactory

BY = Actor("engine:test", "a test")
MOMENT = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("begins", "name", "before"),
    [
        (timedelta(minutes=1), "1m", "new"),
        (timedelta(minutes=15), "15m", "1m"),
        (timedelta(hours=1), "1h", "15m"),
        (timedelta(days=1), "1d", "1h"),
        (timedelta(days=400), "1d", "1d"),
    ],
)
def test_a_bucket_begins_at_its_age(begins: timedelta, name: str, before: str) -> None:
    assert (bucket_of(begins), bucket_of(begins - MOMENT)) == (name, before)


@pytest.mark.parametrize(
    ("kind", "at_first", "after", "then"),
    [
        ("balance_mismatch", "warning", timedelta(minutes=5), "blocking"),
        ("status_mismatch", "warning", timedelta(seconds=60), "blocking"),
        ("qty_mismatch", "warning", timedelta(seconds=10), "blocking"),
        ("fee_mismatch", "informational", timedelta(hours=24), "warning"),
        ("price_mismatch", "warning", timedelta(days=9), "warning"),
        ("fee_mismatch", "critical", timedelta(hours=24), "critical"),
    ],
)
def test_a_kind_gets_graver_at_its_age_and_never_milder(kind: str, at_first: str, after: timedelta, then: str) -> None:
    assert severity_at(kind, at_first, after - MOMENT) == at_first
    assert severity_at(kind, at_first, after) == then


@pytest.mark.django_db
def test_what_lasts_gets_graver_without_being_seen_again() -> None:
    row = BreakFactory(kind="qty_mismatch", severity="warning", opened_at=clock.now() - timedelta(seconds=11))
    BreakFactory(kind="qty_mismatch", severity="warning", subject="young", opened_at=clock.now())
    BreakFactory(
        kind="qty_mismatch", severity="warning", subject="seen once", status="suspected", opened_at=row.opened_at
    )
    assert escalate(by=BY) == 1
    row.refresh_from_db()
    assert row.severity == Severity.BLOCKING
    assert freshness_of(row.account).blocked_by == f"qty_mismatch {row.subject}"
    assert Event.objects.filter(kind="break.escalated", subject_id=str(row.id)).count() == 1
    assert escalate(by=BY) == 0


@pytest.mark.django_db
def test_an_overview_counts_open_breaks_by_age_and_names_the_oldest() -> None:
    now, account = clock.now(), AccountFactory()
    assert overview_of(Break.objects.all()).oldest_opened_at is None
    ages = [0, 70, 80, 1000, 4000, 90_000, 900_000]
    for number, seconds in enumerate(ages):
        BreakFactory(
            account=account,
            subject=str(number),
            severity="blocking" if number else "warning",
            opened_at=now - timedelta(seconds=seconds),
        )
    BreakFactory(account=account, subject="seen once", status="suspected", opened_at=now - timedelta(days=20))
    ended = BreakFactory(
        account=account,
        subject="ended",
        status="resolved",
        resolution="x",
        opened_at=now - timedelta(days=20),
        resolved_at=now - timedelta(days=20) + timedelta(minutes=2),
    )
    overview = overview_of(Break.objects.all())
    assert (overview.open, overview.severe) == (7, 6)
    assert overview.oldest_opened_at == now - timedelta(seconds=900_000)
    assert overview.by_age == {"new": 1, "1m": 2, "15m": 1, "1h": 1, "1d": 2}
    assert age_bucket_of(ended) == "1m"


@pytest.mark.parametrize("kind", ["price_mismatch", "qty_mismatch", "fee_mismatch", "orphan_fill"])
def test_what_says_that_a_fill_is_wrong_takes_two_persons_and_books_nothing(kind: str) -> None:
    row = Break(kind=BreakKind(kind), severity=Severity.INFORMATIONAL, subject="BTCUSDT 1 2")
    assert needs_second_person(row)
    says = what_an_end_does(row)[0]
    assert says.startswith("No books change by this end.")
    assert "put right by correct_fill, by two persons" in says


def test_the_end_of_an_overdue_comparison_says_that_nothing_is_compared_by_it() -> None:
    row = Break(kind=BreakKind.STALE_RECON, severity=Severity.WARNING, subject="trades")
    assert not needs_second_person(row)
    assert "nothing is compared by it" in what_an_end_does(row)[0]


@pytest.mark.django_db
def test_the_first_page_of_the_admin_names_the_oldest_break(admin_client: Client) -> None:
    assert "oldest" not in admin_client.get("/admin/").content.decode()
    BreakFactory(opened_at=clock.now(), subject="BTCUSDT young")
    assert "oldest under 1m" in admin_client.get("/admin/").content.decode()
    BreakFactory(opened_at=clock.now() - timedelta(hours=3), severity="blocking")
    page = admin_client.get("/admin/").content.decode()
    assert "oldest 1h" in page
    assert ">2, 1 severe<" in page
