"""What we own, at the API: positions and fills."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from execution_project.common.api.authentication import principal_of
from execution_project.common.clock import rfc3339
from execution_project.common.models import ApiKey
from execution_project.common.money import plain, plain_or_none
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from positions.models import Fill, Position

PAGE = 100
MAX_PAGE = 1000


def _filtered(queryset: QuerySet[Any], request: Request, key: ApiKey, allowed: dict[str, str]) -> QuerySet[Any]:
    if any("\x00" in value for value in request.query_params.values()):
        raise Problem(400, "INVALID_PARAMETER", "A parameter holds a NUL character.")
    unknown = set(request.query_params) - set(allowed) - {"limit", "after"}
    if unknown:
        raise Problem(400, "UNKNOWN_PARAMETER", f"There is no parameter {', '.join(sorted(unknown))}.")
    if key.accounts is not None:
        queryset = queryset.filter(account__name__in=key.accounts)
    for name, lookup in allowed.items():
        if name in request.query_params:
            queryset = queryset.filter(**{lookup: request.query_params[name]})
    return queryset


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(PAGE))
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_PAGE):
        raise Problem(400, "INVALID_LIMIT", f"limit is a whole number from 1 to {MAX_PAGE}.")
    return int(text)


def _uuid(text: str, name: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Problem(400, "INVALID_PARAMETER", f"{name} is not an id.") from None


class PositionsView(APIView):
    """``GET /api/exec/positions``."""

    rights = {"GET": Right.VIEW}

    def get(self, request: Request) -> Response:
        """Positions per (account, instrument, strategy); money in the quote asset."""
        rows = _filtered(
            Position.objects.select_related("account", "instrument", "strategy").order_by("id"),
            request,
            principal_of(request).key,
            {"account": "account__name", "symbol": "instrument__symbol", "strategy": "strategy__name"},
        )
        return Response(
            {
                "positions": [
                    {
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
                    for row in rows[: _limit(request)]
                ]
            }
        )


class FillsView(APIView):
    """``GET /api/exec/fills``."""

    rights = {"GET": Right.VIEW}

    def get(self, request: Request) -> Response:
        """Fills, newest first; ``after`` continues where the last page's ``next`` points."""
        if "order" in request.query_params:
            _uuid(request.query_params["order"], "order")
        rows = _filtered(
            Fill.objects.select_related("account", "instrument", "strategy").order_by("-id"),
            request,
            principal_of(request).key,
            {
                "account": "account__name",
                "symbol": "instrument__symbol",
                "strategy": "strategy__name",
                "order": "order_id",
            },
        )
        after = request.query_params.get("after")
        if after is not None:
            rows = rows.filter(id__lt=_uuid(after, "after"))
        limit = _limit(request)
        page = list(rows[: limit + 1])
        return Response(
            {
                "fills": [
                    {
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
                    for fill in page[:limit]
                ],
                "next": str(page[limit - 1].id) if len(page) > limit else None,
            }
        )
