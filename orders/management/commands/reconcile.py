"""``manage.py reconcile``: compare the books with the exchange now, and put right what facts put right."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils.dateparse import parse_datetime

from exchanges.freshness import PARTS
from exchanges.management.account_command import AccountCommand
from exchanges.models import Account
from execution_project.common import clock
from execution_project.common.actors import command
from execution_project.common.management_command import ExitCode, Partly, Refused
from orders.reconciliation import LONG_OVERLAP, Reconciliation, reconcile

COLUMNS = ("part", "what", "subject", "expected", "observed", "became")


class Command(AccountCommand):
    """Differences as a table; exit 3 when there are any, or when a part had no believable answer."""

    help = "Compare working orders, trades and balances with the exchange (default: of all accounts with open books)."
    writes = True
    is_long = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Account, time and parts."""
        parser.add_argument("--account", action="append", default=[], help="this account; may be given again")
        parser.add_argument("--since", help="read trades from this time on (RFC 3339); default: the last day")
        parser.add_argument("--part", action="append", choices=PARTS, help="only this part; may be given again")

    def handle(self, *args: Any, **options: Any) -> None:
        """Reconcile account by account."""
        since = None if options["since"] is None else parse_datetime(options["since"])
        if options["since"] is not None and (since is None or since.tzinfo is None):
            sentence = "--since takes a time with its zone, such as 2026-01-31T12:00:00Z."
            raise Refused("USAGE", sentence, exit_code=ExitCode.USAGE)
        since = since or clock.now() - LONG_OVERLAP
        accounts = self.accounts(options["account"])
        if not options["account"]:
            accounts = [account for account in accounts if account.books_opened_at is not None]
        found = 0

        def act(account: Account) -> tuple[dict[str, Any], str]:
            nonlocal found
            outcome = reconcile(
                account,
                parts=options["part"] or PARTS,
                since=since,
                by=command("manage.py reconcile"),
                dry_run=self.dry_run,
            )
            found += len(outcome.differences) + (not outcome.succeeded)
            return outcome.as_json(), _text(outcome)

        self.for_each(accounts, act)
        if found:
            raise Partly("Something differs, or could not be compared; see above.")


def _text(outcome: Reconciliation) -> str:
    compared = [part for part in outcome.parts if part not in outcome.failed]
    lines = [f"compared {', '.join(compared) or 'nothing'}; {outcome.new_fills} new fills."]
    lines += [f"  {part}: not compared, {why}" for part, why in outcome.failed.items()]
    lines += [f"  {part}: not finished yet, run it again" for part in sorted(outcome.unfinished)]
    rows = [COLUMNS, *(tuple(difference.as_json().values()) for difference in outcome.differences)]
    if len(rows) > 1:
        widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
        lines += ["  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)
