"""The shapes of limits and their usage at the API; the serializers describe what the functions give."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from exchanges.models import Mode
from execution_project.common.api.fields import DecimalString
from execution_project.common.clock import rfc3339
from execution_project.common.money import plain_or_none
from risk.api.documents import StateOfScopeSerializer, time_or_none
from risk.api.kill_documents import StandingKillSerializer
from risk.controls.catalogue import CATALOGUE
from risk.limits import NotSet
from risk.models import Enforcement, Limit, LimitScopeKind, Pause, State
from risk.usage import Usage

LIMIT_SCOPE_SCHEMA: dict[str, Any] = {
    "description": 'What it applies to: "global", or one of account, exchange, strategy, symbol, asset.',
    "oneOf": [
        {"const": "global"},
        {
            "type": "object",
            "properties": {
                kind: {"type": "string", "maxLength": 64} for kind in LimitScopeKind.values if kind != "global"
            },
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
        },
    ],
}


class LimitScopeField(serializers.Field[Any, Any, Any, Any]):
    """The scope of a limit as it is written at the API."""


class SetLimitSerializer(serializers.Serializer[Any]):
    """The body of ``POST /api/exec/limits``."""

    control = serializers.ChoiceField(choices=list(CATALOGUE))
    scope = LimitScopeField()
    mode = serializers.ChoiceField(choices=Mode.values, required=False, help_text="Not for an account, which has one.")
    value = DecimalString(allow_null=True, help_text="In the limit's unit, not negative; null switches it off.")
    enforcement = serializers.ChoiceField(
        choices=Enforcement.values, required=False, help_text="As it was, else the limit's own."
    )
    expires_at = serializers.DateTimeField(
        required=False, allow_null=True, help_text="Then the version before counts again."
    )
    reason = serializers.CharField(max_length=256)


class LimitSerializer(serializers.Serializer[Any]):
    """The version of a limit that counts."""

    control = serializers.CharField()
    number = serializers.IntegerField(help_text="Of the control that looks at it.")
    unit = serializers.CharField()
    mode = serializers.ChoiceField(choices=Mode.values)
    scope = LimitScopeField()
    version = serializers.IntegerField(min_value=1)
    value = DecimalString(allow_null=True, help_text="null: switched off")
    enforcement = serializers.ChoiceField(choices=Enforcement.values)
    expires_at = serializers.DateTimeField(allow_null=True)
    reason = serializers.CharField()
    set_by = serializers.CharField()
    set_at = serializers.DateTimeField()


class LimitsSerializer(serializers.Serializer[Any]):
    """A page of limits."""

    limits = LimitSerializer(many=True)
    next = serializers.CharField(allow_null=True, help_text="Send it as `after` for the next page; null at the end.")


class UsageSerializer(LimitSerializer):
    """A limit with what is used of it."""

    allowed = DecimalString(allow_null=True, help_text="What counts of the value: less while a ramp cuts it down.")
    used = DecimalString(allow_null=True, help_text="null: `not_known` says why.")
    not_known = serializers.ChoiceField(
        choices=["", "off", "one_order", "monitor", "no_price", "wider_than_key"],
        allow_blank=True,
        help_text="Why `used` is null: switched off; looks at one order alone; is watched by a monitor; a price or the"
        " equity is not known; the scope holds more than the key's own accounts or strategies.",
    )
    headroom = DecimalString(allow_null=True, help_text="allowed − used; negative when facts went beyond it.")
    share = DecimalString(allow_null=True, help_text="used / allowed, four decimals.")
    subject = serializers.CharField(
        allow_blank=True, help_text="Of a limit per asset: the asset that uses most, or has no price."
    )


class NotSetSerializer(serializers.Serializer[Any]):
    """A mandatory limit that is not set, or is switched off."""

    control = serializers.CharField()
    number = serializers.IntegerField(help_text="Of the control that looks at it.")
    scope = LimitScopeField()
    code = serializers.CharField(help_text="With which orders are denied.")
    denies = serializers.CharField(help_text="What is denied until it is set, in a sentence.")


class PauseSerializer(serializers.Serializer[Any]):
    """A scope that takes only what reduces until a time, and goes on by itself then."""

    scope = LimitScopeField()
    control = serializers.CharField(help_text="The limit that was met.")
    reason = serializers.CharField()
    began_at = serializers.DateTimeField()
    until = serializers.DateTimeField()


class RiskSerializer(serializers.Serializer[Any]):
    """Limits, usage and headroom of one mode, with what stops trading."""

    mode = serializers.ChoiceField(choices=Mode.values)
    reporting_currency = serializers.CharField()
    as_of = serializers.DateTimeField()
    state = serializers.ChoiceField(choices=State.values, help_text="Of the whole; a scope may be stricter.")
    scopes = StateOfScopeSerializer(many=True, help_text="Every scope that is not ACTIVE.")
    kills = StandingKillSerializer(many=True, help_text="Those that are not over, newest first.")
    limits = UsageSerializer(many=True)
    not_set = NotSetSerializer(many=True, help_text="Mandatory limits that are missing.")
    pauses = PauseSerializer(many=True, help_text="Those that stand now, the last to end first.")


def limit_document(row: Limit) -> dict[str, Any]:
    """A limit as ``LimitSerializer`` describes it."""
    spec = CATALOGUE.get(row.control)
    return {
        "control": row.control,
        "number": 0 if spec is None else spec.number,
        "unit": "" if spec is None else spec.unit,
        "mode": row.mode,
        "scope": "global" if row.scope_kind == "global" else {row.scope_kind: row.scope_key},
        "version": row.version,
        "value": plain_or_none(row.value),
        "enforcement": row.enforcement,
        "expires_at": time_or_none(row.expires_at),
        "reason": row.reason,
        "set_by": row.set_by,
        "set_at": rfc3339(row.set_at),
    }


def usage_document(usage: Usage, *, shown: bool = True) -> dict[str, Any]:
    """A limit with its usage as ``UsageSerializer`` describes it; not ``shown``: the limit without its usage."""
    if not shown and usage.why_not_known not in {"off", "one_order", "monitor"}:
        unknown = dict.fromkeys(("used", "headroom", "share"))
        known = {**limit_document(usage.limit), "allowed": plain_or_none(usage.allowed)}
        return {**known, **unknown, "not_known": "wider_than_key", "subject": ""}
    return {
        **limit_document(usage.limit),
        "allowed": plain_or_none(usage.allowed),
        "used": plain_or_none(usage.used),
        "not_known": usage.why_not_known,
        "headroom": plain_or_none(usage.headroom),
        "share": plain_or_none(usage.share),
        "subject": usage.subject,
    }


def unset_document(row: NotSet) -> dict[str, Any]:
    """A missing limit as ``NotSetSerializer`` describes it."""
    return {
        "control": row.control,
        "number": CATALOGUE[row.control].number,
        "scope": {row.kind: row.key},
        "code": "LIMIT_NOT_SET",
        "denies": f"Every order and replace of {row.kind} {row.key} that increases exposure.",
    }


def pause_document(row: Pause) -> dict[str, Any]:
    """A pause as ``PauseSerializer`` describes it."""
    return {
        "scope": "global" if row.scope_kind == "global" else {row.scope_kind: row.scope_key},
        "control": row.control,
        "reason": row.reason,
        "began_at": rfc3339(row.began_at),
        "until": rfc3339(row.until),
    }
