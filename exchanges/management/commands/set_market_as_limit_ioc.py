"""``manage.py set_market_as_limit_ioc ACCOUNT on|off``: how the MARKET orders of an account are sent."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from exchanges.accounts import set_market_as_limit_ioc
from exchanges.management.account_command import AccountCommand
from execution_project.common.actors import command


class Command(AccountCommand):
    """Orders that were accepted before keep what the gate decided for them."""

    help = "Send the MARKET orders of an account as LIMIT IOC, at most 0.5 % behind the best price (Binance only)."
    writes = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Account, on or off, and why."""
        parser.add_argument("account", metavar="ACCOUNT")
        parser.add_argument("state", choices=["on", "off"])
        parser.add_argument("--reason", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        """One call."""
        account = self.account(options["account"])
        with self.rehearsal():
            by = command("manage.py set_market_as_limit_ioc")
            account = set_market_as_limit_ioc(account, options["state"] == "on", reason=options["reason"], by=by)
        document = {"account": account.name, "market_as_limit_ioc": account.market_as_limit_ioc}
        how = "LIMIT IOC" if account.market_as_limit_ioc else "MARKET"
        self.answer(document, f"{account.name}: MARKET orders are sent as {how}.")
