"""The task queue's rows in the admin: to read, never to touch.

A row of django-q's is a call of any function by name: whoever may add or edit one runs code, and resubmitting an old
task acts on orders again. So all of it is read-only, and only superusers see it.
"""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django_q.models import Failure, OrmQ, Schedule, Success

from execution_project.common.read_only_admin import ReadOnlyAdmin


class ReadOnlyQueueAdmin(ReadOnlyAdmin):
    """View permission for superusers, nothing else for anybody; no actions."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Listed for superusers."""
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Superusers only."""
        return bool(request.user.is_active and request.user.is_superuser)


for model in (Schedule, Success, Failure, OrmQ):
    admin.site.unregister(model)


@admin.register(Success, Failure)
class ResultAdmin(ReadOnlyQueueAdmin):
    """Ended tasks; what they were about is read from orders, commands and events."""

    list_display = ("name", "func", "cluster", "started", "stopped", "success")
    list_filter = ("cluster",)
    search_fields = ("name", "func")
    fields = ("id", "name", "func", "args", "cluster", "started", "stopped", "success", "attempt_count", "result")


@admin.register(OrmQ)
class QueuedAdmin(ReadOnlyQueueAdmin):
    """Waiting and running tasks. The payload is not shown: it is signed for execution."""

    list_display = ("id", "key", "name", "func", "lock")
    list_filter = ("key",)
    fields = ("key", "lock", "name", "func", "args")


@admin.register(Schedule)
class ScheduleAdmin(ReadOnlyQueueAdmin):
    """The scheduler is off (the ticker does its work); rows here are a sign of somebody's mistake."""

    list_display = ("id", "name", "func", "schedule_type", "next_run")
