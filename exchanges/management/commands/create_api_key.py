"""``manage.py create_api_key NAME --scope trade …``: a client's key, shown once."""

from __future__ import annotations

import argparse
from datetime import datetime
from typing import Any, ClassVar

from django.core.management.base import CommandParser

from exchanges.management.account_command import AccountCommand
from execution_project.common.actors import command
from execution_project.common.api_keys import SCOPES, create_api_key
from execution_project.common.clock import rfc3339
from execution_project.common.management_command import Refused
from execution_project.common.models import Strategy


def moment(text: str) -> datetime:
    """A time with its offset, RFC 3339; raises ``ArgumentTypeError``."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time like 2027-01-31T00:00:00Z.")
    return parsed


def rate(text: str) -> int:
    """Requests per second, 1 to 10000; raises ``ArgumentTypeError``."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 10_000):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 10000.")
    return int(text)


class Command(AccountCommand):
    """Prints the key once; only its hash is stored."""

    help = "Create an API key and print it. It cannot be shown again."
    writes = True
    expected: ClassVar[tuple[type[Exception], ...]] = (*AccountCommand.expected, ValueError)

    def add_arguments(self, parser: CommandParser) -> None:
        """What the key may do, where, from where and until when. Options that may be repeated add up."""
        parser.add_argument("name")
        parser.add_argument("--scope", choices=SCOPES, action="append", required=True, help="may be repeated")
        parser.add_argument("--account", action="append", help="only this account (repeatable); default: all")
        parser.add_argument("--strategy", action="append", help="only this strategy (repeatable); default: all")
        parser.add_argument("--network", action="append", help="only from this address or CIDR network (repeatable)")
        parser.add_argument("--rate", type=rate, default=50, help="requests per second (default 50)")
        parser.add_argument("--expires", type=moment, help="RFC 3339, e.g. 2027-01-31T00:00:00Z; default: never")
        parser.add_argument("--owner", default="", help="whose key it is, for the record")

    def handle(self, *args: Any, **options: Any) -> None:
        """Create and print."""
        for name in options["account"] or ():
            self.account(name)
        for name in options["strategy"] or ():
            if not Strategy.objects.filter(name=name).exists():
                raise Refused("UNKNOWN_STRATEGY", f"There is no strategy {name!r}: register it with add_strategy.")
        with self.rehearsal():
            key, text = create_api_key(
                options["name"],
                list(dict.fromkeys(options["scope"])),
                by=command("create_api_key"),
                accounts=options["account"],
                strategies=options["strategy"],
                networks=options["network"],
                requests_per_second=options["rate"],
                owner=options["owner"],
                expires_at=options["expires"],
            )
        document = {
            "id": None if self.dry_run else key.id,
            "name": key.name,
            "scopes": key.scopes,
            "accounts": key.accounts,
            "strategies": key.strategies,
            "networks": key.networks,
            "requests_per_second": key.requests_per_second,
            "owner": key.owner,
            "expires_at": None if key.expires_at is None else rfc3339(key.expires_at),
            "api_key": None if self.dry_run else text,
        }
        said = f"Would create the key {key.name} with {', '.join(key.scopes)}." if self.dry_run else text
        self.answer(document, said)
        if not self.dry_run:
            self.stderr.write("Keep this key now: it cannot be shown again.")
