"""Events, approvals, strategies, API keys, queues and people in the admin."""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test import Client

from execution_project.common import clock
from execution_project.common.api_keys import InvalidApiKey, authenticate, create_api_key, revoke_api_key
from execution_project.common.events import record
from execution_project.common.models import (
    ApiKey,
    ApiKeyUse,
    Approval,
    Chore,
    DeadTask,
    Event,
    IdempotencyKey,
    QueueBeat,
    Strategy,
)
from execution_project.common.problems import Problem
from execution_project.common.rights import OF_GROUP
from tests.factories import BY, StrategyFactory
from tests.staff import person, same_queries, signed_in, text_of

pytestmark = pytest.mark.django_db
KEYS = "/admin/common/apikey/"
USERS = "/admin/auth/user/"
STRATEGIES = "/admin/common/strategy/"


@pytest.fixture
def administrator() -> Client:
    """Somebody who may do everything."""
    return signed_in("administrator")


def key_form(**values: Any) -> dict[str, Any]:
    return {"name": "bot", "scopes": ["read", "trade"], "requests_per_second": "20", **values}


# ------------------------------------------------------------------------------------------------------------- API keys


def test_a_key_is_shown_once_and_works(administrator: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    StrategyFactory(name="grid")
    answer = administrator.post(
        KEYS + "add/",
        key_form(accounts="main\n spare \n", strategies="grid", networks="10.0.0.0/8\n127.0.0.1", owner="desk"),
    )
    text = re.search(r"exk_[0-9a-f]+_[0-9a-f]+", text_of(answer))
    assert text is not None
    assert "no-store" in answer["Cache-Control"]
    key = authenticate(text.group(), address="10.0.0.7")
    assert (key.name, key.scopes, key.accounts, key.strategies) == (
        "bot",
        ["read", "trade"],
        ["main", "spare"],
        ["grid"],
    )
    assert key.networks == ["10.0.0.0/8", "127.0.0.1/32"]
    secret = text.group().rsplit("_", 1)[1]
    stored = []
    with connection.cursor() as cursor:
        for model in (model for model in apps.get_models() if model._meta.managed):
            cursor.execute(f"SELECT t::text FROM {connection.ops.quote_name(model._meta.db_table)} t")
            stored += [row[0] for row in cursor.fetchall()]
    pages = [text_of(administrator.get(url)) for url in (KEYS, f"{KEYS}{key.id}/change/", "/admin/common/event/")]
    assert secret not in "\n".join([*stored, *pages, caplog.text, str(administrator.cookies)])
    assert key.secret_hash not in "\n".join(pages)
    assert Event.objects.get(kind="api_key.created").actor == "user:mira"


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"name": "taken"}, "name", "already"),
        ({"name": ""}, "name", "required"),
        ({"scopes": []}, "scopes", "required"),
        ({"scopes": ["root"]}, "scopes", "not one of the available choices"),
        ({"networks": "10.0.0.0/8\nhere"}, "networks", "here"),
        ({"networks": "10.0.0.1/8"}, "networks", "host bits"),
        ({"strategies": "unknown"}, "strategies", "There is no strategy unknown"),
        ({"requests_per_second": "0"}, "requests_per_second", "greater than or equal to 1"),
        ({"expires_at": "2001-01-01 00:00"}, "expires_at", "past"),
        ({"expires_at": "soon"}, "expires_at", "valid date"),
    ],
)
def test_what_is_wrong_with_a_key_is_said_at_its_field(
    administrator: Client, values: dict[str, Any], field: str, words: str
) -> None:
    create_api_key("taken", ["read"], by=BY)
    answer = administrator.post(KEYS + "add/", key_form(**values))
    assert answer.status_code == 400
    assert words in " ".join(answer.context["form"].errors[field])
    assert ApiKey.objects.count() == 1


def test_revoking_ends_a_key_for_good(administrator: Client) -> None:
    key, text = create_api_key("bot", ["read"], by=BY)
    url = f"{KEYS}{key.id}/revoke/"
    assert "for good" in text_of(administrator.get(url))
    authenticate(text)
    assert administrator.post(url)["Location"] == f"{KEYS}{key.id}/change/"
    with pytest.raises(InvalidApiKey):
        authenticate(text)
    page = text_of(administrator.get(f"{KEYS}{key.id}/change/"))
    assert "revoked" in page
    assert url not in page
    revoke_api_key(key.id, by=BY)
    assert Event.objects.filter(kind="api_key.revoked").count() == 1
    assert administrator.post(f"{KEYS}nobody/revoke/", follow=True).redirect_chain == [(KEYS, 302)]
    with pytest.raises(Problem):
        revoke_api_key("nobody", by=BY)


def test_a_key_says_when_it_was_last_used(administrator: Client) -> None:
    key, _ = create_api_key("bot", ["read"], by=BY)
    assert "never" in text_of(administrator.get(KEYS))
    now = clock.now()
    ApiKeyUse.objects.create(key=key, next_free_at=now, last_used_at=now, last_used_from="10.1.2.3")
    for url in (KEYS, f"{KEYS}{key.id}/change/"):
        assert "from 10.1.2.3" in text_of(administrator.get(url))


@pytest.mark.parametrize("group", ["auditor", "trader", "risk", "operations"])
def test_only_administrators_make_keys_strategies_and_people(group: str) -> None:
    key, _ = create_api_key("bot", ["read"], by=BY)
    client = signed_in(group)
    for url in (KEYS + "add/", f"{KEYS}{key.id}/revoke/", STRATEGIES + "add/", USERS + "add/"):
        assert client.get(url).status_code == 403, url
        assert client.post(url, key_form(username="x")).status_code == 403, url
    assert ApiKey.objects.get().revoked_at is None
    assert client.get(USERS).status_code == 403


# ----------------------------------------------------------------------------------------------------------- strategies


def test_a_strategy_is_registered_once(administrator: Client) -> None:
    assert administrator.post(STRATEGIES + "add/", {"name": "grid-1"})["Location"] == STRATEGIES
    assert Strategy.objects.get().name == "grid-1"
    assert Event.objects.get(kind="strategy.registered").subject_id == "grid-1"
    for name, words in {"grid-1": "already", "two words": "no blanks", "": "required"}.items():
        answer = administrator.post(STRATEGIES + "add/", {"name": name})
        assert answer.status_code == 400
        assert words in " ".join(answer.context["form"].errors["name"])
    assert Strategy.objects.count() == 1


# --------------------------------------------------------------------------------------------------------------- people


def new_person(**values: Any) -> dict[str, Any]:
    return {
        "username": "nora",
        "usable_password": "true",
        "password1": "a-long-enough-passphrase",
        "password2": "a-long-enough-passphrase",
        "is_staff": "on",
        **values,
    }


def of_person(user: User, **values: Any) -> dict[str, Any]:
    return {
        "username": user.username,
        "first_name": "",
        "last_name": "",
        "email": "",
        "is_active": "on",
        "is_staff": "on",
        "groups": [group.pk for group in user.groups.all()],
        **values,
    }


def test_an_administrator_makes_people_of_the_staff_groups(administrator: Client) -> None:
    trader = Group.objects.get(name="trader")
    foreign = Group.objects.create(name="beyond")
    page = text_of(administrator.get(USERS + "add/"))
    assert "beyond" not in page
    assert all(name in page for name in OF_GROUP)
    assert administrator.post(USERS + "add/", new_person(groups=[trader.pk])).status_code == 302
    nora = User.objects.get(username="nora")
    assert (nora.is_staff, nora.is_superuser, list(nora.groups.all())) == (True, False, [trader])
    assert Client().login(username="nora", password="a-long-enough-passphrase")
    event = Event.objects.get(kind="staff.created")
    assert (event.actor, event.subject_id, event.evidence["groups"]) == ("user:mira", "nora", ["trader"])
    answer = administrator.post(USERS + "add/", new_person(username="olga", groups=[foreign.pk]))
    assert answer.status_code == 200
    assert not User.objects.filter(username="olga").exists()


def test_nobody_but_a_superuser_gives_more_than_groups(administrator: Client) -> None:
    nora = person("trader", name="nora")
    permission = Permission.objects.get(codename="act_start")
    more = of_person(nora, is_superuser="on", user_permissions=[permission.pk])
    page = text_of(administrator.get(f"{USERS}{nora.pk}/change/"))
    assert 'name="is_superuser"' not in page
    assert 'name="user_permissions"' not in page
    assert administrator.post(f"{USERS}{nora.pk}/change/", more).status_code == 302
    administrator.post(USERS + "add/", new_person(username="olga", is_superuser="on", user_permissions=[permission.pk]))
    for user in User.objects.filter(username__in=["nora", "olga", "mira"]):
        assert not user.is_superuser
        assert not user.user_permissions.exists()
    root = signed_in(superuser=True, name="root")
    assert root.post(f"{USERS}{nora.pk}/change/", more).status_code == 302
    nora = User.objects.get(username="nora")
    assert nora.is_superuser
    assert list(nora.user_permissions.all()) == [permission]


def test_an_administrator_cannot_touch_a_superuser(administrator: Client) -> None:
    root = person(superuser=True, name="root")
    root.set_password("what-it-was-before")
    root.save()
    assert 'name="_save"' not in text_of(administrator.get(f"{USERS}{root.pk}/change/"))
    assert administrator.post(f"{USERS}{root.pk}/change/", of_person(root, is_active="")).status_code == 403
    word = {"password1": "taken-over-by-me", "password2": "taken-over-by-me"}
    assert administrator.post(f"{USERS}{root.pk}/password/", word).status_code == 403
    root = User.objects.get(username="root")
    assert root.is_active
    assert root.check_password("what-it-was-before")


def test_groups_that_an_administrator_does_not_see_stay(administrator: Client) -> None:
    nora = person("trader", name="nora")
    nora.groups.add(Group.objects.create(name="beyond"))
    auditor = Group.objects.get(name="auditor")
    administrator.post(f"{USERS}{nora.pk}/change/", of_person(nora, groups=[auditor.pk]))
    assert {group.name for group in nora.groups.all()} == {"auditor", "beyond"}
    event = Event.objects.get(kind="staff.changed")
    assert event.evidence["groups"] == ["auditor", "beyond"]


def test_nobody_is_deleted_and_no_word_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    root, nora = signed_in(superuser=True, name="root"), person("trader", name="nora")
    assert root.post(f"{USERS}{nora.pk}/delete/", {"post": "yes"}).status_code == 403
    word = {"password1": "another-long-passphrase", "password2": "another-long-passphrase", "usable_password": "true"}
    assert root.post(f"{USERS}{nora.pk}/password/", word).status_code == 302
    assert User.objects.get(username="nora").check_password("another-long-passphrase")
    kept = [str(event.evidence) for event in Event.objects.all()]
    kept += [entry.change_message for entry in LogEntry.objects.all()]
    assert "another-long-passphrase" not in "\n".join([*kept, caplog.text])
    assert Event.objects.filter(kind="staff.changed", subject_id="nora").count() == 1


def test_staff_groups_follow_the_code(administrator: Client) -> None:
    root = signed_in(superuser=True, name="root")
    trader = Group.objects.get(name="trader")
    for client in (root, administrator):
        answer = client.post(f"/admin/auth/group/{trader.pk}/change/", {"name": "trader", "permissions": []})
        assert answer.status_code == 403
        assert client.post(f"/admin/auth/group/{trader.pk}/delete/", {"post": "yes"}).status_code == 403
    assert administrator.get("/admin/auth/group/add/").status_code == 403
    assert root.post("/admin/auth/group/add/", {"name": "interns"}).status_code == 302
    assert trader.permissions.exists()


# ------------------------------------------------------------------------------------------------------ everything else


def test_events_are_found_by_whom_they_are_about_and_by_request() -> None:
    auditor = signed_in("auditor")
    event = record("order.denied", "order", "0191-x", BY, evidence={"why": "<b>no</b>"})
    record("api_key.created", "api_key", "abc", BY)
    Event.objects.create(at=clock.now(), kind="a.b", subject_type="s", subject_id="x", request_id="req-9", cause="")
    for text, count in {"0191-x": 1, "abc": 1, "req-9": 1, str(event.id): 1, "0191": 0, "req": 0}.items():
        assert auditor.get("/admin/common/event/", {"q": text}).context["cl"].result_count == count, text
    listing = text_of(auditor.get("/admin/common/event/"))
    assert "kind=order.denied" in listing
    assert auditor.get("/admin/common/event/", {"kind": "a.b"}).context["cl"].result_count == 1
    assert "&lt;b&gt;no&lt;/b&gt;" in text_of(auditor.get(f"/admin/common/event/{event.id}/change/"))


def test_an_approval_shows_where_it_stands_and_who_may_decide() -> None:
    now = clock.now()
    common = {
        "act": "lift_latch",
        "subject": "global",
        "reason": "why",
        "requested_by": "user:otto",
        "requested_at": now,
    }
    waiting = Approval.objects.create(**common, expires_at=now + timedelta(hours=1))
    lapsed = Approval.objects.create(
        **{**common, "requested_at": now - timedelta(hours=2)}, expires_at=now - timedelta(hours=1)
    )
    risk, auditor = signed_in("risk", name="rita"), signed_in("auditor", name="otto")
    page = "/admin/common/approval/{}/change/"
    assert f"/admin/acts/decide/{waiting.id}" in text_of(risk.get(page.format(waiting.id)))
    assert "/admin/acts/decide/" not in text_of(risk.get(page.format(lapsed.id)))
    assert "/admin/acts/decide/" not in text_of(auditor.get(page.format(waiting.id)))
    assert "lapsed" in text_of(auditor.get("/admin/common/approval/"))


def test_lookups_of_what_is_not_shown_are_refused(administrator: Client) -> None:
    create_api_key("bot", ["read"], by=BY)
    for lookup in ("secret_hash__startswith", "use__last_used_from", "owner__icontains"):
        assert administrator.get(KEYS, {lookup: "a"}).status_code == 400


def test_lists_take_the_same_statements_however_many_rows(administrator: Client) -> None:
    numbers = iter(range(1000))

    def make() -> None:
        n, now = next(numbers), clock.now()
        record("order.open", "order", n, BY)
        create_api_key(f"bot-{n}", ["read"], by=BY)
        ApiKeyUse.objects.create(
            key=ApiKey.objects.get(name=f"bot-{n}"), next_free_at=now, last_used_at=now, last_used_from=None
        )
        StrategyFactory()
        person("trader", name=f"person-{n}")
        Approval.objects.create(
            act="a", subject="s", reason="", requested_by="x", requested_at=now, expires_at=now + timedelta(hours=1)
        )
        Chore.objects.create(name=f"chore-{n}", rung_at=now)
        QueueBeat.objects.create(queue=f"queue-{n}")
        DeadTask.objects.create(queue="q", payload="secret-payload", reason="<b>unreadable</b>")
        IdempotencyKey.objects.create(
            principal="key:a", key=f"k-{n}", body_hash="", resource_id="0" * 32, created_at=now
        )

    for _ in range(3):
        make()
    for name in ("event", "apikey", "strategy", "approval", "chore", "queuebeat", "deadtask", "idempotencykey"):
        assert same_queries(administrator, f"/admin/common/{name}/", make, times=10) <= 14, name
    assert same_queries(administrator, USERS, make, times=10) <= 16
    dead = DeadTask.objects.first()
    assert dead is not None
    text = text_of(administrator.get(f"/admin/common/deadtask/{dead.pk}/change/"))
    assert "secret-payload" not in text
    assert "&lt;b&gt;unreadable" in text


def test_an_idempotency_key_leads_to_its_order(administrator: Client) -> None:
    resource = "01920000-0000-7000-8000-000000000000"
    IdempotencyKey.objects.create(
        principal="key:a", key="mine", body_hash="", resource_id=resource, created_at=clock.now()
    )
    page = text_of(administrator.get("/admin/common/idempotencykey/", {"q": "mine"}))
    assert f"/admin/orders/order/{resource}/change/" in page
