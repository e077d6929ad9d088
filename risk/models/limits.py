"""Limits as versions."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from exchanges.models import Mode
from execution_project.common.models import AppendOnlyModel
from execution_project.common.money import MoneyField
from risk.models.state import ScopeKind


class LimitScopeKind(models.TextChoices):
    """What a limit may be set for: whatever a trading state may, or one asset over all pairs and exchanges."""

    GLOBAL = ScopeKind.GLOBAL.value, "global"
    EXCHANGE = ScopeKind.EXCHANGE.value, "exchange"
    ACCOUNT = ScopeKind.ACCOUNT.value, "account"
    STRATEGY = ScopeKind.STRATEGY.value, "strategy"
    SYMBOL = ScopeKind.SYMBOL.value, "symbol"
    ASSET = "asset", "asset"


class Enforcement(models.TextChoices):
    """What a broken limit does: deny; let pass and say so with the order; let pass and be seen in the decision only."""

    BLOCK = "BLOCK", "BLOCK"
    WARN = "WARN", "WARN"
    SHADOW = "SHADOW", "SHADOW"


class Limit(AppendOnlyModel):
    """One version of one limit for one scope and mode; the newest that has not expired counts.

    ``value`` in the control's unit (``risk.controls.catalogue``), None switches the limit off. When a version expires,
    the one before counts again.
    """

    control = models.CharField(max_length=32)
    mode = models.CharField(max_length=8, choices=Mode.choices)
    scope_kind = models.CharField(max_length=16, choices=LimitScopeKind.choices)
    scope_key = models.CharField(max_length=64, blank=True)
    version = models.PositiveIntegerField()
    value = MoneyField(null=True)
    enforcement = models.CharField(max_length=8, choices=Enforcement.choices, default=Enforcement.BLOCK)
    expires_at = models.DateTimeField(null=True)
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
            models.CheckConstraint(condition=Q(enforcement__in=Enforcement.values), name="limit_enforcement_known"),
        ]

    def __str__(self) -> str:
        return f"{self.control} {self.scope_kind}:{self.scope_key} v{self.version}"
