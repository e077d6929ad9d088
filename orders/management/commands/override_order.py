"""``manage.py override_order ID CONTROL…``: propose to place a denied order past the limits that denied it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from execution_project.common.actors import command
from execution_project.common.api.approvals import approval_document
from execution_project.common.approvals import consequences
from execution_project.common.management_command import Partly, reason_text
from orders.management.order_command import ID_HELP, OrderCommand
from orders.overriding import propose_override


class Command(OrderCommand):
    """Nothing is placed by it: a second person approves, with ``approve`` or in the admin."""

    help = "Propose to place a denied order past the limits that denied it; a second person approves. Exit code 3."
    writes = True

    def add_arguments(self, parser: CommandParser) -> None:
        """The denied order, the limits by name, and why."""
        parser.add_argument("order", metavar="ID", help=ID_HELP)
        parser.add_argument("controls", metavar="CONTROL", nargs="+", help="all limits that denied it, by name")
        parser.add_argument("--reason", required=True, type=reason_text, help="at least 20 characters, for the record")

    def handle(self, *args: Any, **options: Any) -> None:
        """Propose."""
        order = self.order(options["order"])
        with self.rehearsal():
            by = command("override_order")
            approval = propose_override(order.id, options["controls"], reason=options["reason"], by=by)
        document = {"approval": {**approval_document(approval), "consequences": consequences(approval)}}
        said = (
            "Would propose"
            if self.dry_run
            else f"Asked for approval {approval.id}, lapses {approval.expires_at:%FT%TZ}"
        )
        self.answer(document, "\n  ".join([f"{said}:", *consequences(approval)]))
        if not self.dry_run:
            raise Partly("Nothing was placed yet: a second person has to approve it, with `approve` or in the admin.")
