"""What lists that can be asked about the past share: ``as_of``, and which accounts had books then."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

from django.db.models import Model, QuerySet
from rest_framework.request import Request

from exchanges.models import Account
from execution_project.common.api.authentication import principal_of
from execution_project.common.api.query import PAGING, invalid
from execution_project.common.api.schema import parameter
from positions.as_of import accounts_with_books

Row = TypeVar("Row", bound=Model)
AS_OF = parameter(
    "as_of",
    "By all that had happened up to this moment, by the exchange's time of trades and the books' own of everything"
    " else, also where it was heard of later. Not in the future and not before the books were opened.",
    format="date-time",
)


def accounts_then(request: Request, query: Mapping[str, str], as_of: datetime) -> list[Account]:
    """The accounts of the query that the key reaches and whose books were open; raises ``Problem`` (400)."""
    accounts = principal_of(request).narrow(Account.objects.all(), account="name", strategy=None)
    if "account" in query:
        accounts = accounts.filter(name=query["account"])
    return accounts_with_books(accounts.order_by("name"), as_of)


def within_books(
    request: Request, query: Mapping[str, str], rows: QuerySet[Row], as_of: datetime | None
) -> QuerySet[Row]:
    """The rows of accounts whose books were open at a moment; all rows without one. Raises ``Problem`` (400)."""
    return rows if as_of is None else rows.filter(account__in=accounts_then(request, query, as_of))


def refuse_paging(query: Mapping[str, str]) -> None:
    """Raise ``Problem`` (400) where a page is asked for of what comes whole."""
    for name in PAGING:
        if name in query:
            raise invalid(name, "this comes on one page; leave it out.")
