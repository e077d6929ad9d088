"""Holdings at the API: what is owned, what it cost, and what it is worth, in the reporting currency."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Q
from drf_spectacular.utils import PolymorphicProxySerializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from exchanges.models import Exchange, Mode
from execution_project.common.api.authentication import principal_of
from execution_project.common.api.fields import DecimalString
from execution_project.common.api.paging import page
from execution_project.common.api.query import PAGING, choice_of, flag_of, invalid, read_query, time_of
from execution_project.common.api.schema import AFTER, LIMIT, WITH_PAGES, operation, parameter
from execution_project.common.clock import rfc3339
from execution_project.common.money import plain, plain_or_none
from execution_project.common.rights import Right
from positions.aggregates import HOLDING_GROUPINGS, HoldingSums, sum_holdings
from positions.api.documents import AS_OF as AS_OF_HELP
from positions.api.documents import MISSING, NEXT, time_or_none
from positions.api.moments import AS_OF, refuse_paging, within_books
from positions.as_of import holdings_at
from positions.dust import with_dust
from positions.marks import Rate
from positions.models import Holding
from positions.shown import ShownHolding, show_holdings

_NAMES = {
    "account": "account__name",
    "mode": "account__mode",
    "exchange": "account__exchange",
    "asset": "asset",
    "strategy": "strategy__name",
}


class MarkSerializer(serializers.Serializer[Any]):
    """What one unit is worth in the reporting currency, at the bid."""

    price = DecimalString()
    at = serializers.DateTimeField(help_text="Of the oldest quote that it rests on.")
    source = serializers.CharField(  # type: ignore[assignment]  # a name that Field has for itself
        help_text="`quote`, `history` (a minute that was kept) or `currency`."
    )
    path = serializers.ListField(child=serializers.CharField(), help_text="`exchange:symbol:side`, pair by pair.")
    age_ms = serializers.IntegerField(help_text="At the moment asked for.")


def mark_document(rate: Rate | None) -> dict[str, Any] | None:
    """A rate as ``MarkSerializer`` describes it."""
    if rate is None:
        return None
    return {
        "price": plain(rate.price),
        "at": rfc3339(rate.at),
        "source": rate.source,
        "path": list(rate.path),
        "age_ms": int(rate.age.total_seconds() * 1000),
    }


class HoldingSerializer(serializers.Serializer[Any]):
    """What a strategy (null: nobody, unallocated) has of an asset in an account; money in the reporting currency."""

    account = serializers.CharField()
    mode = serializers.ChoiceField(choices=Mode.values)
    exchange = serializers.ChoiceField(choices=Exchange.values)
    asset = serializers.CharField()
    strategy = serializers.CharField(allow_null=True)
    in_suspense = serializers.BooleanField(
        help_text="What was sold beyond everything held: a negative quantity with its proceeds, until facts explain it."
    )
    currency = serializers.CharField(help_text="The reporting currency.")
    quantity = DecimalString(help_text="All rows of an asset sum to what the ledger has of it at the exchange.")
    cost = DecimalString(allow_null=True, help_text="Fees included; null while facts wait for a rate (`pending`).")
    average_cost = DecimalString(allow_null=True, help_text="Per unit; null when nothing is held.")
    realised_pnl = DecimalString(help_text="After fees, currency effect included.")
    currency_effect = DecimalString(help_text="The part of it that came from paying with TRY or USDT.")
    value = DecimalString(allow_null=True, help_text="Quantity at `mark`; null without one.")
    unrealised_pnl = DecimalString(allow_null=True, help_text="Value less cost.")
    mark = MarkSerializer(allow_null=True, help_text="null: there is no fresh quote on any way to the currency.")
    pending = serializers.IntegerField(help_text="Facts that moved the quantity and wait for a rate.")
    missing = serializers.ListField(child=serializers.CharField(), help_text=MISSING)
    dust = serializers.BooleanField(
        allow_null=True,
        help_text=(
            "Too little to be sold by itself: below the least quantity, or at the bid below the least value, of every"
            " pair that sells the asset. null with `as_of`."
        ),
    )
    restating = serializers.BooleanField(
        help_text="A late fact came in: quantities are right, cost and profit are those of before."
    )
    updated_at = serializers.DateTimeField()


def holding_document(shown: ShownHolding) -> dict[str, Any]:
    """A holding as ``HoldingSerializer`` describes it."""
    row = shown.row
    return {
        "account": row.account.name,
        "mode": row.account.mode,
        "exchange": row.account.exchange,
        "asset": row.asset,
        "strategy": None if row.strategy is None else row.strategy.name,
        "in_suspense": row.in_suspense,
        "currency": settings.EXEC_REPORTING_CURRENCY,
        "quantity": plain(row.quantity),
        "cost": plain_or_none(shown.cost),
        "average_cost": plain_or_none(row.average_cost),
        "realised_pnl": plain(row.realised_pnl),
        "currency_effect": plain(row.currency_effect),
        "value": plain_or_none(shown.value),
        "unrealised_pnl": plain_or_none(shown.unrealised),
        "mark": mark_document(shown.rate),
        "pending": row.pending,
        "missing": shown.missing,
        "dust": shown.dust,
        "restating": shown.restating,
        "updated_at": rfc3339(row.updated_at),
    }


class HoldingGroupSerializer(serializers.Serializer[Any]):
    """What a row of sums is of; the member that the grouping has, none for `all`."""

    asset = serializers.CharField(required=False)
    account = serializers.CharField(required=False)
    exchange = serializers.ChoiceField(choices=Exchange.values, required=False)
    strategy = serializers.CharField(required=False, allow_null=True)


class HoldingSumsSerializer(serializers.Serializer[Any]):
    """Sums over the holdings of one group in one mode; money in the reporting currency."""

    group = HoldingGroupSerializer()
    mode = serializers.ChoiceField(choices=Mode.values)
    currency = serializers.CharField(help_text="The reporting currency.")
    quantity = DecimalString(allow_null=True, help_text="By asset alone; what the ledger has at the exchanges.")
    in_suspense = DecimalString(allow_null=True, help_text="The part of it that was sold unseen; negative.")
    cost = DecimalString(allow_null=True)
    average_cost = DecimalString(allow_null=True, help_text="By asset alone.")
    realised_pnl = DecimalString()
    currency_effect = DecimalString()
    value = DecimalString(allow_null=True)
    unrealised_pnl = DecimalString(allow_null=True)
    share = DecimalString(allow_null=True, help_text="Of the value of everything in the answer, in per cent.")
    pending = serializers.IntegerField()
    missing = serializers.ListField(child=serializers.CharField(), help_text=MISSING)


def holding_sums_document(row: HoldingSums) -> dict[str, Any]:
    """One row of sums as ``HoldingSumsSerializer`` describes it."""
    return {
        "group": row.group,
        "mode": row.mode,
        "currency": settings.EXEC_REPORTING_CURRENCY,
        "quantity": plain_or_none(row.quantity),
        "in_suspense": plain_or_none(row.in_suspense),
        "cost": plain_or_none(row.cost),
        "average_cost": plain_or_none(row.average_cost),
        "realised_pnl": plain(row.realised_pnl),
        "currency_effect": plain(row.currency_effect),
        "value": plain_or_none(row.value),
        "unrealised_pnl": plain_or_none(row.unrealised_pnl),
        "share": plain_or_none(row.share),
        "pending": row.pending,
        "missing": row.missing,
    }


class HoldingsSerializer(serializers.Serializer[Any]):
    """A page of holdings."""

    as_of = serializers.DateTimeField(allow_null=True, help_text=AS_OF_HELP)
    holdings = HoldingSerializer(many=True)
    next = serializers.CharField(allow_null=True, help_text=NEXT)


class SumsOfHoldingsSerializer(serializers.Serializer[Any]):
    """The answer to `aggregate`."""

    as_of = serializers.DateTimeField(allow_null=True, help_text=AS_OF_HELP)
    aggregate = serializers.ChoiceField(choices=sorted(HOLDING_GROUPINGS))
    sums = HoldingSumsSerializer(many=True)


HOLDINGS = operation(
    "listHoldings",
    "Holdings with cost and worth, or sums over them",
    tag="Books",
    parameters=(
        parameter("account", "Of this account only."),
        parameter("mode", "Of this mode only.", enum=Mode.values),
        parameter("exchange", "At this exchange only.", enum=Exchange.values),
        parameter("asset", "Of this asset only."),
        parameter("strategy", "Of this strategy only."),
        parameter("zero", "`false` leaves out what is zero now.", enum=["true", "false"]),
        parameter("dust", "`true`: only what is too little to be sold; `false`: without it.", enum=["true", "false"]),
        parameter(
            "aggregate", "Sums per group instead, on one page: without limit and after.", enum=sorted(HOLDING_GROUPINGS)
        ),
        AS_OF,
        LIMIT,
        AFTER,
    ),
    answers={
        200: (
            PolymorphicProxySerializer(
                component_name="HoldingsOrSums",
                serializers=[HoldingsSerializer, SumsOfHoldingsSerializer],
                resource_type_field_name=None,
            ),
            "A page of holdings; with `aggregate` the sums.",
        )
    },
    problems=WITH_PAGES,
)


class HoldingsView(APIView):
    """``GET /api/exec/holdings``."""

    rights = {"GET": Right.VIEW}

    @HOLDINGS
    def get(self, request: Request) -> Response:
        """Holdings per (account, asset, strategy) with their worth at the mark, or with ``aggregate`` their sums; now,
        or with ``as_of`` by the facts up to then."""
        query = read_query(request, (*_NAMES, "zero", "dust", "aggregate", "as_of", *PAGING))
        choice_of(query, "mode", Mode.values)
        choice_of(query, "exchange", Exchange.values)
        grouping = choice_of(query, "aggregate", sorted(HOLDING_GROUPINGS))
        as_of = time_of(query, "as_of")
        rows = principal_of(request).narrow(Holding.objects.all())
        rows = rows.filter(**{lookup: query[name] for name, lookup in _NAMES.items() if name in query})
        if flag_of(query, "zero") is False:
            rows = rows.exclude(quantity=0)
        dust = flag_of(query, "dust")
        if dust is not None and as_of is not None:
            raise invalid("dust", "it is known of now only: leave out as_of.")
        if as_of is None:
            rows = with_dust(rows)
            rows = rows if dust is None else rows.filter(Q(is_dust=dust))
        rows = within_books(request, query, rows, as_of).select_related("account", "strategy")
        if grouping is None:
            found, after = page(rows, query, key="id")
        else:
            refuse_paging(query)
            found, after = list(rows.order_by("id")), None
        shown = show_holdings(found if as_of is None else holdings_at(found, as_of), as_of=as_of)
        told = {"as_of": time_or_none(as_of)}
        if grouping is None:
            return Response({**told, "holdings": [holding_document(row) for row in shown], "next": after})
        sums = [holding_sums_document(row) for row in sum_holdings(shown, grouping)]
        return Response({**told, "aggregate": grouping, "sums": sums})
