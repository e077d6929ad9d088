"""``manage.py approvals``: proposals that wait for a second person."""

from __future__ import annotations

from typing import Any

from execution_project.common.api.approvals import approval_document
from execution_project.common.approvals import consequences, open_approvals
from execution_project.common.management.approval_command import proposal_text
from execution_project.common.management_command import EngineCommand


class Command(EngineCommand):
    """Reads; writes nothing."""

    help = "List the proposals that wait for a decision, or were granted and not carried out, oldest first."

    def handle(self, *args: Any, **options: Any) -> None:
        """Each proposal with what approving it does, and a count."""
        rows = list(open_approvals())
        for row in rows:
            self.answer({**approval_document(row), "consequences": consequences(row)}, proposal_text(row))
        self.answer({"proposals": len(rows)}, f"{len(rows)} open proposals.")
