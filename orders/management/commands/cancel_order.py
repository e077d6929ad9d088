"""``manage.py cancel_order ID``: ask for an order's end."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from execution_project.common.actors import command
from execution_project.common.management_command import reason_text
from orders.api.documents import order_document
from orders.canceling import request_cancel
from orders.lifecycle import ENDED
from orders.management.order_command import ID_HELP, OrderCommand
from orders.management.order_page import request_line, state_line


class Command(OrderCommand):
    """Stores the wish; the running engine carries it out, and the order ends when the exchange says so."""

    help = "Ask for the end of an order. Asking again, or after the end, changes nothing."
    writes = True
    # A stop does not wait for somebody to mend the settings.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Any of the order's ids; a reason."""
        parser.add_argument("order", metavar="ID", help=ID_HELP)
        parser.add_argument("--reason", type=reason_text, default="cancel order", help="why, for the record")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask, and say where the order stands."""
        order = self.order(options["order"])
        before = order.status in ENDED
        if not self.dry_run and not before:
            request_cancel(order.id, by=command("cancel_order"), reason=options["reason"])
            order = self.order(str(order.id))
        document = order_document(order)
        if before:
            said = "It has ended before"
        elif self.dry_run:
            said = "Its end would be asked for"
        else:
            said = "It has ended" if order.status in ENDED else "Its end is asked for"
        self.answer(document, f"{said}: {request_line(document)}, {state_line(document)}.")
