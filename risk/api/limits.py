"""Limits, their usage, and decisions at the API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from exchanges.models import Mode
from execution_project.common import clock
from execution_project.common.api.approvals import approval_document
from execution_project.common.api.authentication import actor_of, principal_of
from execution_project.common.api.paging import page
from execution_project.common.api.query import PAGING, choice_of, flag_of, read_query, time_of, uuid_of
from execution_project.common.money import NotPlainDecimal, parse_decimal
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from risk.api import schema
from risk.api.decision_documents import listed_decision
from risk.api.documents import state_document
from risk.api.kill_documents import standing_kill_document
from risk.api.limit_documents import limit_document, pause_document, unset_document, usage_document
from risk.api.reach import knows_usage, modes_reached, scope_reached, scopes_reached
from risk.api.scopes import storable
from risk.controls.catalogue import CATALOGUE
from risk.intent import scope_name
from risk.limits import (
    Change,
    in_force,
    limit_scope_exists,
    mandatory_not_set,
    mode_of_scope,
    newest,
    propose,
    tighten_or_set,
)
from risk.models import Decision, DecisionKind, Enforcement, KillEpisode, LimitScopeKind, ScopeKind, State, TradingState
from risk.pausing import standing
from risk.usage import Usage, usage_of

FIELDS = frozenset({"control", "scope", "mode", "value", "enforcement", "expires_at", "reason"})


def _refuse_bound(request: Request) -> None:
    """Limits are the desk's: a key that is bound to a part of it does not change them."""
    if principal_of(request).is_bound:
        raise Problem(403, "SCOPE_NOT_ALLOWED", "A key that is bound to accounts or strategies changes no limits.")


@dataclass(frozen=True, slots=True)
class LimitRequest:
    """A validated change of a limit."""

    control: str
    mode: str
    kind: str
    key: str
    value: Decimal | None
    enforcement: str | None
    expires_at: datetime | None
    reason: str

    @classmethod
    def of(cls, request: Request) -> LimitRequest:
        """Read the body; raises ``ValidationError`` with every field that is wrong, ``Problem`` for a wrong mode."""
        body: dict[str, Any] = dict(request.data)
        errors: dict[str, str] = dict.fromkeys(set(body) - FIELDS, "There is no such field.")
        control, scope, reason = body.get("control"), body.get("scope"), body.get("reason")
        if control not in CATALOGUE:
            errors["control"] = f"Send one of {', '.join(CATALOGUE)}."
        kind, key = ("global", "") if scope == "global" else ("", "")
        if isinstance(scope, dict) and len(scope) == 1:
            kind, key = next(iter(scope.items()))
        if kind not in LimitScopeKind.values or not storable(key, 64) or (kind == "global") != (scope == "global"):
            errors["scope"] = f'Send "global" or one of {", ".join(LimitScopeKind.values[1:])} with its name.'
        elif kind != "global" and not limit_scope_exists(kind, key):
            errors["scope"] = f"There is no {kind} {key!r}."
        mode, enforcement = body.get("mode"), body.get("enforcement")
        if mode is not None and mode not in Mode.values:
            errors["mode"] = f"Send one of {', '.join(Mode.values)}."
        if enforcement is not None and enforcement not in Enforcement.values:
            errors["enforcement"] = f"Send one of {', '.join(Enforcement.values)}."
        if not storable(reason, 256) or not str(reason).strip():
            errors["reason"] = "Send a string of 1 to 256 characters."
        value, expires_at = _value(body, errors), _time(body, errors)
        if errors:
            raise serializers.ValidationError(errors)
        return cls(str(control), mode_of_scope(kind, key, mode), kind, key, value, enforcement, expires_at, str(reason))


def _value(body: dict[str, Any], errors: dict[str, str]) -> Decimal | None:
    if "value" not in body:
        errors["value"] = "Send a decimal string, or null to switch the limit off."
        return None
    if body["value"] is None:
        return None
    try:
        value = parse_decimal(body["value"])
    except NotPlainDecimal as error:
        errors["value"] = str(error)
        return None
    if value < 0:
        errors["value"] = "A limit is not negative."
    return value


def _time(body: dict[str, Any], errors: dict[str, str]) -> datetime | None:
    text = body.get("expires_at")
    if text is None:
        return None
    if isinstance(text, str):
        try:
            return time_of({"expires_at": text}, "expires_at")
        except Problem:
            pass
    errors["expires_at"] = "Send an RFC 3339 time such as 2026-01-31T12:00:00Z."
    return None


class LimitsView(APIView):
    """``GET`` and ``POST /api/exec/limits``."""

    rights = {"GET": Right.VIEW, "POST": Right.CHANGE_LIMITS}

    @schema.LIMITS
    def get(self, request: Request) -> Response:
        """The versions that count now, in the order in which they were set."""
        query = read_query(request, ("control", "mode", *PAGING))
        principal = principal_of(request)
        rows = in_force().filter(scopes_reached(principal) & modes_reached(principal))
        wanted = {"control": choice_of(query, "control", CATALOGUE), "mode": choice_of(query, "mode", Mode.values)}
        rows = rows.filter(**{name: value for name, value in wanted.items() if value is not None})
        found, after = page(rows, query, key="id")
        return Response({"limits": [limit_document(row) for row in found], "next": after})

    @schema.SET_LIMIT
    def post(self, request: Request) -> Response:
        """200: the limit is set or tightened. 202: it would get looser; a second person has to approve the proposal."""
        _refuse_bound(request)
        asked = LimitRequest.of(request)
        by = actor_of(request, "POST /api/exec/limits")
        key = (asked.control, asked.mode, asked.kind, asked.key)
        if asked.value is not None:
            try:
                row = tighten_or_set(
                    *key,
                    asked.value,
                    reason=asked.reason,
                    by=by,
                    enforcement=asked.enforcement,
                    expires_at=asked.expires_at,
                )
            except Problem as problem:
                if problem.code != "LOOSENING_NEEDS_APPROVAL":
                    raise
            else:
                return Response(limit_document(row))
        before = newest(*key)
        enforcement = asked.enforcement or (before.enforcement if before else CATALOGUE[asked.control].enforcement)
        change = Change(*key, asked.value, enforcement, asked.expires_at)
        return Response({"approval": approval_document(propose(change, reason=asked.reason, by=by))}, status=202)


def _scope_of(usage: Usage) -> str:
    return scope_name(usage.limit.scope_kind, usage.limit.scope_key)


class RiskView(APIView):
    """``GET /api/exec/risk``."""

    rights = {"GET": Right.VIEW}

    @schema.RISK
    def get(self, request: Request) -> Response:
        """Every limit of a mode that counts, with what is used of it and what is left, mandatory ones that are not
        set, and what is stopped, in one call. A bound key sees the limits that concern it, and the usage of its own
        accounts and strategies."""
        query = read_query(request, ("mode",))
        mode = choice_of(query, "mode", Mode.values) or Mode.LIVE.value
        principal = principal_of(request)
        reached = scopes_reached(principal)
        stops = list(
            TradingState.objects.filter(reached).exclude(state=State.ACTIVE).order_by("scope_kind", "scope_key")
        )
        pauses = standing().filter(reached & modes_reached(principal), mode=mode)
        kills = KillEpisode.objects.filter(reached, ended_at__isnull=True).order_by("-id")
        document = {
            "mode": mode,
            "reporting_currency": settings.EXEC_REPORTING_CURRENCY,
            "as_of": clock.rfc3339(clock.now()),
            "state": next((row.state for row in stops if row.scope_kind == ScopeKind.GLOBAL), State.ACTIVE.value),
            "scopes": [state_document(row) for row in stops],
            "kills": [standing_kill_document(row) for row in kills],
            "limits": [
                usage_document(usage, shown=knows_usage(principal, usage.limit.control, _scope_of(usage)))
                for usage in usage_of(mode, reached & modes_reached(principal))
            ],
            "not_set": [
                unset_document(row) for row in mandatory_not_set(mode) if scope_reached(principal, row.kind, row.key)
            ],
            "pauses": [pause_document(row) for row in pauses.order_by("-until", "id")],
        }
        return Response(document)


class DecisionsView(APIView):
    """``GET /api/exec/decisions``."""

    rights = {"GET": Right.VIEW}

    @schema.DECISIONS
    def get(self, request: Request) -> Response:
        """What the gate decided on orders and replaces, newest first, each with all controls."""
        query = read_query(request, ("account", "symbol", "strategy", "order", "accepted", "kind", *PAGING))
        principal = principal_of(request)
        rows = principal.narrow(Decision.objects.all(), account="account_name", strategy="strategy")
        wanted = {
            "account_name": query.get("account"),
            "symbol": query.get("symbol"),
            "strategy": query.get("strategy"),
            "order_id": uuid_of(query, "order"),
            "accepted": flag_of(query, "accepted"),
            "kind": choice_of(query, "kind", DecisionKind.values),
        }
        rows = rows.filter(**{name: value for name, value in wanted.items() if value is not None})
        found, after = page(rows, query)
        return Response({"decisions": [listed_decision(row, principal) for row in found], "next": after})
