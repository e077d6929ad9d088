"""Overriding what denied an order, at the API: a proposal that a second person decides on."""

from __future__ import annotations

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
from orders.overriding import propose_override
from orders.placing import order_of


class OverrideOrderSerializer(StrictSerializer):
    """The body of ``POST /api/exec/order/{id}/override``."""

    controls = serializers.ListField(
        child=StrictString(max_length=32),
        min_length=1,
        max_length=20,
        help_text="The limits that denied it, all of them, by name.",
    )
    reason = StrictString(max_length=256, min_length=20, help_text="For whoever approves and for the record.")


OVERRIDE_ORDER = operation(
    "overrideOrder",
    "Propose to place a denied order past the limits that denied it",
    tag="Control",
    request=OverrideOrderSerializer,
    answers={202: (ProposalSerializer, "Proposed: it is placed, once, when a second person approves in 10 minutes.")},
    problems=("UNKNOWN_ORDER", "NOT_FOUND", "NOT_OVERRIDABLE"),
    examples=(
        OpenApiExample(
            "Larger than allowed",
            request_only=True,
            value={"controls": ["max_order_notional"], "reason": "one client's rebalancing, agreed with the desk head"},
        ),
    ),
)


class OverrideOrderView(APIView):
    """``POST /api/exec/order/{id}/override``."""

    rights = {"POST": Right.CHANGE_LIMITS}

    @OVERRIDE_ORDER
    def post(self, request: Request, order_id: UUID) -> Response:
        """202: the proposal. Nothing is placed before a second person has approved it."""
        order = order_of(order_id, principal_of(request).narrow(Order.objects.all()))
        body = OverrideOrderSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        by = actor_of(request, "POST /api/exec/order/override")
        asked = body.validated_data
        approval = propose_override(order.id, asked["controls"], reason=asked["reason"], by=by)
        return Response({"approval": approval_document(approval)}, status=202)
