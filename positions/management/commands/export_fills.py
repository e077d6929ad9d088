"""``manage.py export_fills``: every fill of a period, as it stands, with what they sum to."""

from __future__ import annotations

from positions.management.statement_command import StatementCommand


class Command(StatementCommand):
    """Reads; what was exported by whom is recorded."""

    help = "Write the statement of fills: each with its fees, and per account and asset what they moved."
    kind = "fills"
