"""``manage.py give_rate``: list the rates that facts lack, or say what one unit was worth."""

from __future__ import annotations

from argparse import ArgumentTypeError
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from exchanges.management.account_command import AccountCommand
from execution_project.common.actors import command
from execution_project.common.clock import rfc3339
from execution_project.common.management_command import ExitCode, Partly, Refused, reason_text
from execution_project.common.money import NotPlainDecimal, parse_decimal, plain
from positions.rates import check_given, give_rates, missing_rates


def amount(text: str) -> Decimal:
    """A plain decimal; raises ``ArgumentTypeError``."""
    try:
        return parse_decimal(text)
    except NotPlainDecimal as error:
        raise ArgumentTypeError(f"{text!r}: {error}") from error


class Command(AccountCommand):
    """Without an asset lists what lacks a rate; with one gives it to every fact of the account that lacks it."""

    help = "List the rates that facts lack, or say what one unit of an asset was worth."
    writes = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Whose facts, which asset, how much."""
        parser.add_argument("account", nargs="?", metavar="ACCOUNT", help="without an asset: list this account alone")
        parser.add_argument("asset", nargs="?", metavar="ASSET")
        parser.add_argument("price", nargs="?", type=amount, metavar="PRICE", help="reporting currency per unit")
        parser.add_argument("--reason", type=reason_text, help="where the price can be seen")

    def handle(self, *args: Any, **options: Any) -> None:
        """List, or give."""
        name, asset, price, reason = (options[each] for each in ("account", "asset", "price", "reason"))
        if asset is None:
            self._list(name)
            return
        if price is None or reason is None:
            wanted = (
                "Say what one unit was worth, and by --reason where that can be seen: ACCOUNT ASSET PRICE --reason."
            )
            raise Refused("USAGE", wanted, exit_code=ExitCode.USAGE)
        account, by = self.account(name), command("give_rate")
        # What folds anew takes locks that stand in no other transaction: a rehearsal only looks.
        if self.dry_run:
            given = len(check_given(account, asset, price, by=by))
        else:
            given = give_rates(account, asset, price, reason=reason, by=by)
        document = {"account": account.name, "asset": asset, "price": plain(price), "facts": given}
        said = "would be" if self.dry_run else "is"
        worth = f"{plain(price)} {settings.EXEC_REPORTING_CURRENCY}"
        self.answer(document, f"1 {asset} {said} {worth} in {given} facts of {account.name} that lacked it.")

    def _list(self, name: str | None) -> None:
        empty = True
        for account in self.accounts([] if name is None else [name]):
            for row in missing_rates(account):
                empty = False
                document = {
                    "account": account.name,
                    "asset": row.asset,
                    "facts": row.facts,
                    "first_at": rfc3339(row.first_at),
                    "last_at": rfc3339(row.last_at),
                }
                times = f"{rfc3339(row.first_at)} to {rfc3339(row.last_at)}"
                self.answer(document, f"{account.name} {row.asset}: {row.facts} facts, {times}")
        if empty:
            self.answer({"missing": 0}, "No fact lacks a rate.")
            return
        raise Partly("The engine looks for marks by itself for an hour; after that: `give_rate ACCOUNT ASSET PRICE`.")
