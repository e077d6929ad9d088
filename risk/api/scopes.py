"""The body of start and stop: a scope and a reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request

from execution_project.common.api.authentication import principal_of
from execution_project.common.clock import rfc3339
from execution_project.common.models import ApiKey
from execution_project.common.problems import Problem
from risk.models import TradingState
from risk.scopes import scope_exists

BOUND_TWICE = (
    "This key is bound to accounts and to strategies, and a scope is the whole of one. Use a key that is bound to one"
    " of them; DELETE /api/exec/orders cancels what lies within both bounds."
)


def _may_act(key: ApiKey, kind: str, name: str) -> bool:
    if key.accounts is None and key.strategies is None:
        return True
    return name in ({"account": key.accounts, "strategy": key.strategies}.get(kind) or [])


def storable(value: Any, longest: int) -> bool:
    """Whether a JSON value is text that the database takes: no NUL, no lone surrogate."""
    if not isinstance(value, str) or len(value) > longest or "\0" in value:
        return False
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in value)


@dataclass(frozen=True, slots=True)
class ScopeRequest:
    """A validated scope with the reason for the act."""

    kind: str
    key: str
    reason: str
    cancel_orders: bool

    @classmethod
    def of(cls, request: Request, *, allow_cancel: bool) -> ScopeRequest:
        """Read ``{"scope": "global"}`` or ``{"scope": {"account": "main"}}``; raises ``ValidationError``, ``Problem``.

        A key that is bound to accounts or strategies may act on each of those that it names, and on nothing wider.
        One that is bound to both reaches a part of each only, and a scope halts the whole of it: it may act on none.
        """
        body: dict[str, Any] = dict(request.data)
        known = {"scope", "reason"} | ({"cancel_orders"} if allow_cancel else set())
        errors: dict[str, str] = dict.fromkeys(set(body) - known, "There is no such field.")
        scope, reason, cancel = body.get("scope"), body.get("reason", ""), body.get("cancel_orders", False)
        if not storable(reason, 256):
            errors["reason"] = "Send a string of at most 256 characters."
        if not isinstance(cancel, bool):
            errors["cancel_orders"] = "Send true or false."
        kind, key = "", ""
        if scope == "global":
            kind = "global"
        elif isinstance(scope, dict) and len(scope) == 1:
            kind, key = next(iter(scope.items()))
        if kind not in {"global", "exchange", "account", "strategy", "symbol"} or not storable(key, 64):
            errors["scope"] = 'Send "global" or one of {"exchange"|"account"|"strategy"|"symbol": "<name>"}.'
        if errors:
            raise serializers.ValidationError(errors)
        bound = principal_of(request).key
        if bound.accounts is not None and bound.strategies is not None:
            raise Problem(403, "SCOPE_NOT_ALLOWED", BOUND_TWICE)
        if not _may_act(bound, kind, key):
            raise Problem(403, "SCOPE_NOT_ALLOWED", "This key may act on its own accounts and strategies only.")
        if kind != "global" and not scope_exists(kind, key):
            raise serializers.ValidationError({"scope": f"There is no {kind} {key!r}."})
        return cls(kind, key, str(reason), bool(cancel))

    def document(self, state: TradingState) -> dict[str, Any]:
        """The state of the scope after the act."""
        return {
            "scope": "global" if self.kind == "global" else {self.kind: self.key},
            "state": state.state,
            "latched": state.latched,
            "reason": state.reason,
            "changed_by": state.changed_by,
            "changed_at": rfc3339(state.changed_at),
        }
