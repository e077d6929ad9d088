"""``manage.py breaks``: differences between our books and the exchanges' as a table."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from exchanges.management.account_command import AccountCommand
from execution_project.common.management_command import Partly
from orders.api.breaks import STATUSES, break_document
from orders.breaks import LISTED, listed_breaks

COLUMNS = (
    *("id", "opened_at", "age", "account", "kind", "severity"),
    *("status", "subject", "expected", "observed", "owner"),
)
NEWEST = 1000


class Command(AccountCommand):
    """Reads; writes nothing."""

    help = "List breaks, newest first (default: those that are open); exit code 3 when there are any that are open."

    def add_arguments(self, parser: CommandParser) -> None:
        """Account and status."""
        parser.add_argument("--account", action="append", default=[], help="of this account; may be given again")
        parser.add_argument("--status", action="append", choices=STATUSES, help="of this status; may be given again")

    def handle(self, *args: Any, **options: Any) -> None:
        """A line for each, and a count."""
        accounts = self.accounts(options["account"]) if options["account"] else None
        rows = listed_breaks(None if accounts is None else [account.name for account in accounts])
        rows = list(rows.filter(status__in=options["status"] or LISTED)[:NEWEST])
        documents = [break_document(row) for row in rows]
        cells = [COLUMNS, *(tuple(str(document[name] or "–") for name in COLUMNS) for document in documents)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(COLUMNS))]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        for number, document in enumerate(documents, 1):
            self.answer(document, lines[number] if number > 1 else f"{lines[0]}\n{lines[1]}")
        open_now = sum(row.status in LISTED for row in rows)
        self.answer({"breaks": len(rows), "open": open_now}, f"{len(rows)} breaks, {open_now} of them open.")
        if open_now:
            raise Partly("Open breaks need an end: see docs/operating.md, a break is open.")
