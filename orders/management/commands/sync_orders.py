"""``manage.py sync_orders [ACCOUNT…]``: ask the exchange for working orders and for those of unknown fate, now."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from exchanges.management.account_command import AccountCommand
from exchanges.models import Account
from orders.following import follow_account, probe
from orders.lifecycle import AT_EXCHANGE
from orders.models import Order


class Command(AccountCommand):
    """What the running engine does every few seconds, once and in this process."""

    help = "Bring working and unknown orders up to date from the exchange (default: of all accounts)."
    writes = True
    is_long = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Accounts."""
        parser.add_argument("accounts", nargs="*", metavar="ACCOUNT")

    def handle(self, *args: Any, **options: Any) -> None:
        """Follow and probe, account by account."""

        def act(account: Account) -> tuple[dict[str, Any], str]:
            orders = Order.objects.filter(account=account, status__in=[status.value for status in AT_EXCHANGE])
            if self.dry_run:
                count = orders.count()
                return {"orders": count}, f"would ask for {count} orders."
            before = set(orders.values_list("id", flat=True))
            fills = follow_account(account)
            unknown = orders.filter(status__in=["submitting", "submit_unknown"]).order_by("id")
            found = sum(probe(order_id) for order_id in list(unknown.values_list("id", flat=True)))
            left = orders.count()
            document = {"orders": len(before), "new_fills": fills, "unknown_found": found, "still_at_exchange": left}
            text = f"asked for {len(before)} orders; {fills} new fills, {found} unknown found, {left} not ended."
            return document, text

        self.for_each(self.accounts(options["accounts"]), act)
