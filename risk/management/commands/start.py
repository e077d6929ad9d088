"""``manage.py start --scope S --reason R``: lift a halt."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from execution_project.common.actors import command
from execution_project.common.clock import rfc3339
from execution_project.common.management_command import Partly, Refused
from execution_project.common.problems import Problem
from risk.kill_episodes import note_cause, standing
from risk.management.scope_command import Scope, ScopeCommand
from risk.trading_state import TO, propose_start, start


class Command(ScopeCommand):
    """A latch is not lifted by one person: this asks for the second one's word and ends with 3."""

    help = (
        "Start a halted scope. A kill is lifted in two stages, each with a second person's word: the proposal is"
        " stored, and the exit code is 3."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The scope, which has to be named, and the reason."""
        self.add_scope_argument(parser)
        self.add_reason_argument(parser)
        parser.add_argument("--cause", help="of a kill: why it happened, on record before it can be lifted")

    def handle(self, *args: Any, **options: Any) -> None:
        """Start, or propose to."""
        scope, reason = self.scope(options), options["reason"]
        if self.dry_run:
            before = self.state_document(scope)
            then = "a second person would be asked to lift its latch" if before["latched"] else "it would be ACTIVE"
            self.answer(before, f"{scope.name} is {before['state']}; {then}.")
            return
        by = command("start")
        self._note_cause(scope, options["cause"])
        try:
            start(scope.kind, scope.key, reason=reason, by=by)
        except Problem as problem:
            if problem.code != "LATCHED":
                raise
        else:
            document = self.state_document(scope)
            self.answer(document, f"{scope.name} is {document['state']}. Orders halted while pending stay dead.")
            return
        self._propose(scope, reason)

    def _note_cause(self, scope: Scope, cause: str | None) -> None:
        if cause is None:
            return
        episode = standing(scope.kind, scope.key)
        if episode is None:
            raise Refused("NOT_LATCHED", f"{scope.name} has no kill whose cause could be put on record.")
        note_cause(episode.id, cause, by=command("start"))

    def _propose(self, scope: Scope, reason: str) -> None:
        approval = propose_start(scope.kind, scope.key, reason=reason, by=command("start"))
        document = {
            **self.state_document(scope),
            "approval": {"id": str(approval.id), "expires_at": rfc3339(approval.expires_at)},
        }
        to = approval.parameters.get(TO, "ACTIVE")
        text = (
            f"{scope.name} is latched. Asked for approval {approval.id} to make it {to},"
            f" which lapses {approval.expires_at:%FT%TZ}."
        )
        self.answer(document, text)
        raise Partly("Nothing is lifted yet: a second person has to approve it, with `approve` or in the admin.")
