"""Requests that an exchange keeps refusing."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


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
