"""``manage.py replay_evidence [--account A]``: what today's parsers would read differently in the stored answers."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from orders.evidence import attempts_with_answers, differences

STEP = 500


class Command(BaseCommand):
    """Reads; writes nothing. Exit status 1 when something is read differently."""

    help = "Parse every stored exchange answer again and print what is read differently than it was recorded."

    def add_arguments(self, parser: CommandParser) -> None:
        """An account's name to look at it alone."""
        parser.add_argument("--account", help="only this account")

    def handle(self, *args: Any, **options: Any) -> None:
        """A line per difference, progress on standard error, a summary at the end."""
        attempts = attempts_with_answers(options["account"])
        total, found = attempts.count(), 0
        for number, attempt in enumerate(attempts.iterator(chunk_size=STEP), 1):
            for difference in differences(attempt):
                found += 1
                self.stdout.write(
                    f"{attempt.claimed_at:%Y-%m-%dT%H:%M:%SZ} order {attempt.command.order_id} {attempt.kind}"
                    f" {difference.what}: recorded {difference.recorded or '–'}, now {difference.read_now or '–'}"
                )
            if number % STEP == 0 or number == total:
                self.stderr.write(f"{number}/{total} answers read")
        self.stdout.write(f"{total} answers read, {found} differences.")
        if found:
            sys.exit(1)
