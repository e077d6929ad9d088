"""``manage.py set_foreign_orders ACCOUNT adopt|alert|halt``: what an order of another program leads to."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from exchanges.accounts import set_foreign_orders
from exchanges.management.account_command import AccountCommand
from exchanges.models import ForeignOrders
from execution_project.common.actors import command


class Command(AccountCommand):
    """Its trades are booked under every policy."""

    help = "Say what an order of another program on an account leads to: adopt it, raise a break, or halt the account."
    writes = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Account, policy and why."""
        parser.add_argument("account", metavar="ACCOUNT")
        parser.add_argument("policy", choices=ForeignOrders.values)
        parser.add_argument("--reason", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        """One call."""
        account = self.account(options["account"])
        with self.rehearsal():
            by = command("manage.py set_foreign_orders")
            account = set_foreign_orders(account, options["policy"], reason=options["reason"], by=by)
        document = {"account": account.name, "foreign_orders": account.foreign_orders}
        self.answer(document, f"{account.name}: {ForeignOrders(account.foreign_orders).label}.")
