"""``manage.py explain_order ID``: everything that is known of one order, on one page."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from orders.explaining import explanation
from orders.management.order_command import ID_HELP, OrderCommand
from orders.management.order_page import order_page


class Command(OrderCommand):
    """Reads; writes nothing."""

    help = "Show an order with its decision, exchange orders, commands, attempts, fills, reservation and events."

    def add_arguments(self, parser: CommandParser) -> None:
        """Any of the order's ids."""
        parser.add_argument("order", metavar="ID", help=ID_HELP)

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the page."""
        document = explanation(self.order(options["order"]))
        self.answer(document, order_page(document))
