"""``manage.py rehearse_limit CONTROL SCOPE VALUE --days N``: which orders a value would have denied."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import CommandParser

from execution_project.common.money import plain
from risk.controls.catalogue import AT_THE_GATE
from risk.management.limit_command import HELP, LimitCommand, amount, limit_scope
from risk.rehearsing import rehearse

SHOWN = 50


def days(text: str) -> int:
    """1 to 3650; raises ``ArgumentTypeError``."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 3650):
        raise argparse.ArgumentTypeError("Give a whole number of days, 1 to 3650.")
    return int(text)


class Command(LimitCommand):
    """Reads stored decisions; writes nothing."""

    help = "Say which accepted orders of the last days a value of a limit would have denied."

    def add_arguments(self, parser: CommandParser) -> None:
        """Control, scope, value, days, mode."""
        parser.add_argument("control", choices=tuple(AT_THE_GATE))
        parser.add_argument("scope", type=limit_scope, help=HELP)
        parser.add_argument("value", type=amount, help="in the limit's unit (docs/risk-controls.md)")
        parser.add_argument("--days", type=days, default=30, help="default 30")
        self.add_mode_option(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Look."""
        scope, control, value = self.scope(options), options["control"], options["value"]
        found = rehearse(control, self.mode(scope, options), scope.kind, scope.key, value, options["days"])
        document = {
            "control": control,
            "value": plain(value),
            "days": options["days"],
            "looked_at": found.looked_at,
            "passed_over": found.passed_over,
            "unknown": found.unknown,
            "would_deny": [
                {"order": str(row.order_id), "decision": str(row.decision_id), "observed": plain(row.observed)}
                for row in found.would_deny
            ],
        }
        lines = [f"  {row.order_id}  {plain(row.observed)}" for row in found.would_deny[:SHOWN]]
        more = len(found.would_deny) - SHOWN
        if more > 0:
            lines.append(f"  … and {more} more (--json lists all)")
        looked = f"Of {found.looked_at} accepted decisions in {options['days']} days"
        told = (
            f"{looked} {control} {plain(value)} of {scope.name}"
            f" would have denied {len(found.would_deny)}; {found.passed_over} are none of its business,"
            f" {found.unknown} did not record what it looks at."
        )
        self.answer(document, "\n".join([told, *lines]))
