"""Scopes as the admin's links and pages name them: ``?kind=account&key=main``, no kind for everything."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from django.http import HttpRequest

from exchanges.models import Account, Exchange, Instrument
from execution_project.common.models import Strategy
from execution_project.common.problems import Problem
from risk.intent import scope_name
from risk.models import ScopeKind

CHOICES_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Scope:
    """One scope that exists."""

    kind: str
    key: str

    @property
    def name(self) -> str:
        """As events name it: ``global``, ``account:main``."""
        return scope_name(self.kind, self.key)

    @property
    def words(self) -> str:
        """As a sentence names it."""
        return "everything" if self.kind == "global" else f"{self.kind} {self.key}"

    @property
    def query(self) -> str:
        """The query that leads back to it; empty for everything."""
        return "" if self.kind == "global" else "?" + urlencode({"kind": self.kind, "key": self.key})


EVERYTHING = Scope("global", "")


def scope_of(request: HttpRequest) -> Scope:
    """The scope that a request's query names. Raises ``Problem`` (404) for one that does not exist.

    A key without a kind is refused rather than read as everything.
    """
    kind, key = request.GET.get("kind", ""), request.GET.get("key", "")
    if not kind and not key:
        return EVERYTHING
    scope = Scope(kind, key)
    if kind not in ScopeKind.values or len(key) > 64 or "\0" in key or not _exists(scope):
        raise Problem(404, "UNKNOWN_SCOPE", f"There is no {kind or 'scope'} {key!r}.")
    return scope


def _exists(scope: Scope) -> bool:
    if scope.kind == ScopeKind.GLOBAL:
        return not scope.key
    if scope.kind == ScopeKind.EXCHANGE:
        return scope.key in Exchange.values
    if scope.kind == ScopeKind.ACCOUNT:
        return Account.objects.filter(name=scope.key).exists()
    if scope.kind == ScopeKind.STRATEGY:
        return Strategy.objects.filter(name=scope.key).exists()
    return Instrument.objects.filter(symbol=scope.key).exists()


def choices() -> list[Scope]:
    """Scopes to choose from, widest first; symbols are too many and are typed in."""
    accounts = Account.objects.order_by("name").values_list("name", flat=True)[:CHOICES_SHOWN]
    strategies = Strategy.objects.order_by("name").values_list("name", flat=True)[:CHOICES_SHOWN]
    return [
        EVERYTHING,
        *(Scope("exchange", exchange) for exchange in Exchange.values),
        *(Scope("account", name) for name in accounts),
        *(Scope("strategy", name) for name in strategies),
    ]
