"""``manage.py set_limit CONTROL VALUE --scope S``: set a limit, or a tighter one."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from execution_project.common.actors import command
from execution_project.common.money import plain, plain_or_none
from risk.api.limit_documents import limit_document
from risk.controls import LIMITED
from risk.limits import described, newest, tighten_or_set
from risk.management.limit_command import LimitCommand, amount


class Command(LimitCommand):
    """A looser limit takes a second person and is refused here: ``propose_limit`` asks for it."""

    help = "Set a limit that does not exist yet, or a tighter one."
    writes = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Control, value, scope, mode, enforcement, expiry, reason."""
        parser.add_argument("control", choices=LIMITED)
        parser.add_argument("value", type=amount, help="in the limit's unit (docs/risk-controls.md)")
        self.add_change_options(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Set."""
        scope = self.scope(options)
        mode = self.mode(scope, options)
        before = newest(options["control"], mode, scope.kind, scope.key)
        with self.rehearsal():
            row = tighten_or_set(
                options["control"],
                mode,
                scope.kind,
                scope.key,
                options["value"],
                reason=options["reason"],
                by=command("set_limit"),
                enforcement=options["enforcement"],
                expires_at=options["expires"],
            )
        was = None if before is None else plain_or_none(before.value)
        said = f"{'Would set' if self.dry_run else 'Set'} {row.control} of {scope.name} ({mode})"
        becomes = described(options["value"], row.enforcement, row.expires_at)
        document = {**limit_document(row), "value": plain(options["value"]), "before": was}
        self.answer(document, f"{said} to {becomes}, was {was or 'none'}.")
