"""``manage.py open_books ACCOUNT``: the cut-over from which the books follow the exchange."""

from __future__ import annotations

from argparse import ArgumentTypeError
from decimal import Decimal
from typing import Any

from django.core.management.base import CommandParser

from exchanges.management.account_command import AccountCommand
from execution_project.common.actors import command
from execution_project.common.money import NotPlainDecimal, parse_decimal, plain
from positions.opening import Watch, check_costs, open_books, read_opening


def cost_of_asset(text: str) -> tuple[str, Decimal]:
    """``ASSET=PRICE``; raises ``ArgumentTypeError``."""
    asset, equals, price = text.partition("=")
    try:
        cost = parse_decimal(price)
    except NotPlainDecimal as error:
        raise ArgumentTypeError(f"{text!r}: give ASSET=PRICE, e.g. BTC=64000.50. {error}") from error
    if not (asset and equals):
        raise ArgumentTypeError(f"{text!r}: give ASSET=PRICE, e.g. BTC=64000.50.")
    return asset.upper(), cost


class Command(AccountCommand):
    """Records opening entries from the exchange's balances and a trade cursor per instrument, once per account."""

    help = "Open the books of an account: before this, nothing passes the gate for it."
    writes = True
    is_long = True

    def add_arguments(self, parser: CommandParser) -> None:
        """The account's name, and what was paid for what it holds."""
        parser.add_argument("account")
        parser.add_argument(
            "--cost",
            action="append",
            default=[],
            type=cost_of_asset,
            metavar="ASSET=PRICE",
            help="what one unit cost, in the reporting currency; without it the mark of now is assumed. Repeatable",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Open and print the opened amounts; ``--dry-run`` asks the exchange and prints them alone."""
        account = self.accounts([options["account"]])[0]
        watch: Watch = lambda instruments: self.progress(instruments, "pairs")  # noqa: E731  a name for the type's sake
        costs = dict(options["cost"])
        if self.dry_run:
            opening = read_opening(account, watch=watch)
            check_costs(opening, costs)
            opened = {asset: plain(amount) for asset, amount in sorted(opening.amounts.items())}
        else:
            opened = open_books(account, by=command("open_books"), costs=costs, watch=watch)
        lines = [f"{asset:>8} {amount}" for asset, amount in opened.items()]
        said = f"The books of {account.name} {'would open with this' if self.dry_run else 'are open'}."
        self.answer({"account": account.name, "opened": opened}, "\n".join([*lines, said]))
