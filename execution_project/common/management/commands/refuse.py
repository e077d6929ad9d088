"""``manage.py refuse ID --reason R``: a second person's no; nothing happens."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from execution_project.common.actors import command
from execution_project.common.api.approvals import approval_document
from execution_project.common.approvals import approval_of, decide_and_carry_out
from execution_project.common.management.approval_command import approval_id, proposal_text
from execution_project.common.management_command import EngineCommand, reason_text


class Command(EngineCommand):
    """Whoever asked cannot refuse either: their proposal lapses by itself."""

    help = "Refuse what another person proposed."
    writes = True

    def add_arguments(self, parser: CommandParser) -> None:
        """The proposal and a reason."""
        parser.add_argument("approval", metavar="ID", type=approval_id, help="id of the proposal")
        parser.add_argument("--reason", type=reason_text, default="refused", help="why, for the record")

    def handle(self, *args: Any, **options: Any) -> None:
        """Decide."""
        approval = approval_of(options["approval"])
        with self.rehearsal():
            decide_and_carry_out(approval.id, approved=False, by=command(f"refuse: {options['reason']}"))
        if self.dry_run:
            self.answer(approval_document(approval), f"Would refuse: {proposal_text(approval)}")
            return
        self.answer(approval_document(approval_of(approval.id)), f"Refused {approval.act} {approval.subject}.")
