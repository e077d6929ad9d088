"""``manage.py replay_evidence [--account A]``: what today's parsers would read differently in the stored answers."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from exchanges.management.account_command import AccountCommand
from execution_project.common.clock import rfc3339
from execution_project.common.management_command import Partly
from orders.evidence import attempts_with_answers, differences
from orders.models import Attempt

STEP = 500


class Command(AccountCommand):
    """Reads; writes nothing. Exit code 3 when something is read differently."""

    help = "Parse every stored exchange answer again and print what is read differently than it was recorded."
    is_long = True

    def add_arguments(self, parser: CommandParser) -> None:
        """An account's name to look at it alone."""
        parser.add_argument("--account", help="only this account")

    def handle(self, *args: Any, **options: Any) -> None:
        """A line per difference, and a summary at the end."""
        name = options["account"]
        attempts = attempts_with_answers(None if name is None else self.account(name).name)
        ids = list(attempts.values_list("id", flat=True))
        batches = [ids[start : start + STEP] for start in range(0, len(ids), STEP)]
        found = 0
        for batch in self.progress(batches, f"batches of {STEP} answers"):
            for attempt in attempts.filter(id__in=batch):
                found += self._tell(attempt)
        self.answer({"answers": len(ids), "differences": found}, f"{len(ids)} answers read, {found} differences.")
        if found:
            raise Partly("What is read differently stands above: look into it before the parser is trusted.")

    def _tell(self, attempt: Attempt) -> int:
        """Answer for each difference of one attempt; returns how many."""
        found = list(differences(attempt))
        for difference in found:
            document = {
                "claimed_at": rfc3339(attempt.claimed_at),
                "order": str(attempt.command.order_id),
                "kind": attempt.kind,
                "what": difference.what,
                "recorded": difference.recorded,
                "read_now": difference.read_now,
            }
            self.answer(
                document,
                f"{attempt.claimed_at:%Y-%m-%dT%H:%M:%SZ} order {attempt.command.order_id} {attempt.kind}"
                f" {difference.what}: recorded {difference.recorded or '–'}, now {difference.read_now or '–'}",
            )
        return len(found)
