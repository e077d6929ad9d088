"""People who use the admin, one per staff group."""

from __future__ import annotations

from django.contrib.auth.models import Group, User
from django.test import Client

from execution_project.common.rights import OF_GROUP
from execution_project.staff_groups import grant_to_groups


def person(name: str, *groups: str) -> User:
    """A staff member in these groups; none: somebody without any right."""
    if Group.objects.count() < len(OF_GROUP):
        grant_to_groups()  # a test with real commits is followed by a flush, which takes the groups along
    user = User.objects.create_user(name, is_staff=True)
    user.groups.set(Group.objects.filter(name__in=groups))
    return user


def client_of(user: User, *, enforce_csrf_checks: bool = False) -> Client:
    """A browser in which they are logged in."""
    client = Client(enforce_csrf_checks=enforce_csrf_checks)
    client.force_login(user)
    return client
