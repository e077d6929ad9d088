"""Statements for the accountant: every fill of a period, or every realised profit, complete and with its totals.

A statement is read in one picture of the database, by a cursor of the server and in pages, so that it takes the same
memory however long it is. It comes in parts, one after another: rows of facts, and last what they sum to.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings

from exchanges.models import Account
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.clock import rfc3339
from execution_project.common.events import record
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from positions import fill_statement, pnl_statement
from positions.statement_parts import Statement, Wanted

KINDS = ("fills", "pnl")
METHODS = {"average": "average cost", "fifo": "first in, first out"}


def state(wanted: Wanted, *, by: Actor) -> Statement:
    """The statement asked for, recorded with whoever asked; nothing is read before it is iterated.

    Raises ``Problem``: 403 without the right to view; 404 for an unknown account; 400 for a period that is none;
    409 for average costs while holdings are being folded anew.
    """
    by.require(Right.VIEW)
    now = clock.now()
    end = now if wanted.end is None else min(wanted.end, now)
    if wanted.start is not None and wanted.start >= end:
        raise Problem(400, "INVALID_PARAMETER", f"from: it takes a time before the end of the period, {rfc3339(end)}.")
    accounts = tuple(_accounts(wanted.accounts))
    of_fills = wanted.kind == "fills"
    if not of_fills and wanted.method == "average":
        pnl_statement.refuse_while_restating(accounts, end - timedelta(microseconds=1))
    header = {
        "statement": "fills" if of_fills else "realised profit and loss",
        **({} if of_fills else {"method": METHODS[wanted.method]}),
        "currency": settings.EXEC_REPORTING_CURRENCY,
        "time_zone": "UTC",
        "from": "the opening of the books" if wanted.start is None else rfc3339(wanted.start),
        "to": rfc3339(end),
        "accounts": ", ".join(account.name for account in accounts) or "none",
        "made_at": rfc3339(now),
    }
    record("statement.made", "statement", wanted.kind, by, evidence=dict(header))
    source = fill_statement if of_fills else pnl_statement
    return Statement(wanted, end, header, source.COLUMNS, accounts, source.count_parts, source.read)


def _accounts(names: tuple[str, ...] | None) -> list[Account]:
    rows = Account.objects.order_by("name")
    if names is None:
        return list(rows)
    found = list(rows.filter(name__in=names))
    for name in names:
        if name not in {row.name for row in found}:
            known = ", ".join(rows.values_list("name", flat=True)) or "none yet"
            raise Problem(404, "UNKNOWN_ACCOUNT", f"There is no account {name!r}. Accounts: {known}.")
    return found
