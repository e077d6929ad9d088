"""``manage.py cancel_all [--account A] [--symbol S] [--strategy T] [--exchange E]``: ask for many orders' end."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from execution_project.common.actors import command
from execution_project.common.management_command import EngineCommand, Refused, reason_text
from orders.canceling import cancel_all, working_orders
from risk.scopes import scope_exists

FILTERS = ("exchange", "account", "strategy", "symbol")


class Command(EngineCommand):
    """Trading goes on: to halt it as well, use ``halt --cancel-orders`` or ``kill_switch``."""

    help = "Ask for the end of every order that matches all filters; without filters, of every order."
    writes = True
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Filters, which add up, and a reason."""
        for kind in FILTERS:
            parser.add_argument(f"--{kind}", help=f"only orders of this {kind}")
        parser.add_argument("--reason", type=reason_text, default="cancel all", help="why, for the record")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask, one short transaction each."""
        orders = working_orders("global", "")
        for kind in FILTERS:
            wanted = options[kind]
            if wanted is None:
                continue
            if not scope_exists(kind, wanted):
                raise Refused(f"UNKNOWN_{kind.upper()}", f"There is no {kind} {wanted!r}.")
            orders &= working_orders(kind, wanted)
        if self.dry_run:
            asked = list(orders.order_by("id").values_list("id", flat=True))
        else:
            asked = cancel_all(orders, by=command("cancel_all"), reason=options["reason"])
        said = "would be asked for" if self.dry_run else "is asked for"
        self.answer(
            {"cancels_requested": len(asked), "orders": [str(order_id) for order_id in asked]},
            f"The end of {len(asked)} orders {said}; each ends when its exchange says so.",
        )
