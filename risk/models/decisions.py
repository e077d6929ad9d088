"""Decisions: the stored outcome of all controls."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from exchanges.models import Mode
from execution_project.common import ids
from execution_project.common.models import AppendOnlyModel
from execution_project.common.money import MoneyField


class DecisionKind(models.TextChoices):
    """What was decided on."""

    ORDER = "order", "order"
    REPLACE = "replace", "replace"


class Decision(AppendOnlyModel):
    """The stored outcome of all controls for one order or replace: inputs, observed values, limits, headroom.

    The columns beside the documents are what rates, turnover and duplicates are counted by. ``notional``: worst value
    in the reporting currency that it adds, ``quantity``: base units that it may trade at most, None when no price told;
    ``fingerprint``: the same for two orders that look the same.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    order_id = models.UUIDField()
    kind = models.CharField(max_length=8, choices=DecisionKind.choices, default=DecisionKind.ORDER)
    accepted = models.BooleanField()
    results = models.JSONField()
    inputs = models.JSONField()
    gate_seq = models.BigIntegerField()
    decided_at = models.DateTimeField()
    actor = models.CharField(max_length=200)
    mode = models.CharField(max_length=8, choices=Mode.choices, blank=True, default="")
    exchange = models.CharField(max_length=16, blank=True, default="")
    account_name = models.CharField(max_length=64, blank=True, default="")
    strategy = models.CharField(max_length=64, blank=True, default="")
    symbol = models.CharField(max_length=50, blank=True, default="")
    side = models.CharField(max_length=4, blank=True, default="")
    reducing = models.BooleanField(default=False)
    notional = MoneyField(null=True)
    quantity = MoneyField(null=True)
    fingerprint = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        indexes = [
            models.Index(fields=["order_id"]),
            models.Index(fields=["id"], name="decision_denied", condition=Q(accepted=False)),
            models.Index(
                fields=["mode", "decided_at"],
                include=["exchange", "account_name", "strategy", "symbol", "reducing", "accepted", "notional"],
                name="decision_recent",
            ),
            models.Index(fields=["account_name", "id"], name="decision_of_account"),
        ]

    def __str__(self) -> str:
        return "accepted" if self.accepted else "denied"


class DecisionSum(models.Model):
    """What the decisions of one quarter of an hour come to, for one account, strategy and symbol; made once the quarter
    is over (``risk.windows``).

    ``begins``: its first moment. ``value``: sum of ``notional`` of the accepted ones; ``increasing``, ``reducing``: how
    many there were, denied ones too.
    """

    mode = models.CharField(max_length=8, choices=Mode.choices)
    begins = models.DateTimeField()
    exchange = models.CharField(max_length=16)
    account_name = models.CharField(max_length=64)
    strategy = models.CharField(max_length=64)
    symbol = models.CharField(max_length=50)
    value = MoneyField()
    increasing = models.PositiveIntegerField()
    reducing = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["mode", "begins", "exchange", "account_name", "strategy", "symbol"], name="decision_sum_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.value} from {self.begins:%FT%RZ}"
