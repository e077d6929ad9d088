"""Equity at the API: series of accounts, strategies and modes, with NAV, high-water marks and drawdowns."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from exchanges.models import Mode
from execution_project.common.api.authentication import principal_of
from execution_project.common.api.fields import DecimalString
from execution_project.common.api.paging import page
from execution_project.common.api.query import PAGING, choice_of, invalid, limit_of, read_query, time_of
from execution_project.common.api.schema import AFTER, LIMIT, WITH_PAGES, operation, parameter
from execution_project.common.clock import rfc3339
from execution_project.common.money import plain_or_none
from execution_project.common.rights import Right
from positions.curves import RESOLUTIONS, Bucket, buckets
from positions.models import EquityPoint, EquityScope

RAW = "raw"
_NAMES = {
    "scope": "series__scope",
    "mode": "series__mode",
    "account": "series__account__name",
    "strategy": "series__strategy__name",
}
_FRACTION = "A fraction of the reference; null: unknown, never 0."


class DrawdownSerializer(serializers.Serializer[Any]):
    """How far a valuation is below each of its references."""

    trailing = DecimalString(allow_null=True, help_text=f"From the highest NAV ever. {_FRACTION}")
    daily = DecimalString(allow_null=True, help_text=f"From the highest NAV since 00:00 UTC. {_FRACTION}")
    static = DecimalString(allow_null=True, help_text=f"From the opening NAV, 1. {_FRACTION}")
    absolute = DecimalString(
        allow_null=True, help_text="Highest equity, moved by every flow since, less equity; in the currency."
    )
    daily_loss = DecimalString(
        allow_null=True, help_text="Equity as the day (UTC) began plus its flows, less equity. Negative: a gain."
    )


class EquityPointSerializer(serializers.Serializer[Any]):
    """One series at one moment, or over a stretch of time: then its last moment, and the extremes within."""

    scope = serializers.ChoiceField(choices=EquityScope.values)
    mode = serializers.ChoiceField(choices=Mode.values)
    account = serializers.CharField(allow_null=True)
    strategy = serializers.CharField(allow_null=True)
    currency = serializers.CharField(help_text="The reporting currency.")
    began_at = serializers.DateTimeField(help_text="Begin of the stretch; with `raw` the moment itself.")
    at = serializers.DateTimeField(help_text="The moment of equity, NAV and drawdowns.")
    equity = DecimalString(allow_null=True, help_text="null: a mark was missing, see `missing`.")
    low_equity = DecimalString(allow_null=True)
    high_equity = DecimalString(allow_null=True)
    nav = DecimalString(allow_null=True, help_text="Per unit; deposits and withdrawals do not move it.")
    low_nav = DecimalString(allow_null=True)
    high_nav = DecimalString(allow_null=True)
    hwm_nav = DecimalString(allow_null=True, help_text="The highest NAV ever.")
    hwm_equity = DecimalString(allow_null=True, help_text="The highest equity, moved by every flow since.")
    drawdown = DrawdownSerializer()
    missing = serializers.ListField(child=serializers.CharField(), help_text="What had no mark or no known cost.")
    confirmed = serializers.BooleanField(
        help_text="false: a mark was new or had jumped; it sets no high-water mark before the next quote confirms it."
    )
    valuation = serializers.UUIDField(allow_null=True, help_text="The stored valuation with every mark, if kept.")


class EquitySerializer(serializers.Serializer[Any]):
    """A page of points, oldest first."""

    resolution = serializers.ChoiceField(choices=[RAW, *RESOLUTIONS])
    points = EquityPointSerializer(many=True)
    next = serializers.CharField(allow_null=True, help_text="Send it as `after` for the next page; null at the end.")


EQUITY = operation(
    "listEquity",
    "Equity, NAV and drawdowns over time",
    tag="Books",
    parameters=(
        parameter(
            "scope", "Of accounts, of strategies, or of all accounts of a mode together.", enum=EquityScope.values
        ),
        parameter("mode", "Of this mode only.", enum=Mode.values),
        parameter("account", "Of this account only."),
        parameter("strategy", "Of this strategy only."),
        parameter("from", "At this time or later.", format="date-time"),
        parameter("to", "Before this time.", format="date-time"),
        parameter(
            "resolution",
            "One point per valuation that said something new (the default; older than eight days: per minute), or the"
            " last of each minute, hour or day with the extremes within.",
            enum=[RAW, *RESOLUTIONS],
        ),
        LIMIT,
        AFTER,
    ),
    answers={200: (EquitySerializer, "A page of points; with a resolution it may hold fewer than `limit`.")},
    problems=WITH_PAGES,
)


def point_document(row: EquityPoint, bucket: Bucket | None = None) -> dict[str, Any]:
    """A point as ``EquityPointSerializer`` describes it; over a stretch of time the bucket that it is the last of."""
    series, extremes = row.series, bucket or row

    def text(value: Decimal | None) -> str | None:
        return plain_or_none(value)

    return {
        "scope": series.scope,
        "mode": series.mode,
        "account": None if series.account is None else series.account.name,
        "strategy": None if series.strategy is None else series.strategy.name,
        "currency": series.currency,
        "began_at": rfc3339(row.at if bucket is None else bucket.began_at),
        "at": rfc3339(row.at),
        "equity": text(row.equity),
        "low_equity": text(extremes.low_equity),
        "high_equity": text(extremes.high_equity),
        "nav": text(row.nav),
        "low_nav": text(extremes.low_nav),
        "high_nav": text(extremes.high_nav),
        "hwm_nav": text(row.hwm_nav),
        "hwm_equity": text(row.hwm_equity),
        "drawdown": {
            "trailing": text(row.drawdown_trailing),
            "daily": text(row.drawdown_daily),
            "static": text(row.drawdown_static),
            "absolute": text(row.drawdown_absolute),
            "daily_loss": text(row.daily_loss),
        },
        "missing": row.missing,
        "confirmed": row.confirmed,
        "valuation": None if row.valuation_id is None else str(row.valuation_id),
    }


class EquityView(APIView):
    """``GET /api/exec/equity``."""

    rights = {"GET": Right.VIEW}

    @EQUITY
    def get(self, request: Request) -> Response:
        """Points of every series that the key reaches, oldest first; a key bound to accounts does not reach the equity
        of all accounts together."""
        query = read_query(request, (*_NAMES, "from", "to", "resolution", *PAGING))
        choice_of(query, "scope", EquityScope.values)
        choice_of(query, "mode", Mode.values)
        resolution = choice_of(query, "resolution", (RAW, *RESOLUTIONS)) or RAW
        rows = principal_of(request).narrow(
            EquityPoint.objects.all(), account="series__account__name", strategy="series__strategy__name"
        )
        rows = rows.filter(**{lookup: query[name] for name, lookup in _NAMES.items() if name in query})
        for name, lookup in (("from", "at__gte"), ("to", "at__lt")):
            if (moment := time_of(query, name)) is not None:
                rows = rows.filter(**{lookup: moment})
        if resolution == RAW:
            found, after = page(rows.select_related("series__account", "series__strategy"), query, key="id")
            return Response({"resolution": RAW, "points": [point_document(row) for row in found], "next": after})
        listed, more = buckets(rows, resolution, limit=limit_of(query), after=_read_cursor(query))
        return Response(
            {
                "resolution": resolution,
                "points": [point_document(bucket.last, bucket) for bucket in listed],
                "next": _cursor(listed[-1]) if more else None,
            }
        )


def _cursor(bucket: Bucket) -> str:
    text = f"{bucket.began_at.astimezone(UTC):%Y-%m-%dT%H:%M}/{bucket.last.series_id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_cursor(query: Mapping[str, str]) -> tuple[datetime, int] | None:
    """The begin and series id that a cursor stands for; raises ``Problem`` 400 for what no page has answered."""
    cursor = query.get("after")
    if cursor is None:
        return None
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        moment, _, series = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii").partition("/")
        if not (series.isdigit() and len(series) < 19):
            raise ValueError(series)
        return datetime.strptime(moment, "%Y-%m-%dT%H:%M").replace(tzinfo=UTC), int(series)
    except (ValueError, binascii.Error):
        raise invalid("after", "it takes the 'next' of the page before, from the same list.") from None
