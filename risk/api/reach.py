"""What a key that is bound to accounts or strategies may know of the scopes that states, limits and kills stand on."""

from __future__ import annotations

from django.db.models import Q

from exchanges.models import Account
from execution_project.common.api.authentication import Principal
from risk.controls.catalogue import OF_EQUITY
from risk.models import ScopeKind
from risk.usage import OF_ONE_ORDER

OF_OTHERS = frozenset({*OF_EQUITY, "self_match"})
"""Limits that look beyond their own scope: at the equity of the whole mode, at live orders of every account."""


def scopes_reached(principal: Principal) -> Q:
    """Rows with ``scope_kind`` and ``scope_key`` that concern the key: its own accounts and strategies, the exchanges
    of its accounts, and what concerns everybody (global, symbols, assets)."""
    key, reached = principal.key, Q()
    if key.accounts is not None:
        exchanges = Account.objects.filter(name__in=key.accounts).values("exchange")
        reached &= ~Q(scope_kind=ScopeKind.ACCOUNT) | Q(scope_key__in=key.accounts)
        reached &= ~Q(scope_kind=ScopeKind.EXCHANGE) | Q(scope_key__in=exchanges)
    if key.strategies is not None:
        reached &= ~Q(scope_kind=ScopeKind.STRATEGY) | Q(scope_key__in=key.strategies)
    return reached


def modes_reached(principal: Principal) -> Q:
    """Rows with a ``mode`` that one of the key's accounts has."""
    if principal.key.accounts is None:
        return Q()
    return Q(mode__in=Account.objects.filter(name__in=principal.key.accounts).values("mode"))


def scope_reached(principal: Principal, kind: str, name: str) -> bool:
    """Whether one account or strategy is among the key's; what is neither concerns everybody."""
    key = principal.key
    if kind == ScopeKind.ACCOUNT:
        return key.accounts is None or name in key.accounts
    return kind != ScopeKind.STRATEGY or key.strategies is None or name in key.strategies


def knows_usage(principal: Principal, control: str, scope: str) -> bool:
    """Whether the key may know how much is used of a limit of a scope such as ``account:main``.

    Of limits that look at one order alone everybody may, for it is the key's own order.
    """
    if not principal.is_bound:
        return True
    if control in OF_OTHERS:
        return False
    kind, _, name = scope.partition(":")
    return control in OF_ONE_ORDER or wholly_reached(principal, kind, name)


def wholly_reached(principal: Principal, kind: str, name: str) -> bool:
    """Whether all that lies in a scope is the key's own to know.

    A key that is bound to both accounts and strategies reaches a part of each only, and so the whole of none.
    """
    key = principal.key
    if key.accounts is None and key.strategies is None:
        return True
    if key.accounts is not None and key.strategies is not None:
        return False
    own = key.accounts if kind == ScopeKind.ACCOUNT else key.strategies if kind == ScopeKind.STRATEGY else None
    return own is not None and name in own
