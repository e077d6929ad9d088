"""Trading states: what each scope lets through."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


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
    """The state of one scope. A scope without a row is ACTIVE; a latch is lifted only by approval.

    ``tripped_by``: the limits whose monitors have latched it and not been lifted since, separated by commas.
    """

    scope_kind = models.CharField(max_length=16, choices=ScopeKind.choices)
    scope_key = models.CharField(max_length=64, blank=True)
    state = models.CharField(max_length=16, choices=State.choices)
    latched = models.BooleanField(default=False)
    tripped_by = models.CharField(max_length=256, blank=True, default="")
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
