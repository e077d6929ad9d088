"""A second person's word: never one's own, never late, never twice."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from execution_project.common import clock
from execution_project.common.actors import Actor, command
from execution_project.common.api_keys import create_api_key
from execution_project.common.approvals import asked_by, decide, request_approval, use
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


def ask(subject: str = "account:main", by: Actor = ASKER, value: str = "5") -> Approval:
    return request_approval("limit.loosen", subject, reason="wider", by=by, parameters={"value": value})


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
@pytest.mark.parametrize(
    ("asker", "decider", "same"),
    [
        ("user:olga", "command:olga", True),
        ("command:olga", "user:Olga", True),
        ("key:olga", "user:olga", True),
        ("key:bot", "user:olga", True),
        ("key:bot", "command:olga", True),
        ("user:olga", "key:bot", True),
        ("key:bot", "key:olgas-other-bot", True),
        ("key:bot", "user:rita", False),
        ("user:olga", "command:rita", False),
        ("key:unknown", "user:olga", False),
    ],
)
def test_nobody_is_a_second_person_by_another_way_in(asker: str, decider: str, same: bool) -> None:
    for name, owner in (("bot", "olga"), ("olgas-other-bot", " Olga "), ("ownerless", ""), ("also-ownerless", "")):
        create_api_key(name, ["operate"], by=THIRD, owner=owner)
    approval = ask(by=Actor(asker, "test", rights=EVERYTHING))
    by = Actor(decider, "test", rights=EVERYTHING)
    assert asked_by(approval, by) == same
    if same:
        refused("APPROVAL_OWN_REQUEST", lambda: decide(approval.id, approved=True, by=by))
    else:
        assert decide(approval.id, approved=True, by=by).decided_by == decider


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("asker", "decider"),
    [("key:ownerless", "key:also-ownerless"), ("key:ownerless", "key:bot"), ("user:rita", "key:ownerless")],
)
def test_keys_without_an_owner_are_nobodys_word(asker: str, decider: str) -> None:
    for name, owner in (("bot", "olga"), ("ownerless", ""), ("also-ownerless", "  ")):
        create_api_key(name, ["operate"], by=THIRD, owner=owner)
    approval = ask(by=Actor(asker, "test", rights=EVERYTHING))
    by = Actor(decider, "test", rights=EVERYTHING)
    refused("KEY_WITHOUT_OWNER", lambda: decide(approval.id, approved=True, by=by))
    assert decide(approval.id, approved=True, by=Actor("user:omar", "test", rights=EVERYTHING)).approved


def test_the_name_of_whoever_runs_a_command_is_the_accounts_own(monkeypatch: pytest.MonkeyPatch) -> None:
    own = pwd.getpwuid(os.getuid()).pw_name
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, "somebody-else")
    assert command("test").name == f"command:{own}"
    monkeypatch.setattr(os, "getuid", lambda: 3_999_999_999)
    assert command("test").name == "command:uid-3999999999"


@pytest.mark.django_db
def test_asking_for_the_same_again_is_the_same_proposal(manual: clock.ManualClock) -> None:
    first = ask()
    assert ask().id == first.id
    assert Event.objects.filter(kind="approval.requested").count() == 1
    others = [ask("account:other"), ask(by=THIRD), ask(value="6")]
    assert len({first.id, *(other.id for other in others)}) == 4
    decide(first.id, approved=False, by=SECOND)
    after_a_refusal = ask()
    assert after_a_refusal.id != first.id
    manual.advance(timedelta(hours=1))
    assert ask().id != after_a_refusal.id


@pytest.mark.django_db(transaction=True)
def test_of_many_who_ask_the_same_at_once_all_get_one_proposal() -> None:
    results = run_together([ask] * 8)
    assert {result.id for result in results if isinstance(result, Approval)} == {Approval.objects.get().id}
    assert all(isinstance(result, Approval) for result in results)


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
    decided, undecided = ask(), ask("account:other")
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
