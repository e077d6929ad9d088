"""The operations of orders as the API's schema shows them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter
from rest_framework import serializers

from execution_project.common.api.schema import AFTER, LIMIT, WITH_PAGES, WITH_QUERY, header, operation, parameter
from execution_project.common.problem_codes import DENIALS
from orders.api.answers import (
    KillSerializer,
    MassCancelSerializer,
    OrderSerializer,
    OrdersSerializer,
    OrderWithHistorySerializer,
    RehearsalSerializer,
    ReplacedOrderSerializer,
    StopSerializer,
)
from orders.api.serializers import PlaceOrderSerializer, ReplaceOrderSerializer
from orders.lifecycle import ENDED_AS, OrderStatus
from orders.models import Side
from risk.api.documents import StartSerializer

_DENIED = {
    "order": {"$ref": "#/components/schemas/Order"},
    "decision": {"$ref": "#/components/schemas/Decision"},
}
_SHAPE = ("NOT_SUPPORTED", "UNKNOWN_SYMBOL", "UNKNOWN_STRATEGY", "ONE_QUANTITY", "MISSING_FIELD", "UNEXPECTED_FIELD")
_OF_ONE = (
    parameter("account", "Of this account only."),
    parameter("symbol", "Of this symbol only, as the exchange writes it."),
    parameter("strategy", "Of this strategy only."),
)


class StrictBooleanSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """JSON true or false."""

    target_class = "orders.api.serializers.StrictBoolean"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        """A boolean."""
        return {"type": "boolean"}


class StrictSecondsSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """Whole seconds."""

    target_class = "orders.api.serializers.StrictSeconds"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        """1 to 86400."""
        return {"type": "integer", "minimum": 1, "maximum": 86_400}


class StopRequestSerializer(StartSerializer):
    """The body of ``POST /api/exec/stop``."""

    cancel_orders = serializers.BooleanField(
        required=False, help_text="Also ask for the end of every order in the scope."
    )


PLACE_ORDER = operation(
    "placeOrder",
    "Place an order",
    tag="Orders",
    request=PlaceOrderSerializer,
    parameters=(
        OpenApiParameter(
            "wait",
            {"type": "integer", "minimum": 0, "maximum": 10, "default": 0},
            description="Seconds to hold the request until the exchange has decided.",
        ),
        header(
            "Idempotency-Key",
            "New for every new order; the same key with the same body returns the same order. Not needed with"
            " `validate_only`.",
            minLength=1,
            maxLength=255,
            pattern=r"^[\x21-\x7e]+$",
        ),
    ),
    answers={
        200: (OrderSerializer, "The order, decided by the exchange; with `validate_only` an accepting decision."),
        202: (OrderSerializer, "The order, accepted and on its way."),
        422: (RehearsalSerializer, "With `validate_only`: the order would be denied."),
    },
    also={200: RehearsalSerializer},
    problems=(
        *_SHAPE,
        *("ROUNDED_TO_ZERO", "INVALID_WAIT", "IDEMPOTENCY_KEY_MISSING", "IDEMPOTENCY_KEY_INVALID"),
        *("UNKNOWN_ACCOUNT", "IDEMPOTENCY_KEY_REUSED", "RISK_BUSY"),
        *DENIALS,
    ),
    denied=_DENIED,
    examples=(
        OpenApiExample(
            "Buy at the market",
            request_only=True,
            value={"account": "main", "symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"},
        ),
        OpenApiExample(
            "Rest in the book",
            request_only=True,
            value={
                "account": "main",
                "symbol": "BTCUSDT",
                "side": "BUY",
                "type": "LIMIT",
                "quantity": "0.01",
                "price": "50000.00",
                "time_in_force": "GTC",
                "strategy": "demo",
            },
        ),
        OpenApiExample(
            "Ask first",
            request_only=True,
            value={
                "account": "main",
                "symbol": "BTCTRY",
                "side": "BUY",
                "type": "MARKET",
                "quote_quantity": "50000",
                "validate_only": True,
            },
        ),
    ),
)

READ_ORDER = operation(
    "readOrder",
    "Read an order with its history",
    tag="Orders",
    parameters=(header("If-None-Match", "The ETag of an earlier answer: 304 while nothing has changed."),),
    answers={200: (OrderWithHistorySerializer, "The order."), 304: (None, "Nothing has changed.")},
    problems=("UNKNOWN_ORDER", "NOT_FOUND"),
    etag=(200, 304),
)

REPLACE_ORDER = operation(
    "replaceOrder",
    "Replace quantity or price of a working order",
    tag="Orders",
    request=ReplaceOrderSerializer,
    parameters=(header("If-Match", "The order's ETag: 412 when it has changed in between."),),
    answers={202: (ReplacedOrderSerializer, "The replace passed the gate and is being carried out.")},
    problems=(
        *("NOTHING_TO_REPLACE", "INVALID_IF_MATCH", "NOT_SUPPORTED", "UNKNOWN_ORDER", "NOT_FOUND", "NOT_WORKING"),
        *("CANCEL_IN_FLIGHT", "REPLACE_IN_FLIGHT", "QUANTITY_ALREADY_FILLED", "VERSION_CHANGED", "RISK_BUSY"),
        *DENIALS,
    ),
    denied=_DENIED,
    examples=(
        OpenApiExample("Another price", request_only=True, value={"price": "51000.00"}),
        OpenApiExample("A smaller total", request_only=True, value={"quantity": "0.005"}),
    ),
    etag=(202,),
)

CANCEL_ORDER = operation(
    "cancelOrder",
    "Ask for the end of an order",
    tag="Orders",
    answers={
        200: (OrderSerializer, "It has ended already."),
        202: (OrderSerializer, "Asked for: the order ends when the exchange says so."),
    },
    problems=("UNKNOWN_ORDER", "NOT_FOUND"),
    throttled=False,
    etag=(200, 202),
)

LIST_ORDERS = operation(
    "listOrders",
    "Orders, newest first",
    tag="Orders",
    parameters=(
        *_OF_ONE,
        parameter("side", "Of this side only.", enum=Side.values),
        parameter("status", f"One or more of {', '.join(OrderStatus.values)}, separated by commas."),
        parameter("ended_as", "That ended like this.", enum=sorted(ENDED_AS)),
        parameter("created_after", "Created at this time or later.", format="date-time"),
        parameter("created_before", "Created before this time.", format="date-time"),
        parameter("idempotency_key", "Placed under this key."),
        LIMIT,
        AFTER,
    ),
    answers={200: (OrdersSerializer, "A page of orders.")},
    problems=WITH_PAGES,
)

CANCEL_ORDERS = operation(
    "cancelOrders",
    "Ask for the end of all matching orders, without halting",
    tag="Orders",
    parameters=_OF_ONE,
    answers={202: (MassCancelSerializer, "Asked for.")},
    problems=(
        *WITH_QUERY,
        "MISSING_FILTER",
        "MISSING_FIELD",
        "UNKNOWN_ACCOUNT",
        "UNKNOWN_STRATEGY",
        "UNKNOWN_SYMBOL",
        "CANCELS_INCOMPLETE",
    ),
    throttled=False,
)

STOP = operation(
    "stop",
    "Halt a scope",
    tag="Control",
    request=StopRequestSerializer,
    answers={200: (StopSerializer, "Halted: nothing accepted before goes out, also not when trading starts again.")},
    problems=("SCOPE_NOT_ALLOWED", "CANCELS_INCOMPLETE"),
    examples=(
        OpenApiExample("Everything", request_only=True, value={"scope": "global", "reason": "prices look wrong"}),
        OpenApiExample(
            "One account, with its orders",
            request_only=True,
            value={"scope": {"account": "main"}, "reason": "drill", "cancel_orders": True},
        ),
    ),
    throttled=False,
)

KILL = operation(
    "kill",
    "Halt a scope until a second person lifts it, and cancel everything in it",
    tag="Control",
    request=StartSerializer,
    answers={200: (KillSerializer, "Halted and latched; the cancels are asked for.")},
    problems=("SCOPE_NOT_ALLOWED",),
    examples=(
        OpenApiExample("One strategy", request_only=True, value={"scope": {"strategy": "demo"}, "reason": "runaway"}),
    ),
    throttled=False,
)
