"""Approvals at the API: what waits for a second person, and that person's word."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from execution_project.common.api.authentication import Principal, actor_of, principal_of
from execution_project.common.api.paging import page
from execution_project.common.api.query import PAGING, flag_of, read_query
from execution_project.common.api.schema import AFTER, LIMIT, WITH_BODY, WITH_PAGES, WITH_QUERY, operation, parameter
from execution_project.common.approvals import (
    approval_of,
    carry_out,
    consequences,
    decide_and_carry_out,
    still_open,
)
from execution_project.common.clock import rfc3339
from execution_project.common.models import Approval
from execution_project.common.problems import Problem
from execution_project.common.rights import Right


class ApprovalSerializer(serializers.Serializer[Any]):
    """A proposal and what became of it."""

    id = serializers.UUIDField()
    act = serializers.CharField()
    subject = serializers.CharField()
    parameters = serializers.DictField()
    reason = serializers.CharField(allow_blank=True)
    requested_by = serializers.CharField()
    requested_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    approved = serializers.BooleanField(allow_null=True)
    decided_by = serializers.CharField(allow_null=True)
    decided_at = serializers.DateTimeField(allow_null=True)
    used_at = serializers.DateTimeField(allow_null=True)


class ProposalSerializer(serializers.Serializer[Any]):
    """An act that waits for a second person."""

    approval = ApprovalSerializer()


class ApprovalsSerializer(serializers.Serializer[Any]):
    """A page of proposals."""

    approvals = ApprovalSerializer(many=True)
    next = serializers.CharField(allow_null=True, help_text="Send it as `after` for the next page; null at the end.")


class ExplainedApprovalSerializer(ApprovalSerializer):
    """A proposal with what approving it does."""

    effects = serializers.ListField(
        child=serializers.CharField(), help_text="In sentences, as things stand; empty when nothing is left to decide."
    )


class DecidedSerializer(serializers.Serializer[Any]):
    """A proposal that was decided."""

    approval = ApprovalSerializer()
    done = serializers.CharField(help_text="What was done, in a sentence.")


LIST_APPROVALS = operation(
    "listApprovals",
    "Proposals that take a second person, newest first",
    tag="Control",
    parameters=(
        parameter("act", "Of this kind only, such as `change_limit`."),
        parameter("open", "`true`: those that wait to be decided or carried out.", enum=["true", "false"]),
        LIMIT,
        AFTER,
    ),
    answers={200: (ApprovalsSerializer, "A page; a bound key sees what it asked for itself.")},
    problems=WITH_PAGES,
)
READ_APPROVAL = operation(
    "readApproval",
    "One proposal, and what approving it does",
    tag="Control",
    answers={200: (ExplainedApprovalSerializer, "The proposal.")},
    problems=(*WITH_QUERY, "UNKNOWN_APPROVAL", "NOT_FOUND"),
)
_DECISION_PROBLEMS = (
    *WITH_BODY,
    *("SCOPE_NOT_ALLOWED", "APPROVAL_OWN_REQUEST", "KEY_WITHOUT_OWNER", "UNKNOWN_APPROVAL", "NOT_FOUND"),
    *("APPROVAL_DECIDED", "APPROVAL_EXPIRED"),
)
APPROVE = operation(
    "approve",
    "Give the second person's word; what was asked for is done at once",
    tag="Control",
    answers={200: (DecidedSerializer, "Approved and carried out.")},
    problems=(
        *(*_DECISION_PROBLEMS, "APPROVAL_NOT_GRANTED", "APPROVAL_SPENT", "APPROVAL_UNKNOWN_ACT"),
        *("LIMIT_CHANGED", "LATCH_HELD", "LATCHED_AGAIN", "NOT_AS_PROPOSED", "BREAK_CHANGED", "NOT_READY_TO_ARM"),
    ),
)
REJECT = operation(
    "reject",
    "Refuse a proposal; nothing is done",
    tag="Control",
    answers={200: (DecidedSerializer, "Refused.")},
    problems=_DECISION_PROBLEMS,
)


def approval_document(approval: Approval) -> dict[str, Any]:
    """A proposal and what became of it; times RFC 3339 in UTC."""
    return {
        "id": str(approval.id),
        "act": approval.act,
        "subject": approval.subject,
        "parameters": approval.parameters,
        "reason": approval.reason,
        "requested_by": approval.requested_by,
        "requested_at": rfc3339(approval.requested_at),
        "expires_at": rfc3339(approval.expires_at),
        "approved": approval.approved,
        "decided_by": approval.decided_by,
        "decided_at": None if approval.decided_at is None else rfc3339(approval.decided_at),
        "used_at": None if approval.used_at is None else rfc3339(approval.used_at),
    }


def _reached(principal: Principal) -> QuerySet[Approval]:
    """Proposals that a key may know of: all, and of a bound key what it asked for itself."""
    rows = Approval.objects.all()
    return rows.filter(requested_by=principal.name) if principal.is_bound else rows


def _decide(request: Request, approval_id: UUID, *, approved: bool) -> Response:
    """Decide, or carry out what was granted and failed the first time."""
    if principal_of(request).is_bound:
        raise Problem(403, "SCOPE_NOT_ALLOWED", "A key that is bound to accounts or strategies decides nothing.")
    if request.data:
        raise serializers.ValidationError(dict.fromkeys(request.data, "There is no such field."))
    by = actor_of(request, f"POST /api/exec/approvals/{'approve' if approved else 'reject'}")
    before = approval_of(approval_id)
    again = approved and before.approved and before.used_at is None
    done = carry_out(approval_id, by=by) if again else decide_and_carry_out(approval_id, approved=approved, by=by)
    return Response({"approval": approval_document(approval_of(approval_id)), "done": done})


class ApprovalsView(APIView):
    """``GET /api/exec/approvals``."""

    rights = {"GET": Right.VIEW}

    @LIST_APPROVALS
    def get(self, request: Request) -> Response:
        """Proposals, newest first; a bound key sees what it asked for itself."""
        query = read_query(request, ("act", "open", *PAGING))
        rows = _reached(principal_of(request))
        if "act" in query:
            rows = rows.filter(act=query["act"])
        wanted = flag_of(query, "open")
        if wanted is not None:
            rows = rows.filter(still_open()) if wanted else rows.exclude(still_open())
        found, after = page(rows, query)
        return Response({"approvals": [approval_document(row) for row in found], "next": after})


class ApprovalView(APIView):
    """``GET /api/exec/approvals/{id}``."""

    rights = {"GET": Right.VIEW}

    @READ_APPROVAL
    def get(self, request: Request, approval_id: UUID) -> Response:
        """One proposal, with what approving it does as things stand."""
        read_query(request, ())
        row = _reached(principal_of(request)).filter(id=approval_id).first()
        if row is None:
            raise Problem(404, "UNKNOWN_APPROVAL", f"There is no proposal {approval_id} for this key.")
        open_now = Approval.objects.filter(still_open(), id=row.id).exists()
        return Response({**approval_document(row), "effects": consequences(row) if open_now else []})


class ApproveView(APIView):
    """``POST /api/exec/approvals/{id}/approve``."""

    rights = {"POST": Right.APPROVE}

    @APPROVE
    def post(self, request: Request, approval_id: UUID) -> Response:
        """The owner of the key is the second person: it has to have one, and another than whoever asked.

        What was granted and could not be carried out is tried again.
        """
        return _decide(request, approval_id, approved=True)


class RejectView(APIView):
    """``POST /api/exec/approvals/{id}/reject``."""

    rights = {"POST": Right.APPROVE}

    @REJECT
    def post(self, request: Request, approval_id: UUID) -> Response:
        """The owner of the key is the second person, as for an approval."""
        return _decide(request, approval_id, approved=False)
