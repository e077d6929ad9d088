"""``manage.py kill_switch [--scope S] --reason R``: latch a scope and ask for the end of every order in it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from execution_project.common.actors import command
from orders.canceling import working_orders
from orders.killing import kill
from risk.management.scope_command import ScopeCommand


class Command(ScopeCommand):
    """Asks nothing and waits for nothing: the latch stands when this returns."""

    help = "Kill trading in a scope (default: everything). Lifting it takes a second person."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Scope and reason."""
        self.add_scope_argument(parser, default="global")
        self.add_reason_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Kill."""
        scope = self.scope(options)
        if self.dry_run:
            count = working_orders(scope.kind, scope.key).count()
            document = {**self.state_document(scope), "cancels_requested": count}
            self.answer(document, f"{scope.name} would be latched, the end of {count} orders asked for.")
            return
        killed = kill(scope.kind, scope.key, reason=options["reason"], by=command("kill_switch"))
        document = {**self.state_document(scope), "cancels_requested": killed.cancels_requested}
        self.answer(
            document,
            f"{scope.name} is latched: nothing new goes out. The end of {killed.cancels_requested} orders is asked"
            " for; run this again to ask again. Lifting the latch takes a second person.",
        )
