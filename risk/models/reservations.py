"""What live exchange orders may still consume, and the row that serialises whoever reserves."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from exchanges.models import Mode
from execution_project.common.money import MoneyField


class Reservation(models.Model):
    """What a live exchange order may still consume. Always *set* from what is not yet booked, never decremented.

    ``amount`` in ``asset`` (funds). ``exposure``: what it may still bring of ``gained_asset``, in the reporting
    currency at the decision's price; zero when ended, and for a sale into the reporting currency. ``live``: not proven
    ended; ``price`` and ``stop_price`` are its own, None for none.
    """

    exchange_order_id = models.UUIDField(primary_key=True)
    order_id = models.UUIDField()
    account_name = models.CharField(max_length=64)
    mode = models.CharField(max_length=8, choices=Mode.choices)
    exchange = models.CharField(max_length=16, blank=True, default="")
    strategy = models.CharField(max_length=64, blank=True, default="")
    symbol = models.CharField(max_length=50, blank=True, default="")
    side = models.CharField(max_length=4, blank=True, default="")
    price = MoneyField(null=True)
    stop_price = MoneyField(null=True)
    asset = models.CharField(max_length=24)
    amount = MoneyField()
    gained_asset = models.CharField(max_length=24, blank=True, default="")
    exposure = MoneyField()
    live = models.BooleanField(default=True)
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount__gte=0, exposure__gte=0), name="reservation_not_negative")
        ]
        indexes = [
            models.Index(fields=["account_name", "asset"], name="reservation_live", condition=Q(amount__gt=0)),
            models.Index(
                fields=["mode", "exchange", "symbol"],
                name="reservation_counts",
                condition=Q(live=True) | Q(exposure__gt=0),
            ),
            models.Index(fields=["order_id"]),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.asset}"


class Exposure(models.Model):
    """The exposure row of one mode: locked last, so that decide-and-reserve is one act for all processes.

    ``summed_until``: decisions before that moment, as far back as a window reaches, are in ``DecisionSum``.
    """

    mode = models.CharField(max_length=8, choices=Mode.choices, primary_key=True)
    summed_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.mode
