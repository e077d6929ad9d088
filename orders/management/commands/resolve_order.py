"""``manage.py resolve_order ID --outcome O --reason R``: propose how an unknown order ended."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from execution_project.common.actors import command
from execution_project.common.api.approvals import approval_document
from execution_project.common.approvals import consequences
from execution_project.common.management_command import Partly, reason_text
from orders.management.order_command import ID_HELP, OrderCommand
from orders.resolving import Resolution, propose_resolution


class Command(OrderCommand):
    """Nothing ends by it: a second person approves, with ``approve`` or in the admin."""

    help = "Propose how an unknown order ended; a second person approves, and the exit code is 3."
    writes = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Any of the order's ids, its end, and how you know."""
        parser.add_argument("order", metavar="ID", help=ID_HELP)
        parser.add_argument(
            "--outcome",
            required=True,
            choices=[outcome.value for outcome in Resolution],
            help="rejected: the exchange never accepted it; canceled: it did, and it works no more",
        )
        parser.add_argument("--reason", required=True, type=reason_text, help="how you know, for the record")

    def handle(self, *args: Any, **options: Any) -> None:
        """Propose."""
        order = self.order(options["order"])
        with self.rehearsal():
            by = command("resolve_order")
            approval = propose_resolution(order.id, options["outcome"], options["reason"], by)
        document = {"approval": {**approval_document(approval), "consequences": consequences(approval)}}
        said = (
            "Would propose"
            if self.dry_run
            else f"Asked for approval {approval.id}, lapses {approval.expires_at:%FT%TZ}"
        )
        self.answer(document, "\n  ".join([f"{said}:", *consequences(approval)]))
        if not self.dry_run:
            raise Partly("Nothing has ended yet: a second person has to approve it, with `approve` or in the admin.")
