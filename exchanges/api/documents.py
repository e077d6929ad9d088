"""The shape of instruments at the API; the serializers describe what the functions give."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from exchanges.capabilities import CAPABILITIES
from exchanges.models import Exchange, Instrument, Mode
from execution_project.common.clock import rfc3339

_SIDES = ("BUY", "SELL")


class OrderTypeSerializer(serializers.Serializer[Any]):
    """One order type that the instrument takes."""

    type = serializers.CharField()
    times_in_force = serializers.ListField(
        child=serializers.CharField(), help_text="One of these is required; empty: the type takes none."
    )


class InstrumentSerializer(serializers.Serializer[Any]):
    """A tradable pair at one exchange, as it shows it to accounts of one mode."""

    exchange = serializers.ChoiceField(choices=Exchange.values)
    mode = serializers.ChoiceField(choices=Mode.values)
    symbol = serializers.CharField()
    base_asset = serializers.CharField()
    quote_asset = serializers.CharField()
    status = serializers.CharField(help_text="In the exchange's words; DELISTED: no longer listed.")
    trading = serializers.BooleanField()
    base_precision = serializers.IntegerField(min_value=0, help_text="Decimals of quantities.")
    quote_precision = serializers.IntegerField(min_value=0, help_text="Decimals of prices and quote quantities.")
    order_types = OrderTypeSerializer(many=True, help_text="What the exchange can do and the engine sends.")
    quantity_sides = serializers.ListField(
        child=serializers.ChoiceField(choices=_SIDES), help_text="Sides of MARKET orders that `quantity` sizes."
    )
    quote_quantity_sides = serializers.ListField(
        child=serializers.ChoiceField(choices=_SIDES), help_text="Sides of MARKET orders that `quote_quantity` sizes."
    )
    replace_methods = serializers.ListField(child=serializers.CharField())
    filters = serializers.DictField(help_text="The exchange's filters under its own names; decimals as strings.")
    synced_at = serializers.DateTimeField(help_text="When the exchange last told so.")


class InstrumentsSerializer(serializers.Serializer[Any]):
    """A page of instruments."""

    instruments = InstrumentSerializer(many=True)
    next = serializers.CharField(allow_null=True, help_text="Send it as `after` for the next page; null at the end.")


def instrument_document(row: Instrument) -> dict[str, Any]:
    """An instrument as ``InstrumentSerializer`` describes it."""
    can = CAPABILITIES[row.exchange]
    by_quote = can.quote_quantity_sides if row.quote_quantity_allowed else frozenset()
    return {
        "exchange": row.exchange,
        "mode": row.mode,
        "symbol": row.symbol,
        "base_asset": row.base_asset,
        "quote_asset": row.quote_asset,
        "status": row.status,
        "trading": row.is_trading,
        "base_precision": row.base_precision,
        "quote_precision": row.quote_precision,
        "order_types": [
            {"type": name, "times_in_force": sorted(time for time in times if time is not None)}
            for name, times in can.order_types.items()
            if name in row.order_types
        ],
        "quantity_sides": [side for side in _SIDES if side not in can.quote_quantity_only_sides],
        "quote_quantity_sides": [side for side in _SIDES if side in by_quote],
        "replace_methods": sorted(can.replace_methods),
        "filters": row.filters,
        "synced_at": rfc3339(row.synced_at),
    }
