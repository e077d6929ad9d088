"""``manage.py open_books ACCOUNT``: the cut-over from which the books follow the exchange."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from exchanges.management.account_command import AccountCommand
from execution_project.common.actors import command
from execution_project.common.money import plain
from positions.opening import Watch, open_books, read_opening


class Command(AccountCommand):
    """Records opening entries from the exchange's balances and a trade cursor per instrument, once per account."""

    help = "Open the books of an account: before this, nothing passes the gate for it."
    writes = True
    is_long = True

    def add_arguments(self, parser: CommandParser) -> None:
        """The account's name."""
        parser.add_argument("account")

    def handle(self, *args: Any, **options: Any) -> None:
        """Open and print the opened amounts; ``--dry-run`` asks the exchange and prints them alone."""
        account = self.accounts([options["account"]])[0]
        watch: Watch = lambda instruments: self.progress(instruments, "pairs")  # noqa: E731  a name for the type's sake
        if self.dry_run:
            seen = read_opening(account, watch=watch).amounts
            opened = {asset: plain(amount) for asset, amount in sorted(seen.items())}
        else:
            opened = open_books(account, by=command("open_books"), watch=watch)
        lines = [f"{asset:>8} {amount}" for asset, amount in opened.items()]
        said = f"The books of {account.name} {'would open with this' if self.dry_run else 'are open'}."
        self.answer({"account": account.name, "opened": opened}, "\n".join([*lines, said]))
