"""``manage.py propose_limit CONTROL VALUE|off --scope S``: ask for a second person's word to loosen a limit."""

from __future__ import annotations

import argparse
from decimal import Decimal
from typing import Any

from django.core.management.base import CommandParser

from execution_project.common.actors import command
from execution_project.common.clock import rfc3339
from execution_project.common.management_command import Partly
from execution_project.common.money import plain_or_none
from risk.controls import LIMITED
from risk.controls.catalogue import CATALOGUE
from risk.limits import Change, newest, propose
from risk.management.limit_command import LimitCommand, amount

OFF = "off"


def amount_or_off(text: str) -> Decimal | None:
    """A plain decimal, not negative, or None for ``off``; raises ``ArgumentTypeError``."""
    if text == OFF:
        return None
    try:
        return amount(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error} Or: {OFF}.") from error


class Command(LimitCommand):
    """Nothing changes until somebody else approves it."""

    help = "Propose a looser limit, or none; a second person approves it. The exit code is 3."
    writes = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Control, value, scope, mode, enforcement, expiry, reason."""
        parser.add_argument("control", choices=LIMITED)
        parser.add_argument("value", type=amount_or_off, help=f"in the limit's unit, or {OFF}")
        self.add_change_options(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Propose."""
        scope = self.scope(options)
        mode, control = self.mode(scope, options), options["control"]
        before = newest(control, mode, scope.kind, scope.key)
        enforcement = options["enforcement"] or (before.enforcement if before else CATALOGUE[control].enforcement)
        change = Change(control, mode, scope.kind, scope.key, options["value"], enforcement, options["expires"])
        with self.rehearsal():
            approval = propose(change, reason=options["reason"], by=command("propose_limit"))
        document = {
            "control": control,
            "mode": mode,
            "value": plain_or_none(change.value),
            "approval": {"id": str(approval.id), "expires_at": rfc3339(approval.expires_at)},
        }
        if self.dry_run:
            self.answer(document, f"A second person would be asked to approve {change.subject}.")
            return
        until = f"{approval.expires_at:%FT%TZ}"
        self.answer(document, f"Asked for approval {approval.id} of {change.subject}, which lapses {until}.")
        raise Partly("Nothing has changed yet: a second person has to approve it, with `approve` or in the admin.")
