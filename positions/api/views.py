"""What we own, at the API: positions, sums over them, and fills."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from execution_project.common.api.authentication import principal_of
from execution_project.common.api.paging import page
from execution_project.common.api.query import PAGING, choice_of, invalid, read_query, time_of, uuid_of
from execution_project.common.rights import Right
from positions.aggregates import GROUPINGS, aggregate
from positions.api import schema
from positions.api.documents import aggregate_document, fill_document, position_document
from positions.models import Fill, Position

_NAMES = {"account": "account__name", "symbol": "instrument__symbol", "strategy": "strategy__name"}


class PositionsView(APIView):
    """``GET /api/exec/positions``."""

    rights = {"GET": Right.VIEW}

    @schema.POSITIONS
    def get(self, request: Request) -> Response:
        """Positions per (account, instrument, strategy), or with ``aggregate`` their sums per group and asset."""
        query = read_query(request, (*_NAMES, "aggregate", *PAGING))
        grouping = choice_of(query, "aggregate", GROUPINGS)
        rows = principal_of(request).narrow(Position.objects.all())
        rows = rows.filter(**{lookup: query[name] for name, lookup in _NAMES.items() if name in query})
        if grouping is not None:
            for name in PAGING:
                if name in query:
                    raise invalid(name, "sums come on one page; leave it out with aggregate.")
            sums = aggregate(rows, grouping)
            return Response({"aggregate": grouping, "sums": [aggregate_document(row) for row in sums]})
        found, after = page(rows.select_related("account", "instrument", "strategy"), query, key="id")
        return Response({"positions": [position_document(row) for row in found], "next": after})


class FillsView(APIView):
    """``GET /api/exec/fills``."""

    rights = {"GET": Right.VIEW}

    @schema.FILLS
    def get(self, request: Request) -> Response:
        """Fills, last booked first; ``after`` continues where the last page's ``next`` points."""
        names = ("order", "exchange_order", "traded_after", "traded_before")
        query = read_query(request, (*_NAMES, *names, *PAGING))
        rows = principal_of(request).narrow(Fill.objects.all())
        rows = rows.filter(**{lookup: query[name] for name, lookup in _NAMES.items() if name in query})
        wanted = {
            "order_id": uuid_of(query, "order"),
            "exchange_order_id": query.get("exchange_order"),
            "traded_at__gte": time_of(query, "traded_after"),
            "traded_at__lt": time_of(query, "traded_before"),
        }
        rows = rows.filter(**{lookup: value for lookup, value in wanted.items() if value is not None})
        found, after = page(rows.select_related("account", "instrument", "strategy"), query)
        return Response({"fills": [fill_document(row) for row in found], "next": after})
