"""Breaks at the API: the list, who looks after one, and its end by hand."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from execution_project.common.api.approvals import ApprovalSerializer, approval_document
from execution_project.common.api.authentication import Principal, actor_of, principal_of
from execution_project.common.api.fields import DecimalString
from execution_project.common.api.paging import page
from execution_project.common.api.query import PAGING, choice_of, choices_of, read_query
from execution_project.common.api.schema import AFTER, LIMIT, WITH_PAGES, operation, parameter
from execution_project.common.clock import rfc3339
from execution_project.common.money import plain_or_none
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from orders.api.serializers import StrictSerializer, StrictString
from orders.break_overview import Overview, age_bucket_of, overview_of
from orders.break_rules import BUCKETS
from orders.breaks import acknowledge, listed_breaks, resolve
from orders.models import Break, BreakKind, BreakStatus, Severity

STATUSES = [status.value for status in BreakStatus if status is not BreakStatus.SUSPECTED]
# A break without an order concerns the account as a whole: keys bound to strategies do not reach it.
OF_STRATEGY = "order__strategy__name"


class BreakSerializer(serializers.Serializer[Any]):
    """A difference between our books and the exchange's."""

    id = serializers.UUIDField()
    account = serializers.CharField()
    kind = serializers.ChoiceField(choices=BreakKind.values)
    severity = serializers.ChoiceField(choices=Severity.values)
    subject = serializers.CharField(
        help_text="An asset, a part of the books, or symbol and exchange order id, for one trade with its id."
    )
    status = serializers.ChoiceField(choices=STATUSES)
    expected = serializers.CharField(allow_blank=True, help_text="What our books say.")
    observed = serializers.CharField(allow_blank=True, help_text="What the exchange says.")
    difference = DecimalString(allow_null=True, help_text="observed − expected, where that is an amount.")
    order = serializers.UUIDField(allow_null=True)
    owner = serializers.CharField(allow_null=True)
    opened_at = serializers.DateTimeField()
    age = serializers.ChoiceField(choices=BUCKETS, help_text="Open for at least so long, until its end.")
    last_seen_at = serializers.DateTimeField()
    resolution = serializers.CharField(allow_null=True)
    resolved_by = serializers.CharField(allow_null=True)
    resolved_at = serializers.DateTimeField(allow_null=True)
    evidence = serializers.DictField()


class BreakOverviewSerializer(serializers.Serializer[Any]):
    """The open breaks that the key reaches (of the account asked for), whatever the other filters leave out."""

    open = serializers.IntegerField()
    severe = serializers.IntegerField(help_text="Blocking or critical.")
    oldest_opened_at = serializers.DateTimeField(allow_null=True)
    by_age = serializers.DictField(
        child=serializers.IntegerField(),
        help_text=f"How many have reached each age and not the next: {', '.join(BUCKETS)}.",
    )


class BreaksSerializer(serializers.Serializer[Any]):
    """One page of breaks, newest first, and the open ones in numbers."""

    overview = BreakOverviewSerializer()
    breaks = BreakSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class AcknowledgeSerializer(StrictSerializer):
    """The body of ``POST /api/exec/breaks/{id}/acknowledge``."""

    owner = StrictString(max_length=128)


class ResolveSerializer(StrictSerializer):
    """The body of ``POST /api/exec/breaks/{id}/resolve``."""

    reason = StrictString(max_length=400, min_length=10)


class ProposedResolutionSerializer(serializers.Serializer[Any]):
    """A severe break waits for a second person."""

    approval = ApprovalSerializer()


LIST_BREAKS = operation(
    "listBreaks",
    "Differences between our books and the exchange's, newest first",
    tag="Control",
    parameters=(
        parameter("account", "Of this account only."),
        parameter("status", f"One or more of {', '.join(STATUSES)}, separated by commas."),
        parameter("severity", "Of this severity only.", enum=Severity.values),
        parameter("kind", "Of this kind only.", enum=BreakKind.values),
        LIMIT,
        AFTER,
    ),
    answers={200: (BreaksSerializer, "One page.")},
    problems=WITH_PAGES,
)
ACKNOWLEDGE_BREAK = operation(
    "acknowledgeBreak",
    "Name who looks after a break",
    tag="Control",
    request=AcknowledgeSerializer,
    answers={200: (BreakSerializer, "The break.")},
    problems=("UNKNOWN_BREAK", "NOT_FOUND", "BREAK_RESOLVED"),
    examples=(OpenApiExample("Taken", request_only=True, value={"owner": "night desk"}),),
)
RESOLVE_BREAK = operation(
    "resolveBreak",
    "End a break by hand, with a reason",
    tag="Control",
    request=ResolveSerializer,
    answers={
        200: (BreakSerializer, "The break, resolved."),
        202: (ProposedResolutionSerializer, "Severe: it ends when a second person approves."),
    },
    problems=("UNKNOWN_BREAK", "NOT_FOUND", "BREAK_RESOLVED"),
    examples=(
        OpenApiExample("Explained", request_only=True, value={"reason": "placed by hand on the exchange's site"}),
    ),
)


def break_document(row: Break) -> dict[str, Any]:
    """A break; decimals as strings, times RFC 3339 in UTC."""
    return {
        "id": str(row.id),
        "account": row.account.name,
        "kind": row.kind,
        "severity": row.severity,
        "subject": row.subject,
        "status": row.status,
        "expected": row.expected,
        "observed": row.observed,
        "difference": plain_or_none(row.difference),
        "order": None if row.order_id is None else str(row.order_id),
        "owner": row.owner or None,
        "opened_at": rfc3339(row.opened_at),
        "age": age_bucket_of(row),
        "last_seen_at": rfc3339(row.last_seen_at),
        "resolution": row.resolution or None,
        "resolved_by": row.resolved_by or None,
        "resolved_at": None if row.resolved_at is None else rfc3339(row.resolved_at),
        "evidence": row.evidence,
    }


def overview_document(overview: Overview) -> dict[str, Any]:
    """Open breaks in numbers."""
    oldest = overview.oldest_opened_at
    return {
        "open": overview.open,
        "severe": overview.severe,
        "oldest_opened_at": None if oldest is None else rfc3339(oldest),
        "by_age": overview.by_age,
    }


def _reached(principal: Principal, break_id: UUID) -> UUID:
    """The id, if the key reaches the break. Raises ``Problem`` (404)."""
    if not principal.narrow(listed_breaks(), strategy=OF_STRATEGY).filter(id=break_id).exists():
        raise Problem(404, "UNKNOWN_BREAK", "There is no such break for this key.")
    return break_id


class BreaksView(APIView):
    """``GET /api/exec/breaks``."""

    rights = {"GET": Right.VIEW}

    @LIST_BREAKS
    def get(self, request: Request) -> Response:
        """Breaks of the accounts that the key reaches; for a key bound to strategies, of their orders alone."""
        query = read_query(request, ("account", "status", "severity", "kind", *PAGING))
        rows = principal_of(request).narrow(listed_breaks(), strategy=OF_STRATEGY)
        if "account" in query:
            rows = rows.filter(account__name=query["account"])
        overview = overview_document(overview_of(rows))
        statuses = choices_of(query, "status", STATUSES)
        if statuses is not None:
            rows = rows.filter(status__in=statuses)
        for name, choices in (("severity", Severity.values), ("kind", BreakKind.values)):
            value = choice_of(query, name, choices)
            if value is not None:
                rows = rows.filter(**{name: value})
        found, after = page(rows, query)
        return Response({"overview": overview, "breaks": [break_document(row) for row in found], "next": after})


class AcknowledgeBreakView(APIView):
    """``POST /api/exec/breaks/{id}/acknowledge``."""

    rights = {"POST": Right.RESOLVE}

    @ACKNOWLEDGE_BREAK
    def post(self, request: Request, break_id: UUID) -> Response:
        """Somebody looks after it; it stays open."""
        body = AcknowledgeSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        by = actor_of(request, "POST /api/exec/breaks/acknowledge")
        row = acknowledge(_reached(principal_of(request), break_id), body.validated_data["owner"], by)
        return Response(break_document(row))


class ResolveBreakView(APIView):
    """``POST /api/exec/breaks/{id}/resolve``."""

    rights = {"POST": Right.RESOLVE}

    @RESOLVE_BREAK
    def post(self, request: Request, break_id: UUID) -> Response:
        """200: it has ended. 202: a severe one, or one that moves the books, waits for a second person."""
        body = ResolveSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        by = actor_of(request, "POST /api/exec/breaks/resolve")
        outcome = resolve(_reached(principal_of(request), break_id), body.validated_data["reason"], by)
        if outcome.approval is not None:
            return Response({"approval": approval_document(outcome.approval)}, status=202)
        return Response(break_document(outcome.row))
