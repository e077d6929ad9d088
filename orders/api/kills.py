"""Kills at the API: the episodes with verdict, sweeps and what is not proven, and why they happened."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from execution_project.common.api.authentication import Principal, actor_of, principal_of
from execution_project.common.api.fields import DecimalString
from execution_project.common.api.paging import page
from execution_project.common.api.query import PAGING, choice_of, flag_of, read_query
from execution_project.common.api.schema import AFTER, LIMIT, WITH_PAGES, WITH_QUERY, operation, parameter
from execution_project.common.clock import rfc3339
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from orders.api.serializers import StrictSerializer, StrictString
from orders.flattening import confirm_flatten, item_document, plan_flatten
from risk.api.documents import ScopeField, time_or_none
from risk.api.reach import scopes_reached, wholly_reached
from risk.kill_episodes import LONGEST_CAUSE, note_cause
from risk.models import (
    Flatten,
    FlattenItem,
    FlattenState,
    FlattenStatus,
    KillEpisode,
    KillSweep,
    KillVerdict,
    ScopeKind,
    State,
)


class UnprovenSerializer(serializers.Serializer[Any]):
    """One thing that keeps a kill from being verified."""

    account = serializers.CharField()
    what = serializers.CharField()
    subject = serializers.CharField(allow_blank=True)
    detail = serializers.CharField(allow_blank=True)


class SnapshotSerializer(serializers.Serializer[Any]):
    """One list of open orders that the exchange gave."""

    asked_at = serializers.DateTimeField()
    exchange_ms = serializers.IntegerField()
    working = serializers.IntegerField(min_value=0, help_text="Orders in scope that it showed.")


class SweepSerializer(serializers.Serializer[Any]):
    """The sweep of one account."""

    account = serializers.CharField()
    verified_at = serializers.DateTimeField(allow_null=True)
    looked_at = serializers.DateTimeField(allow_null=True)
    empty_since = serializers.DateTimeField(allow_null=True, help_text="Of the lists that count.")
    snapshots = SnapshotSerializer(many=True)


class FlattenItemSerializer(serializers.Serializer[Any]):
    """One holding that a flatten sells, and what became of it."""

    account = serializers.CharField()
    strategy = serializers.CharField(allow_null=True)
    asset = serializers.CharField()
    symbol = serializers.CharField(allow_blank=True, help_text="Empty: no listed pair leads to cash.")
    quantity = DecimalString()
    left = DecimalString()
    chunks = serializers.IntegerField(min_value=0, help_text="Orders placed.")
    state = serializers.ChoiceField(choices=FlattenState.values)
    why = serializers.CharField(allow_blank=True)


class FlattenSerializer(serializers.Serializer[Any]):
    """A confirmed flatten with its verdict."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=FlattenStatus.values)
    confirmed_by = serializers.CharField()
    confirmed_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    items = FlattenItemSerializer(many=True)


class KillEpisodeSerializer(serializers.Serializer[Any]):
    """One kill with its verdict and what is not proven."""

    id = serializers.UUIDField()
    scope = ScopeField()
    reason = serializers.CharField(allow_blank=True)
    killed_by = serializers.CharField()
    killed_at = serializers.DateTimeField()
    joined = serializers.IntegerField(min_value=0, help_text="How often it was asked for again.")
    verdict = serializers.ChoiceField(choices=KillVerdict.values)
    verdict_at = serializers.DateTimeField()
    unproven = UnprovenSerializer(many=True, help_text="As far as the key may know of it.")
    stage = serializers.ChoiceField(choices=State.values, help_text="How far two persons have lifted it.")
    cause = serializers.CharField(allow_blank=True, help_text="On record before it is lifted.")
    ended_at = serializers.DateTimeField(allow_null=True)
    sweeps = SweepSerializer(many=True)
    flattens = FlattenSerializer(many=True)


class KillsSerializer(serializers.Serializer[Any]):
    """One page of kills, newest first."""

    kills = KillEpisodeSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class PlannedItemSerializer(serializers.Serializer[Any]):
    """One holding that a flatten would sell."""

    account = serializers.CharField()
    strategy = serializers.CharField(allow_null=True)
    asset = serializers.CharField()
    symbol = serializers.CharField(allow_blank=True)
    quantity = DecimalString()


class FlattenPlanSerializer(serializers.Serializer[Any]):
    """What a flatten would sell, and what confirms exactly that."""

    scope = serializers.CharField()
    items = PlannedItemSerializer(many=True)
    confirm = serializers.CharField(help_text="Send it back to begin.")


class ConfirmFlattenSerializer(StrictSerializer):
    """The body of ``POST /api/exec/kills/{id}/flatten``."""

    confirm = StrictString(max_length=16, min_length=16)
    reason = StrictString(max_length=256, required=False, allow_blank=True)


class CauseSerializer(StrictSerializer):
    """The body of ``POST /api/exec/kills/{id}/cause``."""

    cause = StrictString(max_length=LONGEST_CAUSE, min_length=1)


LIST_KILLS = operation(
    "listKills",
    "Kills with verdict and what is not proven, newest first",
    tag="Control",
    parameters=(
        parameter("verdict", "With this verdict only.", enum=KillVerdict.values),
        parameter("standing", "`true`: those that are not over.", enum=["true", "false"]),
        LIMIT,
        AFTER,
    ),
    answers={200: (KillsSerializer, "One page.")},
    problems=WITH_PAGES,
)
READ_KILL = operation(
    "readKill",
    "One kill",
    tag="Control",
    answers={200: (KillEpisodeSerializer, "The kill.")},
    problems=(*WITH_QUERY, "UNKNOWN_KILL", "NOT_FOUND"),
)
NOTE_CAUSE = operation(
    "noteCauseOfKill",
    "Put on record why a kill happened",
    tag="Control",
    request=CauseSerializer,
    answers={200: (KillEpisodeSerializer, "The kill with its cause.")},
    problems=("UNKNOWN_KILL", "NOT_FOUND", "KILL_OVER"),
    examples=(OpenApiExample("A runaway", request_only=True, value={"cause": "a loop in the strategy's own code"}),),
)


PLAN_FLATTEN = operation(
    "planFlatten",
    "What a flatten of a killed scope would sell",
    tag="Control",
    answers={200: (FlattenPlanSerializer, "The list, and what confirms it.")},
    problems=(
        *(*WITH_QUERY, "UNKNOWN_KILL", "NOT_FOUND", "SCOPE_NOT_ALLOWED"),
        *("KILL_OVER", "KILL_NOT_VERIFIED", "FLATTEN_RUNNING", "NOTHING_TO_FLATTEN"),
    ),
)
CONFIRM_FLATTEN = operation(
    "confirmFlatten",
    "Sell everything but cash in a killed scope, as shown",
    tag="Control",
    request=ConfirmFlattenSerializer,
    answers={202: (FlattenSerializer, "It has begun; the kill's document follows it.")},
    problems=(
        *("UNKNOWN_KILL", "NOT_FOUND", "SCOPE_NOT_ALLOWED", "KILL_OVER", "KILL_NOT_VERIFIED"),
        *("FLATTEN_CHANGED", "FLATTEN_RUNNING", "NOTHING_TO_FLATTEN"),
    ),
    examples=(
        OpenApiExample("As shown", request_only=True, value={"confirm": "9f86d081884c7d65", "reason": "flat for now"}),
    ),
)


def kills_of(principal: Principal) -> Any:
    """Kills that a key may know of: what concerns everybody, and its own accounts and strategies."""
    rows = KillEpisode.objects.filter(scopes_reached(principal))
    return rows.prefetch_related("sweeps__account", "flattens__items__account", "flattens__items__strategy")


def kill_for(principal: Principal, kill_id: UUID) -> KillEpisode:
    """The kill, or ``Problem`` 404 when there is none that the key may know of."""
    episode: KillEpisode | None = kills_of(principal).filter(id=kill_id).first()
    if episode is None:
        raise Problem(404, "UNKNOWN_KILL", f"There is no kill {kill_id} for this key.")
    return episode


def kill_document(episode: KillEpisode, principal: Principal | None = None) -> dict[str, Any]:
    """A kill as ``KillEpisodeSerializer`` describes it; accounts that the key does not reach are left out.

    What is not proven names orders of any strategy: a key that is bound to strategies reads it where the scope is its
    own, and elsewhere the verdict alone.
    """

    def seen(account: str) -> bool:
        return principal is None or principal.may_see(account)

    def told(account: str) -> bool:
        if principal is None or principal.key.strategies is None:
            return seen(account)
        return seen(account) and wholly_reached(principal, episode.scope_kind, episode.scope_key)

    return {
        "id": str(episode.id),
        "scope": "global" if episode.scope_kind == ScopeKind.GLOBAL else {episode.scope_kind: episode.scope_key},
        "reason": episode.reason,
        "killed_by": episode.killed_by,
        "killed_at": rfc3339(episode.killed_at),
        "joined": episode.joined,
        "verdict": episode.verdict,
        "verdict_at": rfc3339(episode.verdict_at),
        "unproven": [each for each in episode.unproven if told(each["account"])],
        "stage": episode.stage,
        "cause": episode.cause,
        "ended_at": time_or_none(episode.ended_at),
        "sweeps": [
            _sweep_document(sweep)
            for sweep in sorted(episode.sweeps.all(), key=lambda each: each.account.name)
            if seen(sweep.account.name)
        ],
        "flattens": [
            flatten_document(flatten, principal) for flatten in sorted(episode.flattens.all(), key=lambda each: each.id)
        ],
    }


def flatten_document(flatten: Flatten, principal: Principal | None = None) -> dict[str, Any]:
    """A flatten as ``FlattenSerializer`` describes it."""
    items = sorted(flatten.items.all(), key=lambda item: item.id)
    return {
        "id": str(flatten.id),
        "status": flatten.status,
        "confirmed_by": flatten.confirmed_by,
        "confirmed_at": rfc3339(flatten.confirmed_at),
        "ended_at": time_or_none(flatten.ended_at),
        "items": [item_document(item) for item in items if principal is None or _reaches(principal, item)],
    }


def _reaches(principal: Principal, item: FlattenItem) -> bool:
    own = principal.key.strategies
    return principal.may_see(item.account.name) and (
        own is None or (item.strategy is not None and item.strategy.name in own)
    )


def _sweep_document(sweep: KillSweep) -> dict[str, Any]:
    return {
        "account": sweep.account.name,
        "verified_at": time_or_none(sweep.verified_at),
        "looked_at": time_or_none(sweep.looked_at),
        "empty_since": time_or_none(sweep.empty_since),
        "snapshots": sweep.snapshots,
    }


class KillsView(APIView):
    """``GET /api/exec/kills``."""

    rights = {"GET": Right.VIEW}

    @LIST_KILLS
    def get(self, request: Request) -> Response:
        """Kills, newest first."""
        query = read_query(request, ("verdict", "standing", *PAGING))
        principal = principal_of(request)
        rows = kills_of(principal)
        verdict = choice_of(query, "verdict", KillVerdict.values)
        if verdict is not None:
            rows = rows.filter(verdict=verdict)
        standing = flag_of(query, "standing")
        if standing is not None:
            rows = rows.filter(ended_at__isnull=standing)
        found, after = page(rows, query)
        return Response({"kills": [kill_document(row, principal) for row in found], "next": after})


class KillEpisodeView(APIView):
    """``GET /api/exec/kills/{id}``."""

    rights = {"GET": Right.VIEW}

    @READ_KILL
    def get(self, request: Request, kill_id: UUID) -> Response:
        """One kill."""
        read_query(request, ())
        principal = principal_of(request)
        return Response(kill_document(kill_for(principal, kill_id), principal))


class KillCauseView(APIView):
    """``POST /api/exec/kills/{id}/cause``."""

    rights = {"POST": Right.START}

    @NOTE_CAUSE
    def post(self, request: Request, kill_id: UUID) -> Response:
        """The cause is on record; a later word replaces it and both stay among the events."""
        principal = principal_of(request)
        episode = kill_for(principal, kill_id)
        serializer = CauseSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        by = actor_of(request, "POST /api/exec/kills/cause")
        return Response(kill_document(note_cause(episode.id, serializer.validated_data["cause"], by=by), principal))


class FlattenView(APIView):
    """``/api/exec/kills/{id}/flatten``."""

    rights = {"GET": Right.KILL, "POST": Right.KILL}

    @PLAN_FLATTEN
    def get(self, request: Request, kill_id: UUID) -> Response:
        """What would be sold now; nothing is."""
        read_query(request, ())
        plan = plan_flatten(self._episode(request, kill_id))
        items = [item.as_json() for item in plan.items]
        return Response({"scope": plan.scope, "items": items, "confirm": plan.confirm})

    @CONFIRM_FLATTEN
    def post(self, request: Request, kill_id: UUID) -> Response:
        """202: exactly what was shown is being sold, in chunks."""
        episode = self._episode(request, kill_id)
        serializer = ConfirmFlattenSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        asked = serializer.validated_data
        by = actor_of(request, "POST /api/exec/kills/flatten")
        flatten = confirm_flatten(episode, confirm=asked["confirm"], reason=asked.get("reason", ""), by=by)
        return Response(flatten_document(flatten), status=202)

    def _episode(self, request: Request, kill_id: UUID) -> KillEpisode:
        """The kill; a bound key sells only where it may halt: the whole scope has to be its own."""
        principal = principal_of(request)
        episode = kill_for(principal, kill_id)
        key = principal.key
        if key.accounts is not None or key.strategies is not None:
            own = {ScopeKind.ACCOUNT.value: key.accounts, ScopeKind.STRATEGY.value: key.strategies}
            if episode.scope_key not in (own.get(episode.scope_kind) or []):
                raise Problem(403, "SCOPE_NOT_ALLOWED", "This key may act on its own accounts and strategies only.")
        return episode
