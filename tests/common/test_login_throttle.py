"""Logins to the admin: too many failures are refused before a password is looked at, and never for long."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth import hashers
from django.contrib.auth.models import User
from django.test import Client

from execution_project.common.login_throttle import OF_ADDRESS, OF_NAME, WINDOW
from execution_project.common.models import FailedLogins

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def olga(settings: LazySettings) -> User:
    """Somebody of the desk, with a password that is checked fast."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return User.objects.create_user("olga", password=PASSWORD, is_staff=True)


def log_in(password: str, *, name: str = "olga", address: str = "192.0.2.1", **headers: str) -> Any:
    """The answer to the login form."""
    data = {"username": name, "password": password, "next": "/admin/"}
    return Client().post("/admin/login/", data, REMOTE_ADDR=address, headers=headers)


def fail(times: int, **options: Any) -> None:
    """So many wrong passwords, each of them looked at."""
    for _ in range(times):
        assert log_in("wrong", **options).status_code == 200


def age(by: timedelta) -> None:
    """Let the windows have begun earlier."""
    for row in FailedLogins.objects.all():
        FailedLogins.objects.filter(pk=row.pk).update(began_at=row.began_at - by)


def test_after_ten_failures_not_even_the_right_password_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    fail(OF_NAME)
    looked_at: list[str] = []
    verify = hashers.MD5PasswordHasher.verify

    def noted(hasher: Any, password: str, encoded: str) -> bool:
        looked_at.append(password)
        return bool(verify(hasher, password, encoded))

    monkeypatch.setattr(hashers.MD5PasswordHasher, "verify", noted)
    answer = log_in(PASSWORD)
    assert (answer.status_code, looked_at) == (429, [])
    assert 0 < int(answer["Retry-After"]) <= WINDOW.total_seconds()
    assert "Too many logins failed." in answer.content.decode()
    assert log_in(PASSWORD, address="192.0.2.2").status_code == 302, "elsewhere they still get in"
    assert looked_at == [PASSWORD]


def test_it_ends_with_the_window_however_often_somebody_tries_in_between() -> None:
    fail(OF_NAME)
    age(WINDOW / 2)
    for _ in range(5):
        answer = log_in("wrong")
        assert answer.status_code == 429
    assert int(answer["Retry-After"]) <= WINDOW.total_seconds() / 2
    age(WINDOW / 2)
    assert log_in(PASSWORD).status_code == 302


def test_success_clears_the_name_and_costs_the_address_nothing() -> None:
    fail(OF_NAME - 1)
    assert log_in(PASSWORD).status_code == 302
    assert FailedLogins.objects.get().failures == OF_NAME - 1, "the address keeps its failures"
    fail(OF_NAME)
    assert log_in(PASSWORD).status_code == 429


def test_many_names_from_one_address_are_stopped_together() -> None:
    for number in range(OF_ADDRESS):
        fail(1, name=f"guess{number}")
    assert log_in(PASSWORD).status_code == 429
    assert log_in(PASSWORD, address="192.0.2.2").status_code == 302


def test_behind_a_proxy_the_address_is_what_the_proxy_saw(settings: LazySettings) -> None:
    settings.EXEC_TRUSTED_PROXIES = 1
    fail(OF_NAME, **{"X-Forwarded-For": "203.0.113.1"})
    assert log_in(PASSWORD, **{"X-Forwarded-For": "203.0.113.2, 203.0.113.1"}).status_code == 429
    assert log_in(PASSWORD, **{"X-Forwarded-For": "203.0.113.2"}).status_code == 302


def test_old_windows_leave_no_rows_and_no_name_is_stored() -> None:
    fail(1, name="a password typed into the wrong field")
    assert not [row.subject for row in FailedLogins.objects.all() if "password" in row.subject]
    age(WINDOW)
    fail(1)
    assert FailedLogins.objects.count() == 2


def test_a_login_form_that_is_too_old_is_refused_in_words() -> None:
    client = Client(enforce_csrf_checks=True)
    answer = client.post("/admin/login/", {"username": "olga", "password": PASSWORD})
    assert (answer.status_code, "STALE_PAGE" in answer.content.decode()) == (403, True)
    assert not FailedLogins.objects.exists(), "other people's pages cannot use up somebody's attempts"
