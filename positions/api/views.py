"""What we own, at the API: positions, sums over them, and fills."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from execution_project.common.api.authentication import principal_of
from execution_project.common.api.paging import page
from execution_project.common.api.query import PAGING, choice_of, read_query, time_of, uuid_of
from execution_project.common.rights import Right
from positions.aggregates import GROUPINGS, sum_positions, total_positions
from positions.api import schema
from positions.api.documents import (
    aggregate_document,
    fill_document,
    position_document,
    time_or_none,
    totals_document,
)
from positions.api.moments import refuse_paging, within_books
from positions.as_of import positions_at
from positions.models import Fill, Position
from positions.shown import show_positions

_NAMES = {"account": "account__name", "symbol": "instrument__symbol", "strategy": "strategy__name"}


class PositionsView(APIView):
    """``GET /api/exec/positions``."""

    rights = {"GET": Right.VIEW}

    @schema.POSITIONS
    def get(self, request: Request) -> Response:
        """Positions per (account, instrument, strategy), or with ``aggregate`` their sums per group and asset and, in
        the reporting currency, per group; now, or with ``as_of`` by the trades up to then."""
        query = read_query(request, (*_NAMES, "aggregate", "as_of", *PAGING))
        grouping = choice_of(query, "aggregate", GROUPINGS)
        as_of = time_of(query, "as_of")
        rows = principal_of(request).narrow(Position.objects.all())
        rows = rows.filter(**{lookup: query[name] for name, lookup in _NAMES.items() if name in query})
        rows = within_books(request, query, rows, as_of).select_related("account", "instrument", "strategy")
        if grouping is None:
            found, after = page(rows, query, key="id")
        else:
            refuse_paging(query)
            found, after = list(rows.order_by("id")), None
        shown = show_positions(found if as_of is None else positions_at(found, as_of), as_of=as_of)
        told = {"as_of": time_or_none(as_of)}
        if grouping is None:
            return Response({**told, "positions": [position_document(row) for row in shown], "next": after})
        totals = total_positions(shown, grouping, as_of=as_of)
        return Response(
            {
                **told,
                "aggregate": grouping,
                "sums": [aggregate_document(row) for row in sum_positions(shown, grouping)],
                "totals": [totals_document(row) for row in totals],
            }
        )


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
