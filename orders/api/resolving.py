"""The end of an unknown order at the API: a proposal that a second person decides on."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from execution_project.common.api.approvals import ProposalSerializer, approval_document
from execution_project.common.api.authentication import actor_of, principal_of
from execution_project.common.api.schema import operation
from execution_project.common.rights import Right
from orders.api.serializers import StrictSerializer, StrictString
from orders.models import Order
from orders.placing import order_of
from orders.resolving import Resolution, propose_resolution


class ResolveOrderSerializer(StrictSerializer):
    """The body of ``POST /api/exec/order/{id}/resolve``."""

    outcome: Any = serializers.ChoiceField(
        choices=[outcome.value for outcome in Resolution],
        help_text="rejected: the exchange never accepted it; canceled: it did, and it works no more.",
    )
    reason = StrictString(max_length=256, help_text="How you know.")


RESOLVE_ORDER = operation(
    "resolveOrder",
    "Propose how an unknown order ended",
    tag="Control",
    request=ResolveOrderSerializer,
    answers={202: (ProposalSerializer, "Proposed: it ends so when a second person approves.")},
    problems=("UNKNOWN_ORDER", "NOT_FOUND", "NOT_UNKNOWN", "OUTCOME_NOT_POSSIBLE"),
    examples=(
        OpenApiExample(
            "It never arrived",
            request_only=True,
            value={"outcome": "rejected", "reason": "the exchange's support says that it never arrived"},
        ),
    ),
)


class ResolveOrderView(APIView):
    """``POST /api/exec/order/{id}/resolve``."""

    rights = {"POST": Right.RESOLVE}

    @RESOLVE_ORDER
    def post(self, request: Request, order_id: UUID) -> Response:
        """202: the proposal. Nothing ends before a second person has approved it."""
        order = order_of(order_id, principal_of(request).narrow(Order.objects.all()))
        body = ResolveOrderSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        by = actor_of(request, "POST /api/exec/order/resolve")
        approval = propose_resolution(order.id, body.validated_data["outcome"], body.validated_data["reason"], by)
        return Response({"approval": approval_document(approval)}, status=202)
