"""``manage.py approve ID --reason R``: a second person's word, carried out at once."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from execution_project.common.actors import command
from execution_project.common.api.approvals import approval_document
from execution_project.common.approvals import approval_of, carry_out, decide, decide_and_carry_out
from execution_project.common.management.approval_command import approval_id, proposal_text
from execution_project.common.management_command import EngineCommand, reason_text


class Command(EngineCommand):
    """Whoever asked cannot approve: the second person runs this under their own name on the machine."""

    help = "Approve what another person proposed, and carry it out."
    writes = True

    def add_arguments(self, parser: CommandParser) -> None:
        """The proposal; a reason; again."""
        parser.add_argument("approval", metavar="ID", type=approval_id, help="id of the proposal")
        parser.add_argument("--reason", required=True, type=reason_text, help="why, for the record")
        parser.add_argument(
            "--again", action="store_true", help="carry out what was granted already and failed when it was tried"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Decide and carry out, or carry out again."""
        by = command(f"approve: {options['reason']}")
        approval = approval_of(options["approval"])
        if self.dry_run:
            with self.rehearsal():
                if not options["again"]:
                    decide(approval.id, approved=True, by=by)
            would = "carry out" if options["again"] else "approve"
            self.answer(approval_document(approval), f"Would {would}: {proposal_text(approval)}")
            return
        if options["again"]:
            said = carry_out(approval.id, by=by)
        else:
            said = decide_and_carry_out(approval.id, approved=True, by=by)
        self.answer({**approval_document(approval_of(approval.id)), "said": said}, said)
