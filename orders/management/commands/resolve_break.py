"""``manage.py resolve_break ID --reason R``: end a break by hand."""

from __future__ import annotations

import argparse
from typing import Any
from uuid import UUID

from django.core.management.base import CommandParser

from execution_project.common.actors import command
from execution_project.common.api.approvals import approval_document
from execution_project.common.approvals import consequences
from execution_project.common.management_command import EngineCommand, Partly, reason_text
from orders.api.breaks import break_document
from orders.breaks import resolve


def break_id(text: str) -> UUID:
    """A break's id; raises ``ArgumentTypeError``."""
    try:
        return UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no break's id: `breaks` lists them.") from None


class Command(EngineCommand):
    """A severe one, or one whose end moves the books, is only proposed: a second person approves."""

    help = "Resolve a break with a reason. A severe one takes a second person: it is proposed, the exit code is 3."
    writes = True

    def add_arguments(self, parser: CommandParser) -> None:
        """The break and what explains it."""
        parser.add_argument("break", metavar="ID", type=break_id, help="id of the break")
        parser.add_argument("--reason", required=True, type=reason_text, help="what explains the difference")

    def handle(self, *args: Any, **options: Any) -> None:
        """Resolve, or propose to."""
        with self.rehearsal():
            outcome = resolve(options["break"], options["reason"], command("resolve_break"))
        row, approval = outcome.row, outcome.approval
        name = f"{row.kind} {row.subject} on {row.account.name}"
        if approval is None:
            self.answer(break_document(row), f"{'Would resolve' if self.dry_run else 'Resolved'} {name}.")
            return
        said = f"Would propose the end of {name}" if self.dry_run else f"Asked for approval {approval.id}"
        document = {"approval": {**approval_document(approval), "consequences": consequences(approval)}}
        self.answer(document, "\n  ".join([f"{said}:", *consequences(approval)]))
        if not self.dry_run:
            raise Partly("Nothing has ended yet: a second person has to approve it, with `approve` or in the admin.")
