"""Facts: fills and their corrections, postings, rates, ledger legs. Append-only but for what notes that one is missing.

Money is in the reporting currency where it is a value, in the asset itself where it is an amount.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from exchanges.models import Account, Instrument, Mode
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
            models.Index(fields=["account", "instrument", "traded_at"], name="fill_of_position"),
            models.Index(fields=["account", "traded_at"], name="fill_of_statement"),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.quantity} @ {self.price} #{self.trade_id}"

    @property
    def model(self) -> str | None:
        """Name and version of the rules by which paper trading made it up; None for a trade of an exchange."""
        return self.source if self.account.mode == Mode.PAPER else None


class FillCorrection(AppendOnlyModel):
    """What the exchange took back (a bust, quantities zero) or changed of a fill; the newest one is in effect."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    fill = models.ForeignKey(Fill, on_delete=models.PROTECT, related_name="corrections")
    kind = models.CharField(max_length=16, choices=[("bust", "bust"), ("correction", "correction")])
    price = MoneyField()
    quantity = MoneyField()
    quote_quantity = MoneyField()
    fees = models.JSONField(default=list)
    reason = models.CharField(max_length=400)
    corrected_by = models.CharField(max_length=200)
    approval_id = models.UUIDField(null=True)
    corrected_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="bust", quantity=0, quote_quantity=0, fees=[])
                | Q(kind="correction", quantity__gt=0, price__gt=0, quote_quantity__gte=0),
                name="fill_correction_of_a_kind",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.fill_id}"


class Book(models.TextChoices):
    """The accounts of the ledger in the book-keeper's sense; each fact's legs sum to zero per asset."""

    EXCHANGE = "exchange", "held at the exchange"
    TRADING = "trading", "given and taken in trades"
    FEES = "fees", "fees paid"
    TAX = "tax", "tax paid"
    OPENING = "opening", "opening balance"
    TRANSFERS = "transfers", "brought in or taken out, not classified yet"
    EXTERNAL = "external", "deposits and withdrawals"
    TRANSIT = "transit", "under way between own accounts"
    DUST = "dust", "given and taken in conversions of dust"
    INCOME = "income", "airdrops and rebates"


class PostingKind(models.TextChoices):
    """Why something moved that was no trade."""

    OPENING = "opening", "opening balance"
    TRANSFER = "transfer", "not classified yet"
    DEPOSIT = "deposit", "deposit from outside"
    WITHDRAWAL = "withdrawal", "withdrawal to outside"
    OWN_TRANSFER = "own_transfer", "transfer between own accounts"
    DUST = "dust", "conversion of dust"
    AIRDROP = "airdrop", "airdrop"
    REBATE = "rebate", "rebate"


class Posting(AppendOnlyModel):
    """One movement of one asset at the exchange that was no trade.

    ``amount`` is what the balance moved by, fee included; ``network_fee`` the positive part of it that was a fee.
    ``value`` is what it is worth in ``currency``, signed like the amount: an exact number that was given, or null where
    a ``BookedRate`` says it; neither: pending. A posting that is reversed counts for nothing, and so does its reversal.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT)
    kind = models.CharField(max_length=16, choices=PostingKind.choices)
    asset = models.CharField(max_length=24)
    amount = MoneyField()
    network_fee = MoneyField(default=0)
    value = MoneyField(null=True)
    currency = models.CharField(max_length=24)
    value_assumed = models.BooleanField(default=False)
    reverses = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="reversed_by")
    classifies = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="classified_as")
    counterpart = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="counterparts")
    reference = models.CharField(max_length=128)
    reason = models.CharField(max_length=400, blank=True)
    posted_by = models.CharField(max_length=200)
    approval_id = models.UUIDField(null=True)
    effective_at = models.DateTimeField()
    posted_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=PostingKind.values), name="posting_kind_known"),
            models.CheckConstraint(condition=~Q(amount=0), name="posting_moves_something"),
        ]
        indexes = [
            models.Index(fields=["account", "asset", "effective_at"], name="posting_of_asset"),
            models.Index(fields=["account", "kind", "effective_at"], name="posting_of_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount} {self.asset}"


class BookedRate(AppendOnlyModel):
    """The rate at which one asset of one fill or posting is valued: a fact, also when it comes later.

    ``price`` in ``currency`` per unit; ``source`` and ``path`` as ``positions.marks`` gave them, ``age_ms`` how old the
    mark was at the fact's moment. The asset that is the currency itself has no row: its rate is 1.
    """

    fill = models.ForeignKey(Fill, on_delete=models.PROTECT, null=True, related_name="rates")
    posting = models.ForeignKey(Posting, on_delete=models.PROTECT, null=True, related_name="rates")
    asset = models.CharField(max_length=24)
    currency = models.CharField(max_length=24)
    price = MoneyField()
    marked_at = models.DateTimeField()
    source = models.CharField(max_length=64)
    path = models.JSONField(default=list)
    age_ms = models.BigIntegerField()
    stored_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(fill__isnull=False, posting__isnull=True) | Q(fill__isnull=True, posting__isnull=False),
                name="booked_rate_of_one_fact",
            ),
            models.CheckConstraint(condition=Q(price__gt=0), name="booked_rate_positive"),
            models.UniqueConstraint(fields=["fill", "asset", "currency"], name="booked_rate_of_fill_once"),
            models.UniqueConstraint(fields=["posting", "asset", "currency"], name="booked_rate_of_posting_once"),
        ]

    def __str__(self) -> str:
        return f"{self.asset} {self.price} {self.currency}"


class PendingRate(models.Model):
    """A rate that a fact still lacks; goes when the ``BookedRate`` comes. ``next_at``: when it is looked for again."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT)
    fill = models.ForeignKey(Fill, on_delete=models.PROTECT, null=True)
    posting = models.ForeignKey(Posting, on_delete=models.PROTECT, null=True)
    asset = models.CharField(max_length=24)
    at = models.DateTimeField()
    next_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["fill", "posting", "asset"], name="pending_rate_once", nulls_distinct=False)
        ]
        indexes = [models.Index(fields=["next_at"], name="pending_rate_due")]

    def __str__(self) -> str:
        return f"{self.asset} at {self.at}"


class LedgerEntry(AppendOnlyModel):
    """One leg: a signed amount of one asset in one book. The sum of ``exchange`` legs is the account's balance."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT)
    asset = models.CharField(max_length=24)
    book = models.CharField(max_length=16, choices=Book.choices)
    amount = MoneyField()
    kind = models.CharField(max_length=16)
    fill = models.ForeignKey(Fill, on_delete=models.PROTECT, null=True)
    posting = models.ForeignKey(Posting, on_delete=models.PROTECT, null=True)
    reference = models.CharField(max_length=128)
    effective_at = models.DateTimeField()
    posted_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "ledger entries"
        constraints = [models.CheckConstraint(condition=Q(book__in=Book.values), name="ledger_book_known")]
        indexes = [
            models.Index(fields=["account", "asset", "book", "posted_at"]),
            models.Index(fields=["posted_at"], name="ledger_posted_at"),
            models.Index(fields=["account", "asset", "effective_at"], name="ledger_of_asset"),
            models.Index(
                fields=["account", "effective_at"], name="ledger_of_deductions", condition=Q(book__in=["fees", "tax"])
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.asset} {self.book}"
