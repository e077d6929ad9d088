"""Accounts and balances at the API: what is there, whether it may trade, and how fresh our knowledge is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from django.db.models import Max, Min, Sum
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from exchanges.connections import host_of
from exchanges.models import (
    Account,
    AccountFreshness,
    Balance,
    Exchange,
    HostClock,
    Mode,
    Quote,
    StreamKind,
    StreamState,
)
from execution_project.common import clock
from execution_project.common.api.authentication import principal_of
from execution_project.common.api.paging import page
from execution_project.common.api.query import PAGING, choice_of, flag_of, invalid, read_query, time_of
from execution_project.common.rights import Right
from positions.api.moments import accounts_then, refuse_paging
from positions.as_of import balances_at
from risk.api import schema
from risk.api.documents import account_document, balance_document, past_balances_document
from risk.models import Reservation
from risk.overview import stops_of


def _documents(accounts: list[Account]) -> Iterable[dict[str, object]]:
    now = clock.now()
    balances = {
        row["account"]: row["oldest"]
        for row in Balance.objects.filter(account__in=accounts).values("account").annotate(oldest=Min("as_of"))
    }
    markets = {(account.exchange, account.mode) for account in accounts}
    quotes: dict[tuple[str, str], datetime] = {
        (row["instrument__exchange"], row["instrument__mode"]): row["newest"]
        for row in Quote.objects.filter(
            instrument__exchange__in={exchange for exchange, _ in markets},
            instrument__mode__in={mode for _, mode in markets},
        )
        .values("instrument__exchange", "instrument__mode")
        .annotate(newest=Max("confirmed_at"))
    }
    clocks = HostClock.objects.in_bulk({host_of(account) for account in accounts})
    compared = {row.account_id: row for row in AccountFreshness.objects.filter(account__in=accounts)}
    streams = {
        row.subject: row
        for row in StreamState.objects.filter(kind=StreamKind.PRIVATE, subject__in=[a.name for a in accounts])
    }
    stops = stops_of([(("exchange", a.exchange), ("account", a.name)) for a in accounts])
    for account, stop in zip(accounts, stops, strict=True):
        yield account_document(
            account,
            now=now,
            stopped_by=stop,
            balances_as_of=balances.get(account.pk),
            last_quote_at=quotes.get((account.exchange, account.mode)),
            host_clock=clocks.get(host_of(account)),
            compared=compared.get(account.pk),
            stream=streams.get(account.name),
        )


class AccountsView(APIView):
    """``GET /api/exec/accounts``."""

    rights = {"GET": Right.VIEW}

    @schema.ACCOUNTS
    def get(self, request: Request) -> Response:
        """Accounts, oldest first, each with its trading state and the age of what is known of it."""
        query = read_query(request, ("account", "exchange", "mode", *PAGING))
        wanted = {
            "name": query.get("account"),
            "exchange": choice_of(query, "exchange", Exchange.values),
            "mode": choice_of(query, "mode", Mode.values),
        }
        rows = principal_of(request).narrow(Account.objects.all(), account="name", strategy=None)
        rows = rows.filter(**{name: value for name, value in wanted.items() if value is not None})
        found, after = page(rows, query, key="id")
        return Response({"accounts": list(_documents(found)), "next": after})


class BalancesView(APIView):
    """``GET /api/exec/balances``."""

    rights = {"GET": Right.VIEW}

    @schema.BALANCES
    def get(self, request: Request) -> Response:
        """What each exchange last reported, with what this engine's live orders may still consume; with ``as_of`` what
        the ledger has of that moment."""
        query = read_query(request, ("account", "asset", "zero", "as_of", "as_known_at", *PAGING))
        as_of, as_known_at = time_of(query, "as_of"), time_of(query, "as_known_at")
        if as_of is not None:
            refuse_paging(query)
            accounts = accounts_then(request, query, as_of)
            found_then = balances_at(accounts, as_of, as_known_at=as_known_at, asset=query.get("asset"))
            if flag_of(query, "zero") is False:
                found_then = [row for row in found_then if row.amount]
            return Response(past_balances_document(found_then, as_of, as_known_at))
        if as_known_at is not None:
            raise invalid("as_known_at", "it goes with as_of.")
        rows = principal_of(request).narrow(Balance.objects.select_related("account"), strategy=None)
        if "account" in query:
            rows = rows.filter(account__name=query["account"])
        if "asset" in query:
            rows = rows.filter(asset=query["asset"])
        if flag_of(query, "zero") is False:
            rows = rows.exclude(free=0, locked=0)
        found, after = page(rows, query, key="id")
        reserved: dict[tuple[str, str], Decimal] = {
            (row["account_name"], row["asset"]): row["total"]
            for row in Reservation.objects.filter(
                account_name__in={row.account.name for row in found},
                asset__in={row.asset for row in found},
                amount__gt=0,
            )
            .values("account_name", "asset")
            .annotate(total=Sum("amount"))
        }
        now = clock.now()
        return Response(
            {"balances": [balance_document(row, reserved=reserved, now=now) for row in found], "next": after}
        )
