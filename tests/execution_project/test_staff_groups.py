"""Staff groups: made by migrating, each with exactly the rights of its row, and sight of every table."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission, User

from execution_project.common.actors import staff
from execution_project.common.rights import EVERYTHING, OF_GROUP, Right
from execution_project.staff_groups import grant_to_groups, set_up_staff_groups

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", OF_GROUP)
def test_a_member_has_the_rights_of_the_group_and_no_other(name: str) -> None:
    set_up_staff_groups(plan=[])
    person = User.objects.create_user("ada", is_staff=True)
    assert staff(person, "a test").rights == frozenset()
    person.groups.add(Group.objects.get(name=name))
    person = User.objects.get(pk=person.pk)
    actor = staff(person, "a test")
    assert actor.name == "user:ada"
    assert actor.rights == OF_GROUP[name]
    assert person.has_perm("orders.view_order") and person.has_perm("positions.view_fill")
    assert person.has_perm("auth.add_user") is (name == "administrator")
    assert not person.has_perm("orders.change_order") and not person.has_perm("orders.delete_order")
    person.is_active = False
    assert staff(person, "a test").rights == frozenset()


def test_a_superuser_has_every_right() -> None:
    assert staff(User.objects.create_superuser("root"), "a test").rights == EVERYTHING


def test_what_was_changed_by_hand_is_set_back_and_other_groups_stay() -> None:
    grant_to_groups()
    auditor, own = Group.objects.get(name="auditor"), Group.objects.create(name="night desk")
    kill = Permission.objects.get(codename=f"act_{Right.KILL}")
    auditor.permissions.add(kill)
    own.permissions.add(kill)
    grant_to_groups()
    assert kill not in auditor.permissions.all()
    assert list(own.permissions.all()) == [kill]
