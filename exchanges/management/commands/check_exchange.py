"""``manage.py check_exchange [ACCOUNT…]``: one line each on host, clock, key, filters, balances and open orders."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from exchanges.checking import Check, check_account
from exchanges.management.account_command import AccountCommand, read_failed_sentence
from execution_project.common.clock import rfc3339
from execution_project.common.management_command import Partly


class Command(AccountCommand):
    """Reads and asks; changes nothing. Exit code 3 when something is wrong."""

    help = "Check the accounts at their exchanges (default: all); exit code 3 when something is wrong."
    is_long = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Accounts."""
        parser.add_argument("accounts", nargs="*", metavar="ACCOUNT")

    def handle(self, *args: Any, **options: Any) -> None:
        """Check account by account."""
        accounts = self.accounts(options["accounts"])
        width = max(len(account.name) for account in accounts)
        wrong = 0
        for account in self.progress(accounts, "accounts"):
            check = check_account(account, read_failed_sentence)
            wrong += bool(check.problems)
            self.answer(document(check), line(check, width))
        if wrong:
            raise Partly(f"Something is wrong with {wrong} of {len(accounts)} accounts; their lines say what to do.")


def document(check: Check) -> dict[str, Any]:
    """The check as JSON."""
    account = check.account
    return {
        "account": account.name,
        "exchange": account.exchange,
        "mode": account.mode,
        "ok": not check.problems,
        "problems": check.problems,
        "host": check.host or None,
        "round_trip_ms": check.round_trip_ms,
        "clock_offset_ms": check.clock_offset_ms,
        "can_read": check.can_read,
        "can_trade": check.can_trade,
        "pairs": check.pairs,
        "filters_age_s": check.filters_age_s,
        "assets": check.assets,
        "open_orders": check.open_orders,
        "foreign_orders": check.foreign_orders,
        "books_opened_at": None if account.books_opened_at is None else rfc3339(account.books_opened_at),
    }


def line(check: Check, width: int) -> str:
    """The check in one line; what could not be asked is left out."""
    account = check.account
    parts = [f"{account.name:<{width}}  {'WRONG' if check.problems else 'ok   '}  {account.exchange} {account.mode}"]
    parts.append(check.host or "no exchange to ask")
    if check.round_trip_ms is not None:
        parts.append(f"{check.round_trip_ms} ms, clock {check.clock_offset_ms:+d} ms")
    if check.can_read is not None:
        trades = {True: ", trades", False: ", may not trade", None: ""}[check.can_trade]
        parts.append(f"key {'reads' if check.can_read else 'refused or unanswered'}{trades}")
    if check.filters_age_s is not None:
        parts.append(f"{check.pairs} pairs, filters {check.filters_age_s} s old")
    if check.assets is not None:
        parts.append(f"{check.assets} assets")
    if check.open_orders is not None:
        foreign = f" ({check.foreign_orders} not ours)" if check.foreign_orders else ""
        parts.append(f"{check.open_orders} open order{'s' * (check.open_orders != 1)}{foreign}")
    return " | ".join(parts + check.problems)
