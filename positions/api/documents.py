"""The shapes of positions, their sums and fills at the API: one function and one serializer each, side by side.

The serializers describe what the functions give; they feed the API's schema and validate nothing at run time.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from rest_framework import serializers

from exchanges.models import Exchange, Mode
from execution_project.common.api.fields import DecimalString
from execution_project.common.clock import rfc3339
from execution_project.common.money import plain, plain_or_none
from positions.aggregates import GROUPINGS, Sums, Totals
from positions.models import Fill
from positions.shown import Price, ShownPosition

NEXT = "Send it as `after` for the next page; null at the end."
AS_OF = "The moment that the numbers are of; null: now."
MISSING = "What is not known, in words: a mark, or the rate of a fact. Numbers that need it are null."
CONFIDENCE = ("confirmed", "provisional", "disputed")


def time_or_none(moment: datetime | None) -> str | None:
    """A time as text, or null."""
    return None if moment is None else rfc3339(moment)


class PriceSerializer(serializers.Serializer[Any]):
    """What one unit of the base asset is worth in the quote asset, at the side where the position could be closed."""

    price = DecimalString()
    at = serializers.DateTimeField(help_text="When the exchange last said so.")
    source = serializers.CharField(  # type: ignore[assignment]  # a name that Field has for itself
        help_text="`quote`: the pair's own; `history`: marks of base and quote asset then."
    )
    age_ms = serializers.IntegerField(help_text="At the moment asked for.")


def price_document(price: Price | None) -> dict[str, Any] | None:
    """A price as ``PriceSerializer`` describes it."""
    if price is None:
        return None
    return {
        "price": plain(price.price),
        "at": rfc3339(price.at),
        "source": price.source,
        "age_ms": price.age_ms,
    }


class PositionSerializer(serializers.Serializer[Any]):
    """A position; money in the quote asset."""

    account = serializers.CharField()
    mode = serializers.ChoiceField(choices=Mode.values)
    exchange = serializers.ChoiceField(choices=Exchange.values)
    symbol = serializers.CharField()
    base_asset = serializers.CharField()
    quote_asset = serializers.CharField()
    strategy = serializers.CharField(allow_null=True)
    net_quantity = DecimalString(help_text="Base asset bought less sold since the books were opened; may be negative.")
    average_price = DecimalString(allow_null=True, help_text="Of the open quantity, before fees; null when flat.")
    cost = DecimalString(help_text="What the open quantity cost; negative: what it brought in.")
    realised_pnl = DecimalString(help_text="In the quote asset, before fees.")
    unrealised_pnl = DecimalString(allow_null=True, help_text="Open quantity at `mark` less cost; null without a mark.")
    fees_in_quote = DecimalString(help_text="Fees that were paid in the quote asset.")
    fees = DecimalString(
        allow_null=True, help_text="All fees, valued in the quote asset at their fills; null while a rate is missing."
    )
    pnl_before_fees = DecimalString(allow_null=True, help_text="Realised and unrealised.")
    pnl_after_fees = DecimalString(allow_null=True, help_text="The same less all fees.")
    mark = PriceSerializer(allow_null=True, help_text="null when flat, or when there is no fresh quote.")
    missing = serializers.ListField(child=serializers.CharField(), help_text=MISSING)
    bought_quantity = DecimalString()
    sold_quantity = DecimalString()
    fill_count = serializers.IntegerField(min_value=0)
    last_trade_at = serializers.DateTimeField(
        allow_null=True, help_text="Watermark: the newest trade that the numbers rest on."
    )
    last_trade_id = serializers.CharField(allow_null=True, help_text="Its id.")
    confidence = serializers.ChoiceField(
        choices=CONFIDENCE,
        help_text="`provisional`: something is reported and not booked, a rate is missing, or it is being restated;"
        " `disputed`: a break is open on its symbol or assets.",
    )
    restating = serializers.BooleanField(
        help_text="A late trade came in: quantities are right, cost and profit are those of before."
    )
    restated_at = serializers.DateTimeField(allow_null=True, help_text="When that was last put right.")
    updated_at = serializers.DateTimeField()


def position_document(shown: ShownPosition) -> dict[str, Any]:
    """A position as ``PositionSerializer`` describes it."""
    row = shown.row
    return {
        "account": row.account.name,
        "mode": row.account.mode,
        "exchange": row.account.exchange,
        "symbol": row.instrument.symbol,
        "base_asset": row.instrument.base_asset,
        "quote_asset": row.instrument.quote_asset,
        "strategy": None if row.strategy is None else row.strategy.name,
        "net_quantity": plain(row.net_quantity),
        "average_price": plain_or_none(row.average_price),
        "cost": plain(row.cost),
        "realised_pnl": plain(row.realised_pnl),
        "unrealised_pnl": plain_or_none(shown.unrealised),
        "fees_in_quote": plain(row.fees_in_quote),
        "fees": plain_or_none(shown.fees),
        "pnl_before_fees": plain_or_none(shown.before_fees),
        "pnl_after_fees": plain_or_none(shown.after_fees),
        "mark": price_document(shown.price),
        "missing": shown.missing,
        "bought_quantity": plain(row.bought_quantity),
        "sold_quantity": plain(row.sold_quantity),
        "fill_count": row.fill_count,
        "last_trade_at": time_or_none(row.last_trade_at),
        "last_trade_id": row.last_trade_id or None,
        "confidence": row.confidence,
        "restating": row.restating,
        "restated_at": time_or_none(row.restated_at),
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
    fees = DecimalString(allow_null=True, help_text="The same, all fees valued; null also while a rate is missing.")
    unrealised_pnl = DecimalString(allow_null=True, help_text="The same; null also while a mark is missing.")
    missing = serializers.ListField(child=serializers.CharField(), help_text=MISSING)


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
        "fees": plain_or_none(row.fees),
        "unrealised_pnl": plain_or_none(row.unrealised_pnl),
        "missing": row.missing,
    }


class TotalsSerializer(serializers.Serializer[Any]):
    """The positions of one group in the reporting currency, each quote asset at its mark; modes stay apart."""

    group = GroupSerializer()
    mode = serializers.ChoiceField(choices=Mode.values)
    currency = serializers.CharField(help_text="The reporting currency.")
    realised_pnl = DecimalString(allow_null=True, help_text="Before fees; null while the mark of a quote is missing.")
    fees = DecimalString(allow_null=True, help_text="All fees.")
    unrealised_pnl = DecimalString(allow_null=True)
    pnl_before_fees = DecimalString(allow_null=True)
    pnl_after_fees = DecimalString(allow_null=True)
    missing = serializers.ListField(child=serializers.CharField(), help_text=MISSING)


def totals_document(row: Totals) -> dict[str, Any]:
    """One row of totals as ``TotalsSerializer`` describes it."""
    return {
        "group": row.group,
        "mode": row.mode,
        "currency": settings.EXEC_REPORTING_CURRENCY,
        "realised_pnl": plain_or_none(row.realised_pnl),
        "fees": plain_or_none(row.fees),
        "unrealised_pnl": plain_or_none(row.unrealised_pnl),
        "pnl_before_fees": plain_or_none(row.before_fees),
        "pnl_after_fees": plain_or_none(row.after_fees),
        "missing": row.missing,
    }


class PositionsSerializer(serializers.Serializer[Any]):
    """A page of positions."""

    as_of = serializers.DateTimeField(allow_null=True, help_text=AS_OF)
    positions = PositionSerializer(many=True)
    next = serializers.CharField(allow_null=True, help_text=NEXT)


class PositionSumsSerializer(serializers.Serializer[Any]):
    """The answer to `aggregate`."""

    as_of = serializers.DateTimeField(allow_null=True, help_text=AS_OF)
    aggregate = serializers.ChoiceField(choices=[*GROUPINGS])
    sums = SumsSerializer(many=True)
    totals = TotalsSerializer(many=True)


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
    model = serializers.CharField(
        allow_null=True, help_text="name and version of the rules by which paper trading made it up; null: it is real"
    )
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
        "model": fill.model,
        "traded_at": rfc3339(fill.traded_at),
        "booked_at": rfc3339(fill.booked_at),
    }


class FillsSerializer(serializers.Serializer[Any]):
    """A page of fills, last booked first."""

    fills = FillSerializer(many=True)
    next = serializers.CharField(allow_null=True, help_text=NEXT)
