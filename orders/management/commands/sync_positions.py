"""``manage.py sync_positions [ACCOUNT…]``: book what our orders traded and is not booked yet; show positions."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from exchanges.management.account_command import AccountCommand
from exchanges.models import Account
from orders.following import follow_account, settle_account
from orders.lifecycle import AT_EXCHANGE, ENDED_AS
from orders.models import Order
from positions.api.documents import position_document
from positions.models import Position
from positions.shown import show_positions


class Command(AccountCommand):
    """A position is a fold over fills: it is never set, only moved by trades of orders that this engine sent."""

    help = (
        "Ask for working orders and settle ended ones: the trades of this engine's orders are booked, and positions"
        " follow from them (default: of all accounts). Trades of other programs are not booked by this."
    )
    writes = True
    is_long = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Accounts."""
        parser.add_argument("accounts", nargs="*", metavar="ACCOUNT")

    def handle(self, *args: Any, **options: Any) -> None:
        """Follow and settle, account by account."""

        def act(account: Account) -> tuple[dict[str, Any], str]:
            statuses = [status.value for status in (*AT_EXCHANGE, *ENDED_AS)]
            if self.dry_run:
                count = Order.objects.filter(account=account, status__in=statuses).count()
                return {"orders": count}, f"would ask for {count} orders and their trades."
            fills = follow_account(account)
            settled = settle_account(account)
            rows = Position.objects.filter(account=account).select_related("account", "instrument", "strategy")
            shown = show_positions(list(rows.order_by("instrument__symbol", "strategy__name")))
            positions = [position_document(row) for row in shown]
            lines = [
                f"  {row['symbol']:<12} {row['strategy'] or '–':<16} {row['net_quantity']}"
                f" at {row['average_price'] or '–'}, realised {row['realised_pnl']}"
                for row in positions
            ]
            document = {"new_fills": fills, "settled": settled, "positions": positions}
            return document, "\n".join([f"{fills} new fills, {settled} orders settled.", *lines])

        self.for_each(self.accounts(options["accounts"]), act)
