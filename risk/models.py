"""May we: trading state, limits, decisions, reservations and the exposure row. Risk reads no order."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from exchanges.models import Mode
from execution_project.common import ids
from execution_project.common.models import AppendOnlyModel
from execution_project.common.money import MoneyField


class ScopeKind(models.TextChoices):
    """What a rule or a state applies to; ``key`` names the one (account name, symbol, asset …), empty for global."""

    GLOBAL = "global", "global"
    EXCHANGE = "exchange", "exchange"
    ACCOUNT = "account", "account"
    STRATEGY = "strategy", "strategy"
    SYMBOL = "symbol", "symbol"


class State(models.TextChoices):
    """What a scope lets through; the strictest of all scopes of an order counts."""

    ACTIVE = "ACTIVE", "ACTIVE"
    REDUCE_ONLY = "REDUCE_ONLY", "REDUCE_ONLY"
    HALTED = "HALTED", "HALTED"


class TradingState(models.Model):
    """The state of one scope. A scope without a row is ACTIVE; a latch is lifted only by approval."""

    scope_kind = models.CharField(max_length=16, choices=ScopeKind.choices)
    scope_key = models.CharField(max_length=64, blank=True)
    state = models.CharField(max_length=16, choices=State.choices)
    latched = models.BooleanField(default=False)
    last_halt_seq = models.BigIntegerField(default=0)
    reason = models.CharField(max_length=256, blank=True)
    changed_by = models.CharField(max_length=200)
    changed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["scope_kind", "scope_key"], name="trading_state_once"),
            models.CheckConstraint(condition=Q(state__in=State.values), name="trading_state_known"),
            models.CheckConstraint(condition=Q(scope_kind__in=ScopeKind.values), name="trading_scope_known"),
            models.CheckConstraint(
                condition=~Q(scope_kind="global") | Q(scope_key=""), name="trading_state_global_has_no_key"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scope_kind}:{self.scope_key} {self.state}"


class Limit(AppendOnlyModel):
    """One version of one limit for one scope and mode; the newest version counts. ``value`` in the control's unit."""

    control = models.CharField(max_length=32)
    mode = models.CharField(max_length=8, choices=Mode.choices)
    scope_kind = models.CharField(max_length=16, choices=ScopeKind.choices)
    scope_key = models.CharField(max_length=64, blank=True)
    version = models.PositiveIntegerField()
    value = MoneyField(null=True)
    reason = models.CharField(max_length=256)
    set_by = models.CharField(max_length=200)
    set_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["control", "mode", "scope_kind", "scope_key", "version"], name="limit_version_once"
            ),
            models.CheckConstraint(condition=Q(value__isnull=True) | Q(value__gte=0), name="limit_not_negative"),
            models.CheckConstraint(condition=Q(mode__in=Mode.values), name="limit_mode_known"),
        ]

    def __str__(self) -> str:
        return f"{self.control} {self.scope_kind}:{self.scope_key} v{self.version}"


class Decision(AppendOnlyModel):
    """The stored outcome of all controls for one order: inputs, observed values, limits, headroom."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    order_id = models.UUIDField()
    accepted = models.BooleanField()
    results = models.JSONField()
    inputs = models.JSONField()
    gate_seq = models.BigIntegerField()
    decided_at = models.DateTimeField()
    actor = models.CharField(max_length=200)

    class Meta:
        indexes = [
            models.Index(fields=["order_id"]),
            models.Index(fields=["id"], name="decision_denied", condition=Q(accepted=False)),
        ]

    def __str__(self) -> str:
        return "accepted" if self.accepted else "denied"


class Reservation(models.Model):
    """What a live exchange order may still consume. Always *set* from what is not yet booked, never decremented.

    ``amount`` in ``asset`` (funds), ``exposure`` in the reporting currency at the decision's price; zero when ended.
    """

    exchange_order_id = models.UUIDField(primary_key=True)
    order_id = models.UUIDField()
    account_name = models.CharField(max_length=64)
    mode = models.CharField(max_length=8, choices=Mode.choices)
    asset = models.CharField(max_length=24)
    amount = MoneyField()
    exposure = MoneyField()
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount__gte=0, exposure__gte=0), name="reservation_not_negative")
        ]
        indexes = [
            models.Index(fields=["account_name", "asset"], name="reservation_live", condition=Q(amount__gt=0)),
            models.Index(fields=["order_id"]),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.asset}"


class Exposure(models.Model):
    """The exposure row of one mode: locked last, so that decide-and-reserve is one act for all processes."""

    mode = models.CharField(max_length=8, choices=Mode.choices, primary_key=True)

    def __str__(self) -> str:
        return self.mode


class Circuit(models.Model):
    """How often the exchange has refused one and the same request of an account in a row, for the same cause.

    ``request``: what was asked for, without its client order id; ``open_until``: until when its symbol takes no more.
    """

    account_name = models.CharField(max_length=64)
    symbol = models.CharField(max_length=50)
    request_hash = models.CharField(max_length=64)
    request = models.JSONField()
    code = models.CharField(max_length=64)
    refusals = models.PositiveIntegerField()
    refused_at = models.DateTimeField()
    open_until = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account_name", "symbol", "request_hash"], name="circuit_once"),
        ]
        indexes = [
            models.Index(fields=["account_name", "symbol"], name="circuit_open", condition=Q(open_until__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.account_name} {self.symbol} {self.code} {self.refusals}"
