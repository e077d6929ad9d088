"""``manage.py positions``: positions as a table, or totals over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser
from django.db.models import Q

from exchanges.management.account_command import AccountCommand
from exchanges.models import Account
from positions.aggregates import GROUPINGS, total_positions
from positions.api.documents import position_document, totals_document
from positions.as_of import accounts_with_books, positions_at
from positions.management.statement_command import moment
from positions.models import Position
from positions.shown import ShownPosition, show_positions

COLUMNS = (
    *("account", "symbol", "strategy", "net_quantity", "average_price", "realised_pnl", "unrealised_pnl"),
    *("pnl_after_fees", "quote_asset", "confidence", "missing"),
)
SUMMED = (
    *("group", "mode", "realised_pnl", "unrealised_pnl", "fees", "pnl_before_fees", "pnl_after_fees", "currency"),
    "missing",
)


class Command(AccountCommand):
    """Reads; writes nothing."""

    help = "Positions with their profit and loss, as GET /api/exec/positions shows them."

    def add_arguments(self, parser: CommandParser) -> None:
        """Which, and how they are put together."""
        parser.add_argument("--account", action="append", default=[], help="of this account; may be given again")
        parser.add_argument("--aggregate", choices=[*GROUPINGS], help="totals in the reporting currency instead")
        parser.add_argument("--as-of", type=moment, metavar="T", help="by the trades up to this time (RFC 3339)")
        parser.add_argument("--all", action="store_true", help="flat ones too")

    def handle(self, *args: Any, **options: Any) -> None:
        """A line for each."""
        shown = self._shown(options["account"], options["as_of"])
        if options["aggregate"] is not None:
            totals = total_positions(shown, options["aggregate"], as_of=options["as_of"])
            self._table(SUMMED, [totals_document(row) for row in totals])
            return
        rows = [position_document(one) for one in shown if options["all"] or one.row.net_quantity]
        self._table(COLUMNS, rows)

    def _shown(self, names: Sequence[str], as_of: datetime | None) -> list[ShownPosition]:
        accounts = Account.objects.filter(pk__in=[account.pk for account in self.accounts(names)])
        wanted = Q(account__in=accounts) if as_of is None else Q(account__in=accounts_with_books(accounts, as_of))
        found = Position.objects.filter(wanted).select_related("account", "instrument", "strategy")
        rows = list(found.order_by("account__name", "instrument__symbol", "strategy__name"))
        return show_positions(rows if as_of is None else positions_at(rows, as_of), as_of=as_of)

    def _table(self, columns: Sequence[str], documents: Sequence[Mapping[str, Any]]) -> None:
        cells = [columns, *([_cell(document[name]) for name in columns] for document in documents)]
        widths = [max(len(row[place]) for row in cells) for place in range(len(columns))]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        for number, document in enumerate(documents, 1):
            self.answer(document, lines[number] if number > 1 else f"{lines[0]}\n{lines[1]}")
        if not documents:
            self.answer({"positions": 0}, "No positions.")


def _cell(value: Any) -> str:
    """A group by its values, a list by its words."""
    if isinstance(value, Mapping):
        return " ".join(str(part or "–") for part in value.values()) or "all"
    if isinstance(value, list):
        return ", ".join(value) or "–"
    return str(value if value is not None else "–")
