"""What is folded from facts: holdings, positions, realised profits, allocations, checkpoints; and cursors of trades.

These are projections: they can be thrown away and rebuilt (``rebuild_books``). ``moment`` is a text that sorts facts by
time, then by trade (``positions.moments``); money of holdings is in the reporting currency, of positions in the quote.
"""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.db.models import Q

from exchanges.models import Account, Instrument
from execution_project.common.models import Strategy
from execution_project.common.money import MoneyField
from positions.models.facts import Fill, Posting

MOMENT = 200


class Inventory(models.Model):
    """All holdings of one asset in one account, folded together: how far they are, and the lock that guards them.

    ``moment`` is that of the last fact folded. While ``restating``, facts after ``restate_after`` wait to be folded
    anew: quantities are right (they are sums), cost and profit are those of before.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT)
    asset = models.CharField(max_length=24)
    moment = models.CharField(max_length=MOMENT, blank=True, db_collation="C")
    fact_count = models.PositiveBigIntegerField(default=0)
    restating = models.BooleanField(default=False)
    restate_after = models.CharField(max_length=MOMENT, blank=True, db_collation="C")
    restated_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "inventories"
        constraints = [models.UniqueConstraint(fields=["account", "asset"], name="inventory_once")]
        indexes = [models.Index(fields=["id"], name="inventory_restating", condition=Q(restating=True))]

    def __str__(self) -> str:
        return f"{self.account_id} {self.asset}"


class Holding(models.Model):
    """Inventory per (account, asset, strategy); strategy None is what no strategy has claimed (unallocated).

    The rows of an asset sum to what the account has of it at the exchange. One row may be ``in_suspense``: what was
    sold beyond everything held, as a negative quantity with its proceeds as negative cost, until facts explain it. A
    strategy's quantity is negative where it used what only other strategies hold.

    ``cost`` and ``realised_pnl`` in the reporting currency; ``currency_effect`` is the part of the realised that came
    from paying with a currency. ``pending``: facts whose value is not known yet; they moved the quantity alone.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT)
    asset = models.CharField(max_length=24)
    strategy = models.ForeignKey(Strategy, on_delete=models.PROTECT, null=True)
    in_suspense = models.BooleanField(default=False)
    quantity = MoneyField(default=0)
    cost = MoneyField(default=0)
    average_cost = MoneyField(null=True)
    realised_pnl = MoneyField(default=0)
    currency_effect = MoneyField(default=0)
    pending = models.PositiveIntegerField(default=0)
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "asset", "strategy", "in_suspense"], name="holding_once", nulls_distinct=False
            ),
            models.CheckConstraint(
                condition=Q(in_suspense=False) | Q(strategy__isnull=True, quantity__lte=0),
                name="holding_suspense_is_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} {self.asset}"


class RealisedPnl(models.Model):
    """What one disposal realised, in the reporting currency: proceeds − cost. Replaced from a late fact on.

    ``strategy`` as of the holding. ``role``: what the asset was in its fact (base, quote, fee, posting).
    ``currency_effect`` is the part of ``realised`` that came from paying with a currency. ``is_pending``: the value of
    the fact is not known yet, and nothing was realised.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT)
    asset = models.CharField(max_length=24)
    strategy = models.ForeignKey(Strategy, on_delete=models.PROTECT, null=True)
    fill = models.ForeignKey(Fill, on_delete=models.PROTECT, null=True)
    posting = models.ForeignKey(Posting, on_delete=models.PROTECT, null=True)
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, null=True)
    role = models.CharField(max_length=8)
    at = models.DateTimeField()
    moment = models.CharField(max_length=MOMENT, db_collation="C")
    quantity = MoneyField()
    proceeds = MoneyField()
    cost = MoneyField()
    realised = MoneyField()
    currency_effect = MoneyField(default=0)
    is_pending = models.BooleanField(default=False)

    class Meta:
        verbose_name = "realised PnL"
        verbose_name_plural = "realised PnL"
        indexes = [
            models.Index(fields=["account", "asset", "moment"], name="realised_of_asset"),
            models.Index(fields=["account", "at"], name="realised_of_account"),
            models.Index(fields=["at"], name="realised_at"),
        ]

    def __str__(self) -> str:
        return f"{self.realised} on {self.quantity} {self.asset}"


class Allocation(models.Model):
    """What a strategy took out of the unallocated holding, at average cost. Replaced from a late fact on."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT)
    asset = models.CharField(max_length=24)
    strategy = models.ForeignKey(Strategy, on_delete=models.PROTECT)
    fill = models.ForeignKey(Fill, on_delete=models.PROTECT)
    at = models.DateTimeField()
    moment = models.CharField(max_length=MOMENT, db_collation="C")
    quantity = MoneyField()
    cost = MoneyField()

    class Meta:
        indexes = [models.Index(fields=["account", "asset", "moment"], name="allocation_of_asset")]

    def __str__(self) -> str:
        return f"{self.quantity} {self.asset} to {self.strategy_id}"


class HoldingCheckpoint(models.Model):
    """All holdings of one asset in one account after their ``fact_count``-th fact; every 500 facts one is kept."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT)
    asset = models.CharField(max_length=24)
    moment = models.CharField(max_length=MOMENT, db_collation="C")
    at = models.DateTimeField()
    fact_count = models.PositiveBigIntegerField()
    state = models.JSONField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "asset", "moment"], name="holding_checkpoint_once")]

    def __str__(self) -> str:
        return f"{self.asset} after {self.fact_count}"


class Position(models.Model):
    """The trader's view per (account, instrument, strategy), in the quote asset. ``net_quantity`` may be negative.

    ``cost`` is signed like the quantity: what the open quantity cost (long) or brought in (short), before fees;
    ``average_price`` is cost / net_quantity. ``fees_in_quote`` holds the fees that were paid in the quote asset,
    ``fees_valued`` all fees valued in the quote asset at their fills; ``pending``: fills with a fee whose rate is not
    known yet. ``last_trade_at``, ``last_trade_id`` are the watermark: the newest trade that the numbers rest on.
    ``unbooked`` and ``disputed`` are set by whoever knows (``positions.confidence``).
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT)
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT)
    strategy = models.ForeignKey(Strategy, on_delete=models.PROTECT, null=True)
    net_quantity = MoneyField(default=0)
    cost = MoneyField(default=0)
    average_price = MoneyField(null=True)
    realised_pnl = MoneyField(default=0)
    fees_in_quote = MoneyField(default=0)
    fees_valued = MoneyField(default=0)
    bought_quantity = MoneyField(default=0)
    sold_quantity = MoneyField(default=0)
    fill_count = models.PositiveIntegerField(default=0)
    last_trade_at = models.DateTimeField(null=True)
    last_trade_id = models.CharField(max_length=64, blank=True)
    moment = models.CharField(max_length=MOMENT, blank=True, db_collation="C")
    pending = models.PositiveIntegerField(default=0)
    restating = models.BooleanField(default=False)
    restate_after = models.CharField(max_length=MOMENT, blank=True, db_collation="C")
    restated_at = models.DateTimeField(null=True)
    unbooked = models.BooleanField(default=False)
    disputed = models.BooleanField(default=False)
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "instrument", "strategy"], name="position_once", nulls_distinct=False
            )
        ]
        indexes = [models.Index(fields=["id"], name="position_restating", condition=Q(restating=True))]

    def __str__(self) -> str:
        return f"{self.net_quantity} {self.instrument_id}"

    @property
    def realised_after_fees(self) -> Decimal:
        """Realised profit less all fees valued in the quote asset."""
        after: Decimal = self.realised_pnl - self.fees_valued
        return after

    @property
    def confidence(self) -> str:
        """``disputed``: an open break on its symbol or asset. ``provisional``: something is reported and not booked, a
        rate is missing, or it is being folded anew. Else ``confirmed``."""
        if self.disputed:
            return "disputed"
        return "provisional" if self.unbooked or self.pending or self.restating else "confirmed"


class PositionCheckpoint(models.Model):
    """A position after its ``fill_count``-th fill; every 500 fills one is kept."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT)
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT)
    strategy = models.ForeignKey(Strategy, on_delete=models.PROTECT, null=True)
    moment = models.CharField(max_length=MOMENT, db_collation="C")
    at = models.DateTimeField()
    fill_count = models.PositiveIntegerField()
    state = models.JSONField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "instrument", "strategy", "moment"],
                name="position_checkpoint_once",
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return f"{self.instrument_id} after {self.fill_count}"


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
