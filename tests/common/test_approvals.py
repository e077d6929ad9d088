"""A second person's word: never one's own, never late, never twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.approvals import decide, request_approval, use
from execution_project.common.models import Approval, Event
from execution_project.common.problems import Problem
from execution_project.common.rights import EVERYTHING
from tests.threads import run_together

ASKER, SECOND, THIRD = (Actor(f"user:{name}", "test", rights=EVERYTHING) for name in ("asker", "second", "third"))
START = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def manual() -> Iterator[clock.ManualClock]:
    with clock.using(clock.ManualClock(START)) as running:
        assert isinstance(running, clock.ManualClock)
        yield running


def ask() -> Approval:
    return request_approval("limit.loosen", "account:main", reason="wider", by=ASKER, parameters={"value": "5"})


def refused(code: str, act: Any) -> None:
    with pytest.raises(Problem) as caught:
        act()
    assert caught.value.code == code


@pytest.mark.django_db
def test_a_second_persons_approval_can_be_used_once() -> None:
    approval = ask()
    decide(approval.id, approved=True, by=SECOND)
    used = use(approval.id, "limit.loosen", "account:main", by=ASKER)
    assert (used.parameters, used.decided_by) == ({"value": "5"}, "user:second")
    refused("APPROVAL_SPENT", lambda: use(approval.id, "limit.loosen", "account:main", by=ASKER))
    kinds = Event.objects.filter(subject_id=str(approval.id)).order_by("at").values_list("kind", "actor")
    assert list(kinds) == [
        ("approval.requested", "user:asker"),
        ("approval.granted", "user:second"),
        ("approval.used", "user:asker"),
    ]


@pytest.mark.django_db
def test_nobody_approves_his_own_request() -> None:
    approval = ask()
    for word in (True, False):
        refused("APPROVAL_OWN_REQUEST", lambda word=word: decide(approval.id, approved=word, by=ASKER))
    assert Approval.objects.get().decided_at is None


@pytest.mark.django_db
def test_a_decision_is_final() -> None:
    approval = ask()
    decide(approval.id, approved=False, by=SECOND)
    refused("APPROVAL_DECIDED", lambda: decide(approval.id, approved=True, by=THIRD))
    refused("APPROVAL_NOT_GRANTED", lambda: use(approval.id, "limit.loosen", "account:main", by=ASKER))


@pytest.mark.django_db
def test_an_approval_serves_no_other_act_and_no_undecided_one_serves_at_all() -> None:
    approval = ask()
    refused("APPROVAL_NOT_GRANTED", lambda: use(approval.id, "limit.loosen", "account:main", by=ASKER))
    decide(approval.id, approved=True, by=SECOND)
    refused("APPROVAL_FOR_SOMETHING_ELSE", lambda: use(approval.id, "limit.loosen", "account:other", by=ASKER))
    refused("APPROVAL_FOR_SOMETHING_ELSE", lambda: use(approval.id, "unlatch", "account:main", by=ASKER))


@pytest.mark.django_db
def test_a_late_decision_and_a_late_use_are_refused(manual: clock.ManualClock) -> None:
    decided, undecided = ask(), ask()
    manual.advance(timedelta(minutes=59, seconds=59))
    decide(decided.id, approved=True, by=SECOND)
    manual.advance(timedelta(seconds=1))
    refused("APPROVAL_EXPIRED", lambda: decide(undecided.id, approved=True, by=SECOND))
    refused("APPROVAL_SPENT", lambda: use(decided.id, "limit.loosen", "account:main", by=ASKER))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"decided_by": "user:asker", "decided_at": START, "approved": True}, "approval_by_a_second_person"),
        ({"decided_by": "user:second", "approved": True}, "approval_decided_whole"),
        ({"decided_by": "user:second", "decided_at": START}, "approval_decided_whole"),
        ({"approved": True}, "approval_decided_whole"),
        ({"expires_at": START}, "approval_expires_later"),
        (
            {"decided_by": "user:second", "decided_at": START + timedelta(hours=2), "approved": True},
            "approval_decided_in_time",
        ),
        ({"used_at": START}, "approval_used_in_time"),
        (
            {"decided_by": "user:second", "decided_at": START, "approved": False, "used_at": START},
            "approval_used_in_time",
        ),
        (
            {
                "decided_by": "user:second",
                "decided_at": START,
                "approved": True,
                "used_at": START + timedelta(hours=2),
            },
            "approval_used_in_time",
        ),
    ],
)
def test_the_database_itself_refuses_it(manual: clock.ManualClock, values: dict[str, Any], constraint: str) -> None:
    ask()
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        Approval.objects.update(**values)


@pytest.mark.django_db(transaction=True)
def test_of_many_uses_at_once_one_succeeds() -> None:
    approval = ask()
    decide(approval.id, approved=True, by=SECOND)
    results = run_together([lambda: use(approval.id, "limit.loosen", "account:main", by=ASKER)] * 8)
    assert sum(isinstance(result, Approval) for result in results) == 1
    assert {r.code for r in results if isinstance(r, Problem)} == {"APPROVAL_SPENT"}
