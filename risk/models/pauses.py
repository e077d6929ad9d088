"""Pauses: stops of what increases exposure that end by themselves."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from exchanges.models import Mode
from execution_project.common import ids
from execution_project.common.models import AppendOnlyModel
from risk.models.state import ScopeKind


class Pause(AppendOnlyModel):
    """A scope of one mode takes nothing that increases exposure until a time that was fixed when it began.

    ``control``: the limit whose monitor set it. It is no latch: nobody lifts it, and nothing else is loosened by it.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    mode = models.CharField(max_length=8, choices=Mode.choices)
    scope_kind = models.CharField(max_length=16, choices=ScopeKind.choices)
    scope_key = models.CharField(max_length=64, blank=True)
    control = models.CharField(max_length=32)
    reason = models.CharField(max_length=256)
    evidence = models.JSONField(default=dict)
    began_at = models.DateTimeField()
    until = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(scope_kind__in=ScopeKind.values), name="pause_scope_known"),
            models.CheckConstraint(condition=Q(mode__in=Mode.values), name="pause_mode_known"),
            models.CheckConstraint(condition=Q(until__gt=models.F("began_at")), name="pause_ends_after_it_began"),
        ]
        indexes = [
            models.Index(fields=["mode", "scope_kind", "scope_key", "until"], name="pause_of_scope"),
            models.Index(fields=["until"], name="pause_until"),
        ]

    def __str__(self) -> str:
        return f"{self.scope_kind}:{self.scope_key} until {self.until:%FT%TZ}"


class MidWindow(models.Model):
    """The mids of one instrument within the last minute, by five seconds: a list of [start in ms, lowest, highest]."""

    instrument = models.OneToOneField("exchanges.Instrument", on_delete=models.PROTECT, primary_key=True)
    buckets = models.JSONField(default=list)

    def __str__(self) -> str:
        return f"mids of {self.instrument_id}"
