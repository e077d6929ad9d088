"""People in the admin, and how its pages are asked in tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import Group, User
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from execution_project.staff_groups import grant_to_groups


def person(*groups: str, name: str = "mira", superuser: bool = False) -> User:
    """A staff user in these staff groups."""
    grant_to_groups("default")
    user: User = User.objects.create_user(name, is_staff=True, is_superuser=superuser)
    user.groups.set(Group.objects.filter(name__in=groups))
    return user


def signed_in(*groups: str, name: str = "mira", superuser: bool = False) -> Client:
    """A browser in which somebody of these groups is signed in."""
    client = Client()
    client.force_login(person(*groups, name=name, superuser=superuser))
    return client


def text_of(answer: HttpResponse) -> str:
    """The page of an answer that must be a page."""
    assert answer.status_code == 200, (answer.status_code, answer.get("Location"))
    return answer.content.decode()


def queries_of(client: Client, url: str) -> int:
    """How many statements one page takes."""
    with CaptureQueriesContext(
        connection,
    ) as captured:
        text_of(client.get(url))
    return len(captured)


def same_queries(client: Client, url: str, make: Callable[[], Any], *, times: int = 27) -> int:
    """The statements of a page, which must be the same with ``times`` rows more; returns their number."""
    client.get(url)  # content types and the like are cached by the first page
    before = queries_of(client, url)
    for _ in range(times):
        make()
    after = queries_of(client, url)
    assert after == before, f"{url}: {before} statements, then {after}"
    return after
