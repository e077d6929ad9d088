"""``GET /api/exec/breaches``: what broke limits, whether it was denied or let pass."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from exchanges.models import Exchange, Mode
from execution_project.common.api.authentication import Principal, principal_of
from execution_project.common.api.fields import DecimalString
from execution_project.common.api.paging import searched_page
from execution_project.common.api.query import PAGING, choice_of, choices_of, invalid, read_query, time_of
from execution_project.common.api.schema import AFTER, LIMIT, WITH_PAGES, operation, parameter
from execution_project.common.clock import rfc3339
from execution_project.common.money import plain_or_none
from execution_project.common.rights import Right
from risk.api.limit_documents import LimitScopeField
from risk.api.withheld import result_for
from risk.breaches import BROKEN, LOOKED_AT, broken, results_of, walked
from risk.models import Decision, DecisionKind, Enforcement, LimitScopeKind

OUTCOMES = {"denied": BROKEN[0], "warned": BROKEN[1], "shadowed": BROKEN[2]}
KINDS_WITH_NAMES = [f"{kind}:NAME" for kind in LimitScopeKind.values if kind != LimitScopeKind.GLOBAL]
_NAMES = {outcome.value: name for name, outcome in OUTCOMES.items()}


class BrokenControlSerializer(serializers.Serializer[Any]):
    """One control of a decision that broke."""

    number = serializers.IntegerField()
    control = serializers.CharField()
    outcome = serializers.ChoiceField(choices=list(OUTCOMES), help_text="What it did.")
    code = serializers.CharField()
    detail = serializers.CharField(allow_blank=True)
    scope = LimitScopeField(allow_null=True, help_text="Of the limit that decided; null: the control has no limit.")
    version = serializers.IntegerField(allow_null=True, help_text="Of that limit.")
    enforcement = serializers.ChoiceField(choices=Enforcement.values, allow_null=True)
    observed = DecimalString(allow_null=True)
    limit = DecimalString(allow_null=True)
    headroom = DecimalString(allow_null=True)


class BreachSerializer(serializers.Serializer[Any]):
    """A decision with what broke in it."""

    decision = serializers.UUIDField()
    order = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=DecisionKind.values)
    accepted = serializers.BooleanField()
    decided_at = serializers.DateTimeField()
    mode = serializers.ChoiceField(choices=Mode.values)
    exchange = serializers.ChoiceField(choices=Exchange.values)
    account = serializers.CharField()
    strategy = serializers.CharField(allow_null=True)
    symbol = serializers.CharField()
    side = serializers.CharField()
    notional = DecimalString(allow_null=True, help_text="Worst value in the reporting currency; null: unpriced.")
    actor = serializers.CharField()
    broken = BrokenControlSerializer(many=True)


class BreachesSerializer(serializers.Serializer[Any]):
    """A page of breaches."""

    breaches = BreachSerializer(many=True)
    next = serializers.CharField(
        allow_null=True, help_text="Send it as `after` for the next page, also after an empty one; null at the end."
    )


BREACHES = operation(
    "listBreaches",
    "Decisions that broke limits: denied, or let pass",
    tag="Risk",
    parameters=(
        parameter("outcome", "One or more of denied, warned, shadowed, separated by commas; all when not given."),
        parameter("control", "Broken by this control only, such as `max_order_notional` or `funds`."),
        parameter("scope", "By a limit of this scope only: `global`, or `account:NAME`, `asset:NAME` and so on."),
        parameter("mode", "Of this mode only.", enum=Mode.values),
        parameter("account", "Of this account only."),
        parameter("strategy", "Of this strategy only."),
        parameter("symbol", "Of this symbol only."),
        parameter("from", "Decided at this time or later.", format="date-time"),
        parameter("to", "Decided before this time.", format="date-time"),
        LIMIT,
        AFTER,
    ),
    answers={200: (BreachesSerializer, f"A page, newest first; one call looks at {LOOKED_AT} decisions.")},
    problems=WITH_PAGES,
)


def breach_document(
    decision: Decision, results: list[dict[str, Any]], reader: Principal | None = None
) -> dict[str, Any]:
    """A decision as ``BreachSerializer`` describes it, as the reader may see it; None sees all."""
    return {
        "decision": str(decision.id),
        "order": str(decision.order_id),
        "kind": decision.kind,
        "accepted": decision.accepted,
        "decided_at": rfc3339(decision.decided_at),
        "mode": decision.mode,
        "exchange": decision.exchange,
        "account": decision.account_name,
        "strategy": decision.strategy or None,
        "symbol": decision.symbol,
        "side": decision.side,
        "notional": plain_or_none(decision.notional),
        "actor": decision.actor,
        "broken": [_broken_document(result_for(result, reader)) for result in results],
    }


def _broken_document(result: dict[str, Any]) -> dict[str, Any]:
    inputs = result["inputs"]
    kind, _, key = inputs.get("limit_scope", "").partition(":")
    return {
        **{name: result[name] for name in ("number", "control", "code", "detail", "observed", "limit", "headroom")},
        "outcome": _NAMES[result["outcome"]],
        "scope": {kind: key} if key else kind or None,
        "version": inputs.get("limit_version"),
        "enforcement": inputs.get("enforcement"),
    }


class BreachesView(APIView):
    """``GET /api/exec/breaches``."""

    rights = {"GET": Right.VIEW}

    @BREACHES
    def get(self, request: Request) -> Response:
        """Decisions in which a control broke, newest first, each with what broke."""
        names = ("outcome", "control", "scope", "mode", "account", "strategy", "symbol", "from", "to")
        query = read_query(request, (*names, *PAGING))
        chosen = choices_of(query, "outcome", OUTCOMES) or list(OUTCOMES)
        outcomes = [OUTCOMES[name] for name in dict.fromkeys(chosen)]
        control, scope = query.get("control"), query.get("scope")
        if scope is not None and scope.partition(":")[0] not in LimitScopeKind.values:
            raise invalid("scope", f"it takes global, or a name behind its kind: {', '.join(KINDS_WITH_NAMES)}.")
        since, until = time_of(query, "from"), time_of(query, "to")
        wanted = {
            "mode": choice_of(query, "mode", Mode.values),
            "account_name": query.get("account"),
            "strategy": query.get("strategy"),
            "symbol": query.get("symbol"),
            "decided_at__gte": since,
            "decided_at__lt": until,
        }
        named = Q(**{name: value for name, value in wanted.items() if value is not None})
        principal = principal_of(request)
        reached = principal.reached(account="account_name", strategy="strategy")
        found, after = searched_page(
            walked(outcomes, since, until), named & reached & broken(outcomes, control, scope), query, most=LOOKED_AT
        )
        rows = [breach_document(row, results_of(row, outcomes, control, scope), principal) for row in found]
        return Response({"breaches": rows, "next": after})
