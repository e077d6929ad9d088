"""The bodies of requests about orders, read strictly."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from execution_project.common.api.fields import DecimalString
from orders.models import OrderType, Side, TimeInForce
from orders.placing import OrderRequest


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses members that it does not know, instead of ignoring a misspelt one, and says what a choice may be."""

    def get_fields(self) -> dict[str, Any]:
        """The fields; one with choices names them when it refuses."""
        fields: dict[str, Any] = super().get_fields()
        for field in fields.values():
            if isinstance(field, serializers.ChoiceField):
                field.error_messages["invalid_choice"] = f"It takes one of {', '.join(map(str, field.choices))}."
        return fields

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
