"""What commands about limits share: limit, scope, mode, value, and their checks."""

from __future__ import annotations

import argparse
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.core.management.base import CommandParser

from exchanges.models import Account, Mode
from execution_project.common.api.query import time_of
from execution_project.common.management_command import EngineCommand, ExitCode, Refused, reason_text
from execution_project.common.money import NotPlainDecimal, parse_decimal
from execution_project.common.problems import Problem
from risk.limits import limit_scope_exists
from risk.management.scope_command import Scope
from risk.models import Enforcement, LimitScopeKind

HELP = "global, or KIND:NAME with KIND one of exchange, account, strategy, symbol, asset"


def amount(text: str) -> Decimal:
    """A plain decimal, not negative; raises ``ArgumentTypeError``."""
    try:
        value = parse_decimal(text)
    except NotPlainDecimal as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if value < 0:
        raise argparse.ArgumentTypeError("A limit is not negative.")
    return value


def limit_scope(text: str) -> Scope:
    """``global`` or ``asset:BTC``; raises ``ArgumentTypeError``."""
    kind, _, key = text.partition(":")
    if kind not in LimitScopeKind.values or (kind == LimitScopeKind.GLOBAL) != (key == "") or len(key) > 64:
        raise argparse.ArgumentTypeError(f"{text!r} is no scope: {HELP}.")
    return Scope(kind, key)


def account_scope(name: str) -> Scope:
    """The scope of one account; raises ``ArgumentTypeError``."""
    return limit_scope(f"{LimitScopeKind.ACCOUNT.value}:{name}")


def moment(text: str) -> datetime:
    """An RFC 3339 time; raises ``ArgumentTypeError``."""
    try:
        at = time_of({"time": text}, "time")
    except Problem as error:
        raise argparse.ArgumentTypeError("Give an RFC 3339 time such as 2026-01-31T12:00:00Z.") from error
    assert at is not None  # noqa: S101  it was given
    return at


class LimitCommand(EngineCommand):
    """A command about one limit of one scope and mode."""

    def add_scope_option(self, parser: CommandParser) -> None:
        """``--scope``, or ``--account`` for the commonest kind."""
        either = parser.add_mutually_exclusive_group(required=True)
        either.add_argument("--scope", type=limit_scope, help=HELP)
        either.add_argument("--account", type=account_scope, dest="scope", help="short for --scope account:NAME")

    def add_change_options(self, parser: CommandParser) -> None:
        """Scope, mode, enforcement, expiry and reason."""
        self.add_scope_option(parser)
        self.add_mode_option(parser)
        parser.add_argument("--enforcement", choices=Enforcement.values, help="as it is, else the limit's own")
        parser.add_argument("--expires", type=moment, help="RFC 3339; then the version before counts again")
        parser.add_argument("--reason", required=True, type=reason_text, help="why, for the record")

    def add_mode_option(self, parser: CommandParser) -> None:
        """``--mode``."""
        parser.add_argument("--mode", choices=Mode.values, help="of an account's scope: the account's own")

    def scope(self, options: dict[str, Any]) -> Scope:
        """The scope given; raises ``Refused`` when there is no such thing."""
        scope: Scope = options["scope"]
        if not limit_scope_exists(scope.kind, scope.key):
            raise Refused("UNKNOWN_SCOPE", f"There is no {scope.kind} {scope.key!r}.")
        return scope

    def mode(self, scope: Scope, options: dict[str, Any]) -> str:
        """An account's own mode, else the one given; raises ``Refused``."""
        given: str | None = options["mode"]
        if scope.kind == LimitScopeKind.ACCOUNT:
            own = str(Account.objects.values_list("mode", flat=True).get(name=scope.key))
            if given not in {None, own}:
                raise Refused("WRONG_MODE", f"{scope.key} is a {own} account: leave --mode out.")
            return own
        if given is None:
            raise Refused("USAGE", "Give --mode: only an account's scope has one of its own.", exit_code=ExitCode.USAGE)
        return given
