"""Serializer fields of the API."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from rest_framework import serializers

from execution_project.common.money import NotPlainDecimal, parse_decimal, plain


class DecimalString(serializers.Field[Decimal, Any, str, Any]):
    """A decimal as a JSON string, both ways; a JSON number, exponent, underscore or foreign digit is refused."""

    default_error_messages = {"positive": "Must be greater than zero."}

    def __init__(self, *, positive: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.positive = positive

    def to_internal_value(self, data: Any) -> Decimal:
        """The exact value; raises ``ValidationError``."""
        try:
            value = parse_decimal(data)
        except NotPlainDecimal as error:
            raise serializers.ValidationError(str(error), code="not_plain_decimal") from error
        if self.positive and value <= 0:
            self.fail("positive")
        return value

    def to_representation(self, value: Decimal) -> str:
        """Plain text without exponent or trailing zeros."""
        return plain(value)
