"""``manage.py set_limit CONTROL VALUE --scope S``: set a limit, or a tighter one."""

from __future__ import annotations

import argparse
from decimal import Decimal
from typing import Any

from django.core.management.base import CommandParser

from exchanges.models import Account, Mode
from execution_project.common.actors import command
from execution_project.common.management_command import ExitCode, Refused
from execution_project.common.money import NotPlainDecimal, parse_decimal, plain, plain_or_none
from risk.controls import LIMITED
from risk.limits import newest, tighten_or_set
from risk.management.scope_command import Scope, ScopeCommand
from risk.models import ScopeKind


def amount(text: str) -> Decimal:
    """A plain decimal, not negative; raises ``ArgumentTypeError``."""
    try:
        value = parse_decimal(text)
    except NotPlainDecimal as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if value < 0:
        raise argparse.ArgumentTypeError("A limit is not negative.")
    return value


class Command(ScopeCommand):
    """A looser limit takes a second person and is refused here."""

    help = "Set a limit that does not exist yet, or a tighter one."

    def add_arguments(self, parser: CommandParser) -> None:
        """Control, value, scope, mode, reason."""
        parser.add_argument("control", choices=LIMITED)
        parser.add_argument("value", type=amount, help="in the control's unit (docs/risk-controls.md)")
        self.add_scope_argument(parser)
        parser.add_argument("--mode", choices=Mode.values, help="of an account's scope: the account's own")
        self.add_reason_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Set."""
        scope = self.scope(options)
        mode = _mode(scope, options["mode"])
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
            )
        was = None if before is None else plain_or_none(before.value)
        document = {
            "control": row.control,
            "mode": row.mode,
            "scope": "global" if scope.kind == ScopeKind.GLOBAL else {scope.kind: scope.key},
            "version": row.version,
            "value": plain(options["value"]),
            "before": was,
        }
        said = f"{'Would set' if self.dry_run else 'Set'} {row.control} of {scope.name} ({mode})"
        self.answer(document, f"{said} to {plain(options['value'])}, was {was or 'none'}.")


def _mode(scope: Scope, given: str | None) -> str:
    if scope.kind == ScopeKind.ACCOUNT:
        own = str(Account.objects.values_list("mode", flat=True).get(name=scope.key))
        if given not in {None, own}:
            raise Refused("WRONG_MODE", f"{scope.key} is a {own} account: leave --mode out.")
        return own
    if given is None:
        raise Refused("USAGE", "Give --mode: only an account's scope has one of its own.", exit_code=ExitCode.USAGE)
    return given
