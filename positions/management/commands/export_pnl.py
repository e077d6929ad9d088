"""``manage.py export_pnl``: every realised profit of a period, by average cost or first in, first out."""

from __future__ import annotations

from django.core.management.base import CommandParser

from positions.management.statement_command import StatementCommand
from positions.statements import METHODS


class Command(StatementCommand):
    """Reads; what was exported by whom is recorded."""

    help = "Write the statement of realised profits: each disposal, what is left with its cost, and the totals."
    kind = "pnl"

    def add_arguments(self, parser: CommandParser) -> None:
        """And the method."""
        super().add_arguments(parser)
        parser.add_argument("--method", choices=[*METHODS], default="average", help="default: average")
