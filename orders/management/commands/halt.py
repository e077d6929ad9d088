"""``manage.py halt [--scope S] --reason R``: nothing new goes out for a scope."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from execution_project.common.actors import command
from orders.canceling import cancel_scope, working_orders
from risk.management.scope_command import ScopeCommand
from risk.trading_state import halt


class Command(ScopeCommand):
    """One person may lift it again with ``start``."""

    help = "Halt a scope (default: everything); with --cancel-orders also ask for the end of every order in it."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Scope, reason, and whether to cancel."""
        self.add_scope_argument(parser, default="global")
        self.add_reason_argument(parser)
        parser.add_argument("--cancel-orders", action="store_true", help="ask for the end of every order in the scope")

    def handle(self, *args: Any, **options: Any) -> None:
        """Halt first; the cancels come after the halt stands."""
        scope, reason, cancels = self.scope(options), options["reason"], options["cancel_orders"]
        if self.dry_run:
            count = working_orders(scope.kind, scope.key).count()
            then = f"the end of {count} orders asked for" if cancels else f"{count} orders left working"
            document = {**self.state_document(scope), "cancels_requested": count if cancels else None}
            self.answer(document, f"{scope.name} would be halted, {then}.")
            return
        by = command("halt")
        halt(scope.kind, scope.key, reason=reason, by=by)
        asked = cancel_scope(scope.kind, scope.key, by=by, reason=reason) if cancels else None
        said = "" if asked is None else f" The end of {asked} orders is asked for."
        document = {**self.state_document(scope), "cancels_requested": asked}
        self.answer(document, f"{scope.name} is halted: nothing new goes out.{said}")
