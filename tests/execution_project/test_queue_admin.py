"""django-q's rows in the admin are read-only, and for superusers only."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from django_q.models import Failure, OrmQ, Schedule, Success, Task

from execution_project.common.doorbell import queue_row

MODELS = [Schedule, Success, Failure, OrmQ]
pytestmark = pytest.mark.django_db


def test_no_actions_and_no_right_to_change(rf: object) -> None:
    request = rf.get("/admin/")
    request.user = User.objects.create_superuser("root")
    for model in MODELS:
        site = admin.site._registry[model]
        assert site.get_actions(request) == {}
        assert site.has_view_permission(request)
        assert not site.has_add_permission(request)
        assert not site.has_change_permission(request)
        assert not site.has_delete_permission(request)


def test_staff_with_every_permission_does_not_see_them(client: Client) -> None:
    staff = User.objects.create_user("staff", is_staff=True)
    staff.user_permissions.set(Permission.objects.all())
    client.force_login(staff)
    for model in MODELS:
        assert client.get(f"/admin/django_q/{model._meta.model_name}/").status_code == 403


def test_superuser_reads_lists_and_rows_and_cannot_post(client: Client) -> None:
    client.force_login(User.objects.create_superuser("root"))
    queued = queue_row("cancel-binance", "execution_project.tasks.answer_beat", "cancel-binance")
    queued.save()
    now = timezone.now()
    Task.objects.create(id="f", name="f", func="f", started=now, stopped=now, success=False, result="why")
    for model, key in [(OrmQ, queued.pk), (Failure, "f")]:
        page = f"/admin/django_q/{model._meta.model_name}/"
        assert client.get(page).status_code == 200
        assert client.get(f"{page}{key}/change/").status_code == 200
        assert client.post(f"{page}{key}/change/", {"key": "x"}).status_code == 403
        assert client.post(f"{page}{key}/delete/", {"post": "yes"}).status_code == 403
    assert client.get("/admin/django_q/schedule/add/").status_code == 403
