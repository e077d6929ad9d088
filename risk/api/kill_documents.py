"""A standing kill as the risk screen shows it; the whole episode is at ``/api/exec/kills/{id}``."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from execution_project.common.clock import rfc3339
from risk.api.documents import ScopeField
from risk.models import KillEpisode, KillVerdict, ScopeKind, State


class StandingKillSerializer(serializers.Serializer[Any]):
    """One kill that is not over."""

    id = serializers.UUIDField()
    scope = ScopeField()
    reason = serializers.CharField(allow_blank=True)
    killed_by = serializers.CharField()
    killed_at = serializers.DateTimeField()
    verdict = serializers.ChoiceField(choices=KillVerdict.values)
    verdict_at = serializers.DateTimeField()
    stage = serializers.ChoiceField(choices=State.values, help_text="How far two persons have lifted it.")
    cause = serializers.CharField(allow_blank=True, help_text="On record before it is lifted.")


def standing_kill_document(episode: KillEpisode) -> dict[str, Any]:
    """A kill as ``StandingKillSerializer`` describes it."""
    return {
        "id": str(episode.id),
        "scope": "global" if episode.scope_kind == ScopeKind.GLOBAL else {episode.scope_kind: episode.scope_key},
        "reason": episode.reason,
        "killed_by": episode.killed_by,
        "killed_at": rfc3339(episode.killed_at),
        "verdict": episode.verdict,
        "verdict_at": rfc3339(episode.verdict_at),
        "stage": episode.stage,
        "cause": episode.cause,
    }
