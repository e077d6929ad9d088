"""``manage.py sync_balances [ACCOUNT…]``: what the exchange reports of each asset now."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from exchanges.connections import adapter_for
from exchanges.host_clock import exchange_now_ms
from exchanges.management.account_command import AccountCommand
from exchanges.models import Account, Balance
from exchanges.syncing import sync_balances
from execution_project.common.money import plain


class Command(AccountCommand):
    """Stores the exchange's report; the ledger is not touched. ``--dry-run`` asks and stores nothing."""

    help = "Read and store the balances that the exchange reports (default: of all accounts)."
    writes = True
    is_long = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Accounts."""
        parser.add_argument("accounts", nargs="*", metavar="ACCOUNT")

    def handle(self, *args: Any, **options: Any) -> None:
        """Read and store, account by account."""

        def act(account: Account) -> tuple[dict[str, Any], str]:
            if self.dry_run:
                reports = adapter_for(account).balances(now_ms=exchange_now_ms(account))
                amounts = {report.asset: (report.free, report.locked) for report in reports}
            else:
                sync_balances(account)
                amounts = {row.asset: (row.free, row.locked) for row in Balance.objects.filter(account=account)}
            balances = [
                {"asset": asset, "free": plain(free), "locked": plain(locked)}
                for asset, (free, locked) in sorted(amounts.items())
                if free or locked
            ]
            held = ", ".join(f"{row['free']} + {row['locked']} {row['asset']}" for row in balances) or "nothing"
            return {"balances": balances}, f"{'would store' if self.dry_run else 'stored'} {held} (free + locked)."

        self.for_each(self.accounts(options["accounts"]), act)
