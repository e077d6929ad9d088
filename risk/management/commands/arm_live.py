"""``manage.py arm_live ACCOUNT --reason R``: propose that a live account may send orders."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from exchanges.management.account_command import AccountCommand
from execution_project.common.actors import command
from execution_project.common.clock import rfc3339
from execution_project.common.management_command import Partly, Refused, reason_text
from risk.arming import hindrances, propose_arming


class Command(AccountCommand):
    """A second person approves it with ``approve`` or in the admin; until then nothing changes."""

    help = "Propose to arm a live account. It takes a second person: the proposal is stored, and the exit code is 3."
    writes = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Account and reason."""
        parser.add_argument("account", metavar="ACCOUNT")
        parser.add_argument("--reason", type=reason_text, required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        """Propose."""
        account = self.account(options["account"])
        if self.dry_run and account.mode == "live" and (missing := hindrances(account)):
            raise Refused("NOT_READY_TO_ARM", " ".join(missing))
        with self.rehearsal():
            approval = propose_arming(account, reason=options["reason"], by=command("arm_live"))
        proposed = {"id": str(approval.id), "expires_at": rfc3339(approval.expires_at)}
        document = {"account": account.name, "approval": proposed}
        if self.dry_run:
            self.answer(document, f"A second person would be asked to arm {account.name}.")
            return
        self.answer(document, f"Asked for approval {approval.id}, which lapses {approval.expires_at:%FT%TZ}.")
        raise Partly("Nothing is armed yet: a second person has to approve it, with `approve` or in the admin.")
