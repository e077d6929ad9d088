"""``GET /api/exec/state``: may we trade, and what is under way."""

from __future__ import annotations

from typing import Any

from django.db.models import Count
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from execution_project.common import clock
from execution_project.common.api.authentication import principal_of
from execution_project.common.api.query import read_query
from execution_project.common.api.schema import WITH_QUERY, operation
from execution_project.common.clock import rfc3339
from execution_project.common.rights import Right
from orders.lifecycle import OrderStatus
from orders.models import Order
from risk.api.documents import StateOfScopeSerializer, state_document
from risk.api.reach import scopes_reached
from risk.models import State, TradingState
from risk.overview import stops_of

# Left out of the partial index ``order_live``, which the counts are read from.
_OVER = (OrderStatus.DENIED, OrderStatus.REJECTED, OrderStatus.SETTLED)
COUNTED = tuple(status for status in OrderStatus if status not in _OVER)


class CountsSerializer(serializers.Serializer[Any]):
    """How many orders have each status; those that are denied, rejected or settled are not counted."""

    pending = serializers.IntegerField(min_value=0)
    submitting = serializers.IntegerField(min_value=0)
    submit_unknown = serializers.IntegerField(min_value=0)
    open = serializers.IntegerField(min_value=0)
    partially_filled = serializers.IntegerField(min_value=0)
    filled = serializers.IntegerField(min_value=0, help_text="Not settled yet; the same for the next two.")
    canceled = serializers.IntegerField(min_value=0)
    expired = serializers.IntegerField(min_value=0)
    closed_unverified = serializers.IntegerField(min_value=0)


class EngineStateSerializer(serializers.Serializer[Any]):
    """The trading state of the whole and of every scope that has one, and the orders under way."""

    state = serializers.ChoiceField(choices=State.values, help_text="Of the whole; a scope may be stricter.")
    scopes = StateOfScopeSerializer(many=True, help_text="Every scope that was ever halted; the others are ACTIVE.")
    orders = CountsSerializer(help_text="Of the accounts and strategies that the key reaches.")
    now = serializers.DateTimeField()


STATE = operation(
    "readState",
    "Trading state, and orders under way by status",
    tag="Control",
    answers={200: (EngineStateSerializer, "The state.")},
    problems=WITH_QUERY,
)


class StateView(APIView):
    """``GET /api/exec/state``."""

    rights = {"GET": Right.VIEW}

    @STATE
    def get(self, request: Request) -> Response:
        """The state of the whole and of every scope that has one, and how many orders are under way."""
        read_query(request, ())
        principal = principal_of(request)
        (stop,) = stops_of([()])
        scopes = TradingState.objects.filter(scopes_reached(principal)).order_by("scope_kind", "scope_key")
        live = principal.narrow(Order.objects.exclude(status__in=_OVER))
        counts = dict(live.order_by().values_list("status").annotate(Count("id")))
        return Response(
            {
                "state": State.ACTIVE.value if stop is None else stop.state,
                "scopes": [state_document(row) for row in scopes],
                "orders": {status.value: counts.get(status.value, 0) for status in COUNTED},
                "now": rfc3339(clock.now()),
            }
        )
