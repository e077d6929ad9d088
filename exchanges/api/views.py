"""The outside, at the API: instruments with what can be done with them."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from exchanges.api import schema
from exchanges.api.documents import instrument_document
from exchanges.models import Account, Exchange, Instrument, Mode
from execution_project.common.api.authentication import principal_of
from execution_project.common.api.paging import page
from execution_project.common.api.query import PAGING, choice_of, flag_of, read_query
from execution_project.common.problems import Problem
from execution_project.common.rights import Right


class InstrumentsView(APIView):
    """``GET /api/exec/instruments``."""

    rights = {"GET": Right.VIEW}

    @schema.INSTRUMENTS
    def get(self, request: Request) -> Response:
        """Instruments as each exchange shows them to accounts of one mode, with filters and what orders they take.

        ``account`` stands for its exchange and mode.
        """
        query = read_query(request, ("account", "exchange", "mode", "symbol", "base", "quote", "trading", *PAGING))
        wanted = {
            "exchange": choice_of(query, "exchange", Exchange.values),
            "mode": choice_of(query, "mode", Mode.values),
            "symbol": query.get("symbol"),
            "base_asset": query.get("base"),
            "quote_asset": query.get("quote"),
            "is_trading": flag_of(query, "trading"),
        }
        rows = Instrument.objects.filter(**{name: value for name, value in wanted.items() if value is not None})
        if "account" in query:
            reached = principal_of(request).narrow(Account.objects.all(), account="name", strategy=None)
            account = reached.filter(name=query["account"]).first()
            if account is None:
                raise Problem(404, "UNKNOWN_ACCOUNT", f"There is no account {query['account']!r} for this key.")
            rows = rows.filter(exchange=account.exchange, mode=account.mode)
        found, after = page(rows, query, key="id")
        return Response({"instruments": [instrument_document(row) for row in found], "next": after})
