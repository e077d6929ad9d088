"""The staff groups and what each may do, set after every migrate from the tables in ``common.rights``.

A group's rights follow the code: what somebody changed by hand is set back by the next migrate. Whoever needs another
mix makes a group of another name, which nothing here touches.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import transaction

from execution_project.common.rights import OF_GROUP, Right

OUR_APPS = ("common", "exchanges", "positions", "risk", "orders")
# Staff accounts and their groups: who may give rights away.
_PEOPLE = ("view_user", "add_user", "change_user", "view_group")


def set_up_staff_groups(using: str = "default", **sent: Any) -> None:
    """Receiver of ``post_migrate``, after the permissions exist. Runs only after a real migrate, like the roles."""
    if "plan" in sent:
        with transaction.atomic(using=using):
            grant_to_groups(using)


def grant_to_groups(using: str = "default") -> None:
    """Make the groups of ``OF_GROUP`` and give each exactly its rights, with sight of every table of ours."""
    acts = {
        permission.codename: permission
        for permission in Permission.objects.using(using).filter(
            content_type__app_label="common", codename__startswith="act_"
        )
    }
    views = list(
        Permission.objects.using(using).filter(
            content_type__in=ContentType.objects.using(using).filter(app_label__in=OUR_APPS),
            codename__startswith="view_",
        )
    )
    people = list(Permission.objects.using(using).filter(content_type__app_label="auth", codename__in=_PEOPLE))
    if len(acts) < len(Right):
        return  # after migrating some apps alone; the last migrate completes it
    for name, rights in OF_GROUP.items():
        group, _ = Group.objects.using(using).get_or_create(name=name)
        permissions = [acts[f"act_{right.value}"] for right in rights] + views
        if Right.MANAGE_ACCOUNTS in rights:
            permissions += people
        group.permissions.set(permissions)
