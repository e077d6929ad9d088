"""``manage.py sync_instruments [ACCOUNT…]``: pairs, filters and status as the exchange shows them now."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from exchanges.connections import adapter_for
from exchanges.management.account_command import AccountCommand
from exchanges.models import Account
from exchanges.syncing import sync_instruments


class Command(AccountCommand):
    """Once for each exchange and mode when no account is named; ``--dry-run`` asks the exchange and stores nothing."""

    help = "Read pairs, filters and status of the accounts' exchanges (default: once for each exchange and mode)."
    writes = True
    is_long = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Accounts; symbols to read those alone."""
        parser.add_argument("accounts", nargs="*", metavar="ACCOUNT")
        parser.add_argument("--symbol", action="append", help="only this pair (repeatable); default: all")

    def handle(self, *args: Any, **options: Any) -> None:
        """Read and store, market by market."""
        markets = {(account.exchange, account.mode): account for account in self.accounts(options["accounts"])}
        symbols = None if options["symbol"] is None else tuple(options["symbol"])

        def act(account: Account) -> tuple[dict[str, Any], str]:
            where = f"{account.exchange} {account.mode}"
            if self.dry_run:
                count = len(adapter_for(account).instruments(symbols))
            else:
                count = sync_instruments(account, symbols)
            said = "would store" if self.dry_run else "stored"
            document = {"exchange": account.exchange, "mode": account.mode, "instruments": count}
            return document, f"{said} {count} pairs of {where}."

        self.for_each(list(markets.values()), act)
