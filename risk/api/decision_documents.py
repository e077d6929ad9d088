"""The shape of the gate's decisions at the API; the serializers describe what the functions give."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from exchanges.models import Exchange, Mode
from execution_project.common.api.authentication import Principal
from execution_project.common.api.fields import DecimalString
from execution_project.common.clock import rfc3339
from execution_project.common.money import plain_or_none
from risk.api.withheld import results_for
from risk.controls.result import ControlOutcome
from risk.models import Decision, DecisionKind


class ControlSerializer(serializers.Serializer[Any]):
    """One control of the gate with what it looked at."""

    number = serializers.IntegerField()
    control = serializers.CharField()
    outcome = serializers.ChoiceField(choices=[outcome.value for outcome in ControlOutcome])
    code = serializers.CharField(allow_blank=True, help_text="Set when a limit is broken.")
    detail = serializers.CharField(allow_blank=True)
    observed = DecimalString(
        allow_null=True, help_text="null too where the limit's scope holds more than a bound key's own."
    )
    limit = DecimalString(allow_null=True)
    headroom = DecimalString(allow_null=True)
    inputs = serializers.DictField(help_text="`withheld`: scopes of which a bound key is not told what is used.")
    microseconds = serializers.IntegerField()


class DecisionSerializer(serializers.Serializer[Any]):
    """What the gate decided, and on what."""

    id = serializers.UUIDField()
    accepted = serializers.BooleanField()
    breaches = serializers.ListField(child=serializers.CharField(), help_text="The codes of the controls that denied.")
    warnings = serializers.ListField(
        child=serializers.CharField(), help_text="The codes of limits that are broken and only warn."
    )
    controls = ControlSerializer(many=True)
    inputs = serializers.DictField()
    decided_at = serializers.DateTimeField()


class ListedDecisionSerializer(DecisionSerializer):
    """A decision with what it was about."""

    order = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=DecisionKind.values)
    account = serializers.CharField()
    mode = serializers.ChoiceField(choices=Mode.values)
    exchange = serializers.ChoiceField(choices=Exchange.values)
    strategy = serializers.CharField(allow_null=True)
    symbol = serializers.CharField()
    side = serializers.CharField()
    reducing = serializers.BooleanField(help_text="It can only make exposure smaller.")
    notional = DecimalString(allow_null=True, help_text="Worst value in the reporting currency; null: unpriced.")
    actor = serializers.CharField()


class DecisionsSerializer(serializers.Serializer[Any]):
    """A page of decisions."""

    decisions = ListedDecisionSerializer(many=True)
    next = serializers.CharField(allow_null=True, help_text="Send it as `after` for the next page; null at the end.")


def decision_document(decision: Decision, reader: Principal | None = None) -> dict[str, Any]:
    """A decision: all controls with what they saw; ``breaches`` lists the stable codes of those that denied.

    ``reader``: of limits that are wider than a bound key it is not told how much is used; None: everything.
    """
    return {
        "id": str(decision.id),
        "accepted": decision.accepted,
        "breaches": _codes(decision, ControlOutcome.BREACH),
        "warnings": _codes(decision, ControlOutcome.WARNED),
        "controls": results_for(decision, reader),
        "inputs": decision.inputs,
        "decided_at": rfc3339(decision.decided_at),
    }


def _codes(decision: Decision, outcome: ControlOutcome) -> list[str]:
    return [result["code"] for result in decision.results if result["outcome"] == outcome]


def first_breach(document: dict[str, Any]) -> dict[str, Any]:
    """The control that denied first, from a denied decision as ``decision_document`` gives it."""
    found: dict[str, Any] = next(each for each in document["controls"] if each["outcome"] == ControlOutcome.BREACH)
    return found


def listed_decision(decision: Decision, reader: Principal | None = None) -> dict[str, Any]:
    """A decision as ``ListedDecisionSerializer`` describes it."""
    return {
        **decision_document(decision, reader),
        "order": str(decision.order_id),
        "kind": decision.kind,
        "account": decision.account_name,
        "mode": decision.mode,
        "exchange": decision.exchange,
        "strategy": decision.strategy or None,
        "symbol": decision.symbol,
        "side": decision.side,
        "reducing": decision.reducing,
        "notional": plain_or_none(decision.notional),
        "actor": decision.actor,
    }
