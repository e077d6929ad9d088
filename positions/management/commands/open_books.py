"""``manage.py open_books ACCOUNT``: the cut-over from which the books follow the exchange."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from exchanges.models import Account
from exchanges.reports import ReadFailed
from execution_project.common.actors import command
from execution_project.common.problems import Problem
from positions.opening import open_books


class Command(BaseCommand):
    """Record opening entries from the exchange's balances and a trade cursor per instrument."""

    help = "Open the books of an account: before this, nothing passes the gate for it."

    def add_arguments(self, parser: CommandParser) -> None:
        """The account's name."""
        parser.add_argument("account")

    def handle(self, *args: Any, **options: Any) -> None:
        """Open and print the opened amounts; exit 1 with a sentence when it cannot be."""
        account = Account.objects.filter(name=options["account"]).first()
        if account is None:
            raise CommandError(f"There is no account {options['account']!r}.")
        by = command("open_books")
        try:
            opened = open_books(account, by=by)
        except (Problem, ReadFailed) as error:
            raise CommandError(str(error)) from error
        for asset, amount in opened.items():
            self.stdout.write(f"{asset:>8} {amount}")
        self.stdout.write(f"The books of {account.name} are open.")
