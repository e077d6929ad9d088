"""What we own: fills, ledger entries, holdings and positions. The books are a fold over facts and can be rebuilt."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from exchanges.models import Account, Instrument
from execution_project.common import ids
from execution_project.common.models import AppendOnlyModel, Strategy
from execution_project.common.money import MoneyField


class Fill(AppendOnlyModel):
    """One trade at the exchange, a fact. Carries its exchange order's ids as plain columns (relations point down)."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT)
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT)
    strategy = models.ForeignKey(Strategy, on_delete=models.PROTECT, null=True)
    order_id = models.UUIDField(null=True)
    exchange_order_id = models.CharField(max_length=64)
    client_order_id = models.CharField(max_length=64)
    trade_id = models.CharField(max_length=64)
    side = models.CharField(max_length=4)
    price = MoneyField()
    quantity = MoneyField()
    quote_quantity = MoneyField()
    fees = models.JSONField(default=list)
    is_maker = models.BooleanField(null=True)
    traded_at = models.DateTimeField()
    booked_at = models.DateTimeField()
    source = models.CharField(max_length=32)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "instrument", "trade_id", "exchange_order_id"], name="fill_booked_once"
            ),
            models.CheckConstraint(condition=Q(side__in=["BUY", "SELL"]), name="fill_side_known"),
            models.CheckConstraint(
                condition=Q(quantity__gt=0, price__gt=0, quote_quantity__gte=0), name="fill_amounts_positive"
            ),
        ]
        indexes = [
            models.Index(fields=["order_id"]),
            models.Index(fields=["account", "id"]),
            models.Index(fields=["trade_id"], name="fill_trade_id"),
            models.Index(fields=["exchange_order_id"], name="fill_exchange_order_id"),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.quantity} @ {self.price} #{self.trade_id}"


class Book(models.TextChoices):
    """The accounts of the ledger in the book-keeper's sense; each fact's legs sum to zero per asset."""

    EXCHANGE = "exchange", "held at the exchange"
    TRADING = "trading", "given and taken in trades"
    FEES = "fees", "fees paid"
    TAX = "tax", "tax paid"
    OPENING = "opening", "opening balance"
    TRANSFERS = "transfers", "brought in or taken out outside of trading"


class LedgerEntry(AppendOnlyModel):
    """One leg: a signed amount of one asset in one book. The sum of ``exchange`` legs is the account's balance."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT)
    asset = models.CharField(max_length=24)
    book = models.CharField(max_length=16, choices=Book.choices)
    amount = MoneyField()
    kind = models.CharField(max_length=16)
    fill = models.ForeignKey(Fill, on_delete=models.PROTECT, null=True)
    reference = models.CharField(max_length=128)
    effective_at = models.DateTimeField()
    posted_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "ledger entries"
        constraints = [models.CheckConstraint(condition=Q(book__in=Book.values), name="ledger_book_known")]
        indexes = [
            models.Index(fields=["account", "asset", "book", "posted_at"]),
            models.Index(fields=["posted_at"], name="ledger_posted_at"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.asset} {self.book}"


class Holding(models.Model):
    """Inventory per (account, asset, strategy); strategy None is what no strategy has claimed."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT)
    asset = models.CharField(max_length=24)
    strategy = models.ForeignKey(Strategy, on_delete=models.PROTECT, null=True)
    quantity = MoneyField(default=0)
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "asset", "strategy"], name="holding_once", nulls_distinct=False)
        ]

    def __str__(self) -> str:
        return f"{self.quantity} {self.asset}"


class Position(models.Model):
    """The trader's view per (account, instrument, strategy), in the quote asset. ``net_quantity`` may be negative.

    ``cost`` is signed like the quantity: what the open quantity cost (long) or brought in (short), before fees;
    ``average_price`` is cost / net_quantity. ``fees_in_quote`` holds the fees that were paid in the quote asset.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT)
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT)
    strategy = models.ForeignKey(Strategy, on_delete=models.PROTECT, null=True)
    net_quantity = MoneyField(default=0)
    cost = MoneyField(default=0)
    average_price = MoneyField(null=True)
    realised_pnl = MoneyField(default=0)
    fees_in_quote = MoneyField(default=0)
    bought_quantity = MoneyField(default=0)
    sold_quantity = MoneyField(default=0)
    fill_count = models.PositiveIntegerField(default=0)
    last_trade_at = models.DateTimeField(null=True)
    last_trade_id = models.CharField(max_length=64, blank=True)
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "instrument", "strategy"], name="position_once", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return f"{self.net_quantity} {self.instrument_id}"


class TradeCursor(models.Model):
    """From which trade id on a symbol's trades belong to the books of an account.

    ``updated_at``: our time before they were last read to their end.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT)
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT)
    opened_after_trade_id = models.CharField(max_length=64, blank=True)
    last_trade_id = models.CharField(max_length=64, blank=True)
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "instrument"], name="trade_cursor_once")]

    def __str__(self) -> str:
        return f"{self.account_id} {self.instrument_id} {self.last_trade_id}"
