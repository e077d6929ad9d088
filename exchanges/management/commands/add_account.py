"""``manage.py add_account NAME --exchange E --mode M``: credentials at an exchange, or a paper account."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from exchanges.accounts import add_account
from exchanges.default_urls import DEFAULT_URLS, Urls
from exchanges.management.account_command import AccountCommand
from exchanges.management.secret_input import add_secret_arguments, read_secret
from exchanges.models import Exchange, Mode
from execution_project.common.actors import command
from execution_project.common.management_command import Refused


class Command(AccountCommand):
    """Stores the account with sealed credentials; ``sync_instruments``, ``set_limit`` and ``open_books`` come next."""

    help = (
        "Add an account. Key and secret come from environment variables or a prompt, never from the command line"
        " (names that begin with EXEC_ are the engine's own and cannot be used)."
    )
    writes = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Name, exchange, mode; URLs where the exchange's own are not meant."""
        parser.add_argument("name")
        parser.add_argument("--exchange", choices=Exchange.values, required=True)
        parser.add_argument("--mode", choices=Mode.values, required=True, help="never changes afterwards")
        parser.add_argument("--rest-url", help="default: the exchange's own for this mode")
        parser.add_argument("--ws-url", help="of the private stream; default: the exchange's own, if --rest-url is")
        add_secret_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Read the credentials, store the account."""
        exchange, mode = options["exchange"], options["mode"]
        paper = mode == Mode.PAPER
        urls = Urls(options["rest_url"] or "", options["ws_url"] or "") if paper else _urls(options)
        key = "" if paper else read_secret("--key-env", options["key_env"], "API key")
        secret = "" if paper else read_secret("--secret-env", options["secret_env"], "Secret")
        with self.rehearsal():
            account = add_account(
                options["name"],
                exchange=exchange,
                mode=mode,
                rest_url=urls.rest,
                ws_url=urls.ws,
                key=key,
                secret=secret,
                by=command("add_account"),
            )
        document = {
            "account": account.name,
            "exchange": account.exchange,
            "mode": account.mode,
            "rest_url": account.rest_url,
            "ws_url": account.ws_url,
            "api_key_tail": account.api_key_tail,
        }
        where = account.rest_url or "no host"
        said = "Would add" if self.dry_run else "Added"
        self.answer(document, f"{said} {account.mode} account {account.name} at {account.exchange} ({where}).")


def _urls(options: dict[str, Any]) -> Urls:
    """The URLs given, else the exchange's own. A stream of the exchange's own never joins a host of somebody else's."""
    own = DEFAULT_URLS.get((options["exchange"], options["mode"]))
    if options["rest_url"]:
        return Urls(options["rest_url"], options["ws_url"] or "")
    if own is None:
        raise Refused(
            "MISSING_URL",
            f"{options['exchange']} has no {options['mode']} host of its own: give --rest-url, e.g. the simulator's.",
        )
    return Urls(own.rest, options["ws_url"] or own.ws)
