"""What commands about scopes share: ``--scope`` and its check."""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

from django.core.management.base import CommandParser

from execution_project.common.clock import rfc3339
from execution_project.common.management_command import EngineCommand, Refused, reason_text
from risk.intent import scope_name
from risk.models import ScopeKind, State, TradingState
from risk.scopes import scope_exists

HELP = "global, or KIND:NAME with KIND one of exchange, account, strategy, symbol"


class Scope(NamedTuple):
    """Kind and name; the global scope has no name."""

    kind: str
    key: str

    @property
    def name(self) -> str:
        """As it was given."""
        return scope_name(self.kind, self.key)


def parse_scope(text: str) -> Scope:
    """``global`` or ``account:main``; raises ``ArgumentTypeError``."""
    kind, _, key = text.partition(":")
    if kind not in ScopeKind.values or (kind == ScopeKind.GLOBAL) != (key == "") or len(key) > 64:
        raise argparse.ArgumentTypeError(f"{text!r} is no scope: {HELP}.")
    return Scope(kind, key)


def account_scope(name: str) -> Scope:
    """The scope of one account; raises ``ArgumentTypeError``."""
    return parse_scope(f"{ScopeKind.ACCOUNT.value}:{name}")


class ScopeCommand(EngineCommand):
    """A command that acts on one scope."""

    writes = True

    def add_scope_argument(self, parser: CommandParser, *, default: str | None = None) -> None:
        """``--scope``, required unless there is a default; ``--account`` for the commonest kind."""
        scope = None if default is None else parse_scope(default)
        shown = HELP if default is None else f"{HELP} (default {default})"
        either = parser.add_mutually_exclusive_group(required=default is None)
        either.add_argument("--scope", type=parse_scope, default=scope, help=shown)
        either.add_argument(
            "--account", type=account_scope, dest="scope", default=scope, help="short for --scope account:NAME"
        )

    def add_reason_argument(self, parser: CommandParser) -> None:
        """``--reason``."""
        parser.add_argument("--reason", required=True, type=reason_text, help="why, for the record")

    def scope(self, options: dict[str, Any]) -> Scope:
        """The scope given; raises ``Refused`` when there is no such exchange, account, strategy or symbol."""
        scope: Scope = options["scope"]
        if not scope_exists(scope.kind, scope.key):
            raise Refused("UNKNOWN_SCOPE", f"There is no {scope.kind} {scope.key!r}.")
        return scope

    def state_document(self, scope: Scope) -> dict[str, Any]:
        """The stored trading state of the scope; one without a row is ACTIVE."""
        row = TradingState.objects.filter(scope_kind=scope.kind, scope_key=scope.key).first()
        return {
            "scope": "global" if scope.kind == ScopeKind.GLOBAL else {scope.kind: scope.key},
            "state": State.ACTIVE.value if row is None else row.state,
            "latched": row is not None and row.latched,
            "reason": "" if row is None else row.reason,
            "changed_by": None if row is None else row.changed_by,
            "changed_at": None if row is None else rfc3339(row.changed_at),
        }
