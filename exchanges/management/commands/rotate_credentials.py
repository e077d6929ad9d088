"""``manage.py rotate_credentials ACCOUNT``: another key of the same account; ``--reseal``: another encryption key."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from exchanges.accounts import replace_credentials
from exchanges.credentials import is_sealed_under_first_key
from exchanges.management.account_command import AccountCommand
from exchanges.management.secret_input import add_secret_arguments, read_secret
from exchanges.models import Account, Mode
from exchanges.resealing import reseal
from execution_project.common.actors import command
from execution_project.common.management_command import ExitCode, Refused


class Command(AccountCommand):
    """The running engine takes the new key with its next request; nothing has to be restarted."""

    help = (
        "Replace an account's exchange credentials (from environment variables or a prompt), or with --reseal encrypt"
        " all stored credentials again under the first key of EXEC_ENCRYPTION_KEYS."
    )
    writes = True
    is_long = True

    def add_arguments(self, parser: CommandParser) -> None:
        """An account with its new credentials, or ``--reseal``."""
        parser.add_argument("account", nargs="?")
        parser.add_argument("--reseal", action="store_true", help="encrypt again; with an account, only its own")
        add_secret_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Replace or reseal."""
        if options["reseal"]:
            self._reseal([] if options["account"] is None else [options["account"]])
            return
        if options["account"] is None:
            raise Refused("USAGE", "Name an account, or give --reseal.", exit_code=ExitCode.USAGE)
        account = self.account(options["account"])
        before = account.api_key_tail
        key = read_secret("--key-env", options["key_env"], "New API key")
        secret = read_secret("--secret-env", options["secret_env"], "New secret")
        with self.rehearsal():
            changed = replace_credentials(account, key, secret, by=command("rotate_credentials"))
        document = {"account": account.name, "api_key_tail_before": before, "api_key_tail": changed.api_key_tail}
        said = "Would replace" if self.dry_run else "Replaced"
        text = f"{said} the credentials of {account.name}: key …{before} by …{changed.api_key_tail}."
        self.answer(document, text if self.dry_run else f"{text} Now run check_exchange {account.name}.")

    def _reseal(self, names: list[str]) -> None:
        by = command("rotate_credentials --reseal")

        def act(account: Account) -> tuple[dict[str, Any], str]:
            if is_sealed_under_first_key(account):
                return {"resealed": False}, "sealed under the first key already."
            with self.rehearsal():
                resealed = reseal(account, by=by)
            said = "would be sealed again." if self.dry_run else "sealed again."
            return {"resealed": resealed}, said if resealed else "replaced meanwhile."

        found = self.accounts(names)
        self.for_each([account for account in found if names or account.mode != Mode.PAPER], act)
