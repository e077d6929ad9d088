"""The shapes of trading states, accounts and balances at the API; the serializers describe what the functions give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from rest_framework import serializers

from exchanges.models import Account, AccountFreshness, Balance, Exchange, HostClock, Mode, StreamState
from execution_project.common.api.fields import DecimalString
from execution_project.common.clock import rfc3339
from execution_project.common.money import plain
from positions.as_of import BalanceAt
from risk.models import State, TradingState

SCOPE_SCHEMA: dict[str, Any] = {
    "description": 'What it applies to: "global", or one of account, exchange, strategy, symbol.',
    "oneOf": [
        {"const": "global"},
        {
            "type": "object",
            "properties": {
                kind: {"type": "string", "maxLength": 64} for kind in ("account", "exchange", "strategy", "symbol")
            },
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
        },
    ],
}


class ScopeField(serializers.Field[Any, Any, Any, Any]):
    """A scope as it is written at the API."""


class StateOfScopeSerializer(serializers.Serializer[Any]):
    """The trading state of one scope and who put it there."""

    scope = ScopeField()
    state = serializers.ChoiceField(choices=State.values)
    latched = serializers.BooleanField(help_text="Lifting it takes a second person.")
    reason = serializers.CharField(allow_blank=True)
    changed_by = serializers.CharField()
    changed_at = serializers.DateTimeField()


class StartSerializer(serializers.Serializer[Any]):
    """The body of ``POST /api/exec/start``."""

    scope = ScopeField()
    reason = serializers.CharField(max_length=256, required=False, allow_blank=True)


def scope_document(row: TradingState) -> Any:
    """``"global"`` or ``{"<kind>": "<name>"}``."""
    return "global" if row.scope_kind == "global" else {row.scope_kind: row.scope_key}


def state_document(row: TradingState) -> dict[str, Any]:
    """A trading state as ``StateOfScopeSerializer`` describes it."""
    return {
        "scope": scope_document(row),
        "state": row.state,
        "latched": row.latched,
        "reason": row.reason,
        "changed_by": row.changed_by,
        "changed_at": rfc3339(row.changed_at),
    }


class ClockSerializer(serializers.Serializer[Any]):
    """The exchange's clock against ours."""

    offset_ms = serializers.IntegerField(help_text="Exchange time less ours.")
    round_trip_ms = serializers.IntegerField(min_value=0)
    sampled_at = serializers.DateTimeField()


class FreshnessSerializer(serializers.Serializer[Any]):
    """How old our knowledge is; null: never learnt."""

    balances_as_of = serializers.DateTimeField(allow_null=True, help_text="When the oldest of its balances was asked.")
    balances_age_ms = serializers.IntegerField(allow_null=True)
    last_quote_at = serializers.DateTimeField(
        allow_null=True, help_text="The newest price of any instrument of its exchange and mode."
    )
    last_quote_age_ms = serializers.IntegerField(allow_null=True)
    clock = ClockSerializer(allow_null=True)
    orders_compared_at = serializers.DateTimeField(
        allow_null=True, help_text="When open orders were last compared with the exchange's."
    )
    trades_compared_at = serializers.DateTimeField(allow_null=True)
    balances_compared_at = serializers.DateTimeField(allow_null=True)
    blocked_by = serializers.CharField(
        allow_blank=True, help_text="The difference that keeps exposure from growing; empty: none."
    )
    stream_connected_since = serializers.DateTimeField(
        allow_null=True, help_text="null: no stream, or not connected now."
    )
    stream_last_message_at = serializers.DateTimeField(allow_null=True)


class AccountSerializer(serializers.Serializer[Any]):
    """An account with its trading state and how fresh our knowledge of it is."""

    name = serializers.CharField()
    exchange = serializers.ChoiceField(choices=Exchange.values)
    mode = serializers.ChoiceField(choices=Mode.values)
    books_opened_at = serializers.DateTimeField(allow_null=True, help_text="null: orders are denied until they are.")
    state = serializers.ChoiceField(
        choices=State.values, help_text="The strictest of global, its exchange's and its own."
    )
    stopped_by = StateOfScopeSerializer(
        allow_null=True, help_text="The widest scope that makes it so; null when ACTIVE."
    )
    freshness = FreshnessSerializer()
    created_at = serializers.DateTimeField()


class AccountsSerializer(serializers.Serializer[Any]):
    """A page of accounts."""

    accounts = AccountSerializer(many=True)
    next = serializers.CharField(allow_null=True, help_text="Send it as `after` for the next page; null at the end.")


def time_or_none(moment: datetime | None) -> str | None:
    """RFC 3339 or null."""
    return None if moment is None else rfc3339(moment)


def age_ms(moment: datetime | None, now: datetime) -> int | None:
    """Whole milliseconds since ``moment``."""
    return None if moment is None else int((now - moment).total_seconds() * 1000)


def account_document(
    account: Account,
    *,
    now: datetime,
    stopped_by: TradingState | None,
    balances_as_of: datetime | None,
    last_quote_at: datetime | None,
    host_clock: HostClock | None,
    compared: AccountFreshness | None,
    stream: StreamState | None,
) -> dict[str, Any]:
    """An account as ``AccountSerializer`` describes it."""
    return {
        "name": account.name,
        "exchange": account.exchange,
        "mode": account.mode,
        "books_opened_at": time_or_none(account.books_opened_at),
        "state": State.ACTIVE.value if stopped_by is None else stopped_by.state,
        "stopped_by": None if stopped_by is None else state_document(stopped_by),
        "freshness": {
            "balances_as_of": time_or_none(balances_as_of),
            "balances_age_ms": age_ms(balances_as_of, now),
            "last_quote_at": time_or_none(last_quote_at),
            "last_quote_age_ms": age_ms(last_quote_at, now),
            "clock": None
            if host_clock is None
            else {
                "offset_ms": host_clock.offset_ms,
                "round_trip_ms": host_clock.round_trip_ms,
                "sampled_at": rfc3339(host_clock.sampled_at),
            },
            "orders_compared_at": time_or_none(compared.orders_at if compared else None),
            "trades_compared_at": time_or_none(compared.trades_at if compared else None),
            "balances_compared_at": time_or_none(compared.balances_at if compared else None),
            "blocked_by": compared.blocked_by if compared else "",
            "stream_connected_since": time_or_none(stream.connected_since if stream else None),
            "stream_last_message_at": time_or_none(stream.last_message_at if stream else None),
        },
        "created_at": rfc3339(account.created_at),
    }


class BalanceSerializer(serializers.Serializer[Any]):
    """What the exchange last reported of one asset, and what this engine holds back of it."""

    account = serializers.CharField()
    mode = serializers.ChoiceField(choices=Mode.values)
    exchange = serializers.ChoiceField(choices=Exchange.values)
    asset = serializers.CharField()
    free = DecimalString(help_text="As the exchange reported it.")
    locked = DecimalString(help_text="The same: held by working orders there.")
    reserved = DecimalString(help_text="By this engine, for what its live orders may still consume.")
    as_of = serializers.DateTimeField(help_text="When the exchange was asked.")
    age_ms = serializers.IntegerField()


class BalancesSerializer(serializers.Serializer[Any]):
    """A page of balances."""

    balances = BalanceSerializer(many=True)
    next = serializers.CharField(allow_null=True, help_text="Send it as `after` for the next page; null at the end.")


def balance_document(row: Balance, *, reserved: Mapping[tuple[str, str], Decimal], now: datetime) -> dict[str, Any]:
    """A balance as ``BalanceSerializer`` describes it; ``reserved`` by (account name, asset)."""
    return {
        "account": row.account.name,
        "mode": row.account.mode,
        "exchange": row.account.exchange,
        "asset": row.asset,
        "free": plain(row.free),
        "locked": plain(row.locked),
        "reserved": plain(reserved.get((row.account.name, row.asset), Decimal(0))),
        "as_of": rfc3339(row.as_of),
        "age_ms": age_ms(row.as_of, now),
    }


class PastBalanceSerializer(serializers.Serializer[Any]):
    """What the ledger has of one asset at the exchange at a moment: free and locked together."""

    account = serializers.CharField()
    mode = serializers.ChoiceField(choices=Mode.values)
    exchange = serializers.ChoiceField(choices=Exchange.values)
    asset = serializers.CharField()
    balance = DecimalString()


class PastBalancesSerializer(serializers.Serializer[Any]):
    """The answer to `as_of`: the ledger's sums of a moment, on one page."""

    as_of = serializers.DateTimeField(help_text="By what had happened up to this moment.")
    as_known_at = serializers.DateTimeField(
        allow_null=True, help_text="And had been booked by then; null: by all that is known today."
    )
    balances = PastBalanceSerializer(many=True)


def past_balances_document(rows: Sequence[BalanceAt], as_of: datetime, as_known_at: datetime | None) -> dict[str, Any]:
    """The ledger's balances of a moment as ``PastBalancesSerializer`` describes them."""
    return {
        "as_of": rfc3339(as_of),
        "as_known_at": None if as_known_at is None else rfc3339(as_known_at),
        "balances": [
            {
                "account": row.account.name,
                "mode": row.account.mode,
                "exchange": row.account.exchange,
                "asset": row.asset,
                "balance": plain(row.amount),
            }
            for row in rows
        ],
    }
