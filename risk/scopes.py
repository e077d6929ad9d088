"""What a scope may name: an exchange, account, strategy or symbol that there is."""

from __future__ import annotations

from exchanges.models import Account, Exchange, Instrument
from execution_project.common.models import Strategy
from risk.models import ScopeKind


def scope_exists(kind: str, key: str) -> bool:
    """Whether there is anything of this kind and name; the global scope has no name."""
    if kind == ScopeKind.GLOBAL:
        return key == ""
    if kind == ScopeKind.EXCHANGE:
        return key in Exchange.values
    if kind == ScopeKind.ACCOUNT:
        return Account.objects.filter(name=key).exists()
    if kind == ScopeKind.STRATEGY:
        return Strategy.objects.filter(name=key).exists()
    return kind == ScopeKind.SYMBOL and Instrument.objects.filter(symbol=key).exists()
