"""Pauses in the admin: what stood still for a while, and what does now. They end by themselves; there is no act."""

from __future__ import annotations

from django.contrib import admin

from execution_project.common import clock
from execution_project.common.admin_filters import by_time
from execution_project.common.admin_values import badge
from execution_project.common.read_only_admin import ReadOnlyAdmin
from risk.intent import scope_name
from risk.models import Pause


@admin.register(Pause)
class PauseAdmin(ReadOnlyAdmin):
    """Every pause, newest first."""

    list_display = ("began_at", "mode", "scope", "state", "control", "reason", "until")
    list_filter = ("mode", by_time("id"))
    search_fields = ("id",)
    search_help_text = "pause id"

    @admin.display(description="scope")
    def scope(self, row: Pause) -> str:
        """Kind and name."""
        return scope_name(row.scope_kind, row.scope_key)

    @admin.display(description="state")
    def state(self, row: Pause) -> str:
        """Whether it stands."""
        return badge("paused", "amber") if row.until > clock.now() else badge("over", "gray")

    def heading(self, row: Pause) -> str:
        """The scope and its end."""
        return f"Pause of {scope_name(row.scope_kind, row.scope_key)}"
