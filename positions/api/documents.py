"""The shapes of positions, their sums and fills at the API: one function and one serializer each, side by side.

The serializers describe what the functions give; they feed the API's schema and validate nothing at run time.
"""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from exchanges.models import Exchange, Mode
from execution_project.common.api.fields import DecimalString
from execution_project.common.clock import rfc3339
from execution_project.common.money import plain, plain_or_none
from positions.aggregates import Sums
from positions.models import Fill, Position


class PositionSerializer(serializers.Serializer[Any]):
    """A position; money in the quote asset."""

    account = serializers.CharField()
    mode = serializers.ChoiceField(choices=Mode.values)
    exchange = serializers.ChoiceField(choices=Exchange.values)
    symbol = serializers.CharField()
    strategy = serializers.CharField(allow_null=True)
    net_quantity = DecimalString(help_text="Base asset bought less sold since the books were opened; may be negative.")
    average_price = DecimalString(allow_null=True, help_text="Of the open quantity, before fees; null when flat.")
    cost = DecimalString(help_text="What the open quantity cost; negative: what it brought in.")
    realised_pnl = DecimalString(help_text="In the quote asset, before fees.")
    fees_in_quote = DecimalString(help_text="Fees that were paid in the quote asset.")
    bought_quantity = DecimalString()
    sold_quantity = DecimalString()
    fill_count = serializers.IntegerField(min_value=0)
    last_trade_at = serializers.DateTimeField(allow_null=True)
    updated_at = serializers.DateTimeField()


def position_document(row: Position) -> dict[str, Any]:
    """A position as ``PositionSerializer`` describes it."""
    return {
        "account": row.account.name,
        "mode": row.account.mode,
        "exchange": row.account.exchange,
        "symbol": row.instrument.symbol,
        "strategy": None if row.strategy is None else row.strategy.name,
        "net_quantity": plain(row.net_quantity),
        "average_price": plain_or_none(row.average_price),
        "cost": plain(row.cost),
        "realised_pnl": plain(row.realised_pnl),
        "fees_in_quote": plain(row.fees_in_quote),
        "bought_quantity": plain(row.bought_quantity),
        "sold_quantity": plain(row.sold_quantity),
        "fill_count": row.fill_count,
        "last_trade_at": None if row.last_trade_at is None else rfc3339(row.last_trade_at),
        "updated_at": rfc3339(row.updated_at),
    }


class GroupSerializer(serializers.Serializer[Any]):
    """What a row of sums is of; the members that the grouping has."""

    account = serializers.CharField(required=False)
    exchange = serializers.ChoiceField(choices=Exchange.values, required=False)
    symbol = serializers.CharField(required=False)
    asset = serializers.CharField(required=False)
    strategy = serializers.CharField(required=False, allow_null=True)


class SumsSerializer(serializers.Serializer[Any]):
    """Sums over the positions of one group in one asset; different assets and modes are never added together."""

    group = GroupSerializer()
    mode = serializers.ChoiceField(choices=Mode.values)
    asset = serializers.CharField(help_text="The asset that every number of this row counts.")
    net_quantity = DecimalString(
        allow_null=True, help_text="Over positions with this base asset; null when there is none."
    )
    cost = DecimalString(allow_null=True, help_text="Over positions with this quote asset; null when there is none.")
    realised_pnl = DecimalString(allow_null=True, help_text="The same, before fees.")
    fees_in_quote = DecimalString(allow_null=True, help_text="The same.")


def aggregate_document(row: Sums) -> dict[str, Any]:
    """One row of sums as ``SumsSerializer`` describes it."""
    return {
        "group": row.group,
        "mode": row.mode,
        "asset": row.asset,
        "net_quantity": plain_or_none(row.net_quantity),
        "cost": plain_or_none(row.cost),
        "realised_pnl": plain_or_none(row.realised_pnl),
        "fees_in_quote": plain_or_none(row.fees_in_quote),
    }


class PositionsSerializer(serializers.Serializer[Any]):
    """A page of positions."""

    positions = PositionSerializer(many=True)
    next = serializers.CharField(allow_null=True, help_text="Send it as `after` for the next page; null at the end.")


class PositionSumsSerializer(serializers.Serializer[Any]):
    """The answer to `aggregate`."""

    aggregate = serializers.ChoiceField(choices=["instrument", "asset", "account", "exchange", "strategy"])
    sums = SumsSerializer(many=True)


class FeeSerializer(serializers.Serializer[Any]):
    """One deduction from a trade."""

    asset = serializers.CharField()
    amount = DecimalString()
    kind = serializers.CharField(help_text="`fee` or `tax`")


class FillSerializer(serializers.Serializer[Any]):
    """One trade at the exchange."""

    id = serializers.UUIDField()
    order = serializers.UUIDField(allow_null=True, help_text="null: a trade that no order of this engine made")
    account = serializers.CharField()
    mode = serializers.ChoiceField(choices=Mode.values)
    exchange = serializers.ChoiceField(choices=Exchange.values)
    symbol = serializers.CharField()
    strategy = serializers.CharField(allow_null=True)
    trade_id = serializers.CharField()
    exchange_order_id = serializers.CharField()
    client_order_id = serializers.CharField(allow_blank=True)
    side = serializers.ChoiceField(choices=["BUY", "SELL"])
    price = DecimalString()
    quantity = DecimalString()
    quote_quantity = DecimalString()
    fees = FeeSerializer(many=True)
    is_maker = serializers.BooleanField(allow_null=True, help_text="null: the exchange did not say")
    traded_at = serializers.DateTimeField()
    booked_at = serializers.DateTimeField()


def fill_document(fill: Fill) -> dict[str, Any]:
    """A fill as ``FillSerializer`` describes it."""
    return {
        "id": str(fill.id),
        "order": None if fill.order_id is None else str(fill.order_id),
        "account": fill.account.name,
        "mode": fill.account.mode,
        "exchange": fill.account.exchange,
        "symbol": fill.instrument.symbol,
        "strategy": None if fill.strategy is None else fill.strategy.name,
        "trade_id": fill.trade_id,
        "exchange_order_id": fill.exchange_order_id,
        "client_order_id": fill.client_order_id,
        "side": fill.side,
        "price": plain(fill.price),
        "quantity": plain(fill.quantity),
        "quote_quantity": plain(fill.quote_quantity),
        "fees": fill.fees,
        "is_maker": fill.is_maker,
        "traded_at": rfc3339(fill.traded_at),
        "booked_at": rfc3339(fill.booked_at),
    }


class FillsSerializer(serializers.Serializer[Any]):
    """A page of fills, last booked first."""

    fills = FillSerializer(many=True)
    next = serializers.CharField(allow_null=True, help_text="Send it as `after` for the next page; null at the end.")
