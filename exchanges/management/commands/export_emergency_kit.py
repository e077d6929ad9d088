"""``manage.py export_emergency_kit FILE``: all that canceling at the exchanges takes, sealed under a passphrase."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from exchanges.emergency_kit import KitUnusable, export_kit
from exchanges.management.passphrase import add_passphrase_argument, read_passphrase
from exchanges.models import Account, Mode
from execution_project.common.actors import command
from execution_project.common.clock import rfc3339
from execution_project.common.management_command import EngineCommand


class Command(EngineCommand):
    """The file holds keys that trade: keep it and its passphrase apart, and try it (docs/operating.md)."""

    help = "Write the emergency kit: accounts, addresses, pairs and keys, for kill_switch --kit and the watchdog."
    writes = True
    expected = (KitUnusable,)

    def add_arguments(self, parser: CommandParser) -> None:
        """The file and where the passphrase comes from."""
        parser.add_argument("file", type=Path)
        add_passphrase_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Write it."""
        path: Path = options["file"]
        if self.dry_run:
            names = list(Account.objects.exclude(mode=Mode.PAPER).order_by("name").values_list("name", flat=True))
            self.answer({"file": str(path), "accounts": names}, f"{path} would hold {len(names)} accounts.")
            return
        kit = export_kit(path, read_passphrase(options, twice=True), by=command("export_emergency_kit"))
        names = [account.name for account in kit.accounts]
        if kit.left_out:
            missing = ", ".join(kit.left_out)
            self.stderr.write(
                f"NOT IN THE KIT, their keys cannot be read: {missing}. Their orders must be ended by hand."
            )
        document = {
            "file": str(path),
            "accounts": names,
            "left_out": list(kit.left_out),
            "written_at": rfc3339(kit.written_at),
        }
        self.answer(
            document, f"{path} holds {len(names)} accounts: {', '.join(names)}. Try it: watchdog --kit … --once."
        )
