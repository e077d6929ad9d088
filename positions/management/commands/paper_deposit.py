"""``manage.py paper_deposit ACCOUNT ASSET AMOUNT``: paper money comes in, or goes out."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from exchanges.management.account_command import AccountCommand
from exchanges.models import PaperBalance
from exchanges.paper.flows import move_in
from execution_project.common.actors import command
from execution_project.common.management_command import Refused
from execution_project.common.money import NotPlainDecimal, parse_decimal, plain
from positions.paper_deposits import deposit


class Command(AccountCommand):
    """A flow at the paper exchange and in the ledger."""

    help = "Bring an amount to a paper account, or take one out (--out). Before open_books it is part of the opening."
    writes = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Account, asset, amount."""
        parser.add_argument("account", metavar="ACCOUNT")
        parser.add_argument("asset", metavar="ASSET")
        parser.add_argument("amount", metavar="AMOUNT")
        parser.add_argument("--out", action="store_true", help="take it out instead")
        parser.add_argument("--reason", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        """One call."""
        account = self.account(options["account"])
        try:
            amount = parse_decimal(options["amount"])
        except NotPlainDecimal as error:
            raise Refused("NOT_PLAIN_DECIMAL", f"amount: {error}") from error
        if amount <= 0:
            raise Refused("INVALID_PARAMETER", "amount: more than zero; with --out it is taken out.")
        signed = -amount if options["out"] else amount
        # A rehearsal is a transaction around it all, and what books takes locks that stand in none.
        act = move_in if self.dry_run else deposit
        with self.rehearsal():
            act(account, options["asset"], signed, reason=options["reason"], by=command("paper_deposit"))
            row = PaperBalance.objects.get(account=account, asset=options["asset"])
        document = {"account": account.name, "asset": row.asset, "amount": plain(signed), "free": plain(row.free)}
        said = "would have" if self.dry_run else "has"
        self.answer(document, f"{account.name} {said} {plain(row.free)} {row.asset} free.")
