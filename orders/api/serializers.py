"""The shapes of orders at the API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from execution_project.common.api.fields import DecimalString
from execution_project.common.clock import rfc3339
from execution_project.common.money import plain, plain_or_none
from orders.models import ExchangeOrder, Order, OrderType, Side, TimeInForce
from orders.placing import OrderRequest
from risk.models import Decision


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses members that it does not know, instead of ignoring a misspelt one."""

    def to_internal_value(self, data: Any) -> Any:
        """The validated values; raises ``ValidationError`` that names unknown members."""
        unknown = set(data) - set(self.fields)
        if unknown:
            raise serializers.ValidationError(
                {name: serializers.ErrorDetail("There is no such field.", code="unknown_field") for name in unknown}
            )
        return super().to_internal_value(data)


class StrictBoolean(serializers.Field[bool, Any, bool, Any]):
    """JSON true or false, nothing that merely looks like it."""

    def to_internal_value(self, data: Any) -> bool:
        """The boolean; raises ``ValidationError``."""
        if not isinstance(data, bool):
            raise serializers.ValidationError("Send true or false.", code="not_boolean")
        return data

    def to_representation(self, value: bool) -> bool:
        """As it is."""
        return value


class StrictSeconds(serializers.Field[int, Any, int, Any]):
    """Whole seconds from 1 to 86400 as a JSON number."""

    def to_internal_value(self, data: Any) -> int:
        """The seconds; raises ``ValidationError``."""
        if isinstance(data, bool) or not isinstance(data, int) or not 1 <= data <= 86_400:
            raise serializers.ValidationError("Send whole seconds from 1 to 86400.", code="out_of_range")
        return data

    def to_representation(self, value: int) -> int:
        """As it is."""
        return value


class StrictString(serializers.CharField):
    """Text, and only text; numbers are not quietly turned into it."""

    def to_internal_value(self, data: Any) -> str:
        """The text; raises ``ValidationError``."""
        if not isinstance(data, str):
            raise serializers.ValidationError("Send a string.", code="not_a_string")
        return super().to_internal_value(data)


class PlaceOrderSerializer(StrictSerializer):
    """The body of ``POST /api/exec/order``."""

    account = StrictString(max_length=64)
    symbol = StrictString(max_length=50)
    side = serializers.ChoiceField(choices=Side.values)
    type = serializers.ChoiceField(choices=OrderType.values)
    quantity = DecimalString(required=False)
    quote_quantity = DecimalString(required=False)
    price = DecimalString(required=False)
    stop_price = DecimalString(required=False)
    time_in_force = serializers.ChoiceField(choices=TimeInForce.values, required=False)
    strategy = StrictString(max_length=64, required=False)
    reduce_only = StrictBoolean(required=False)
    valid_for = StrictSeconds(required=False)
    round = StrictBoolean(required=False)
    validate_only = StrictBoolean(required=False)

    def request(self) -> OrderRequest:
        """The validated body as the domain's request."""
        values = {key: value for key, value in self.validated_data.items() if key != "validate_only"}
        return OrderRequest(**values)


class ReplaceOrderSerializer(StrictSerializer):
    """The body of ``PATCH /api/exec/order/{id}``; ``quantity`` is the new total, fills included."""

    quantity = DecimalString(required=False)
    price = DecimalString(required=False)


def decision_document(decision: Decision) -> dict[str, Any]:
    """A decision: all controls with what they saw; ``breaches`` lists the stable codes of those that denied."""
    return {
        "id": str(decision.id),
        "accepted": decision.accepted,
        "breaches": [result["code"] for result in decision.results if result["outcome"] == "breach"],
        "controls": decision.results,
        "inputs": decision.inputs,
        "decided_at": rfc3339(decision.decided_at),
    }


def order_document(order: Order, exchange_orders: list[ExchangeOrder] | None = None) -> dict[str, Any]:
    """An order. Quantities in base, quotes in quote asset, all decimals as strings, times RFC 3339 in UTC."""
    document: dict[str, Any] = {
        "id": str(order.id),
        "account": order.account.name,
        "mode": order.account.mode,
        "exchange": order.account.exchange,
        "symbol": order.instrument.symbol,
        "strategy": None if order.strategy is None else order.strategy.name,
        "side": order.side,
        "type": order.type,
        "quantity": plain_or_none(order.quantity),
        "quote_quantity": plain_or_none(order.quote_quantity),
        "price": plain_or_none(order.price),
        "stop_price": plain_or_none(order.stop_price),
        "time_in_force": order.time_in_force,
        "reduce_only": order.reduce_only,
        "status": str(order.status),
        "ended_as": order.ended_as,
        "reason": order.reason,
        "detail": order.detail,
        "filled_quantity": plain(order.filled_quantity),
        "filled_quote": plain(order.filled_quote),
        "average_price": plain_or_none(None if order.average_price is None else order.average_price),
        "idempotency_key": order.idempotency_key,
        "valid_until": rfc3339(order.valid_until),
        "version": order.version,
        "created_at": rfc3339(order.created_at),
        "updated_at": rfc3339(order.updated_at),
    }
    if exchange_orders is not None:
        document["exchange_orders"] = [
            {
                "generation": row.generation,
                "client_order_id": row.client_order_id,
                "exchange_order_id": row.exchange_order_id or None,
                "reported_status": row.reported_status or None,
                "cumulative_quantity": plain(row.cumulative_quantity),
                "unbooked_quantity": plain(row.unbooked_quantity),
                "end_proof": row.end_proof or None,
            }
            for row in exchange_orders
        ]
    return document
