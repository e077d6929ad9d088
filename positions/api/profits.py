"""Profit and loss at the API: of a period, by time, strategy, instrument, asset or account."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django.conf import settings
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from exchanges.models import Exchange, Mode
from execution_project.common.api.authentication import principal_of
from execution_project.common.api.fields import DecimalString
from execution_project.common.api.query import PAGING, choice_of, invalid, limit_of, read_query, time_of
from execution_project.common.api.schema import AFTER, LIMIT, WITH_PAGES, operation, parameter
from execution_project.common.clock import rfc3339
from execution_project.common.money import plain, plain_or_none
from execution_project.common.rights import Right
from positions.api.documents import MISSING, NEXT
from positions.profits import BY, Profit, Scope, period_of, profits

_ANEW = "These six are null while something of them is being folded anew (`restating` in `missing`)."


class ProfitGroupSerializer(serializers.Serializer[Any]):
    """What a row is of; none for totals."""

    period = serializers.DateTimeField(required=False, help_text="Begin of the hour, day, week or month, in UTC.")
    strategy = serializers.CharField(required=False, allow_null=True)
    exchange = serializers.ChoiceField(choices=Exchange.values, required=False)
    symbol = serializers.CharField(required=False, allow_null=True, help_text="null: of no trade.")
    asset = serializers.CharField(required=False)
    account = serializers.CharField(required=False)


class ProfitSerializer(serializers.Serializer[Any]):
    """Profit and loss of one group in one mode; money in the reporting currency."""

    group = ProfitGroupSerializer()
    mode = serializers.ChoiceField(choices=Mode.values)
    realised_pnl = DecimalString(allow_null=True, help_text=f"After fees: the sum of the five below. {_ANEW}")
    local_pnl = DecimalString(allow_null=True, help_text="Of trading, without the currency effect.")
    currency_effect = DecimalString(
        allow_null=True, help_text="Of paying with TRY or USDT that had cost something else."
    )
    income = DecimalString(allow_null=True, help_text="Airdrops and rebates, at their value then.")
    transfer_costs = DecimalString(
        allow_null=True, help_text="Network fees of transfers between own accounts; negative."
    )
    other_pnl = DecimalString(allow_null=True, help_text="Of withdrawals, dust conversions and explained differences.")
    fees = DecimalString(
        allow_null=True, help_text="Fees and taxes of trades, in the amounts above already; null while one has no rate."
    )
    unrealised_pnl = DecimalString(
        allow_null=True, help_text="Of what is held now, where the period reaches to now; else null."
    )
    pending = serializers.IntegerField(help_text="Disposals that wait for a rate and realised nothing yet.")
    missing = serializers.ListField(child=serializers.CharField(), help_text=MISSING)


class ProfitsSerializer(serializers.Serializer[Any]):
    """A page of rows, and the totals of the whole period."""

    start = serializers.DateTimeField(help_text="Begin of the period.")
    end = serializers.DateTimeField(help_text="Its end, which is not in it.")
    by = serializers.ChoiceField(choices=BY)
    currency = serializers.CharField(help_text="The reporting currency.")
    rows = ProfitSerializer(many=True)
    totals = ProfitSerializer(many=True, help_text="Per mode, over all pages.")
    next = serializers.CharField(allow_null=True, help_text=NEXT)


PNL = operation(
    "listProfits",
    "Profit and loss of a period",
    tag="Books",
    parameters=(
        parameter("from", "Of what happened at this time or later; default: 30 days before `to`.", format="date-time"),
        parameter("to", "Of what happened before this time; default: now.", format="date-time"),
        parameter("by", "One row for each; default: day.", enum=BY),
        parameter("mode", "Of this mode only.", enum=Mode.values),
        parameter("account", "Of this account only."),
        parameter("strategy", "Of this strategy only."),
        LIMIT,
        AFTER,
    ),
    answers={200: (ProfitsSerializer, "A page of rows with the totals of all.")},
    problems=WITH_PAGES,
)


def profit_document(row: Profit) -> dict[str, Any]:
    """A row as ``ProfitSerializer`` describes it."""

    def known(amount: Decimal) -> str | None:
        return None if row.restating else plain(amount)

    return {
        "group": row.group,
        "mode": row.mode,
        "realised_pnl": plain_or_none(row.realised),
        "local_pnl": known(row.local),
        "currency_effect": known(row.currency_effect),
        "income": known(row.income),
        "transfer_costs": known(row.transfer_costs),
        "other_pnl": known(row.other),
        "fees": plain_or_none(row.fees),
        "unrealised_pnl": plain_or_none(row.unrealised),
        "pending": row.pending,
        "missing": row.missing,
    }


class ProfitsView(APIView):
    """``GET /api/exec/pnl``."""

    rights = {"GET": Right.VIEW}

    @PNL
    def get(self, request: Request) -> Response:
        """What was realised in a period, in its parts, with fees beside it, and what is not realised yet."""
        query = read_query(request, ("from", "to", "by", "mode", "account", "strategy", *PAGING))
        by = choice_of(query, "by", BY) or "day"
        start, end, reaches_now = period_of(time_of(query, "from"), time_of(query, "to"), by)
        key = principal_of(request).key
        scope = Scope(
            start,
            end,
            by,
            mode=choice_of(query, "mode", Mode.values),
            account=query.get("account"),
            strategy=query.get("strategy"),
            accounts=key.accounts,
            strategies=key.strategies,
            reaches_now=reaches_now,
        )
        found = profits(scope)
        rows, after = _page(found.rows, query)
        return Response(
            {
                "start": rfc3339(start),
                "end": rfc3339(end),
                "by": scope.by,
                "currency": settings.EXEC_REPORTING_CURRENCY,
                "rows": [profit_document(row) for row in rows],
                "totals": [profit_document(row) for row in found.totals],
                "next": after,
            }
        )


def _page(rows: Sequence[Profit], query: Mapping[str, str]) -> tuple[Sequence[Profit], str | None]:
    """One page after the row that the cursor names, and the cursor of the next one."""
    keys = [_cursor(row) for row in rows]
    start = 0
    after = query.get("after")
    if after is not None:
        if after not in keys:
            raise invalid("after", "it takes the 'next' of the page before, from the same list.")
        start = keys.index(after) + 1
    end = start + limit_of(query)
    return rows[start:end], keys[end - 1] if end < len(rows) else None


def _cursor(row: Profit) -> str:
    text = json.dumps([row.mode, *row.group.values()])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
