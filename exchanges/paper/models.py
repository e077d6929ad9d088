"""The tables of paper trading: what an exchange would keep for itself. They survive restarts like an exchange does."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from execution_project.common.models.records import AppendOnlyModel
from execution_project.common.money import MoneyField


class PaperAccount(models.Model):
    """How the imitated exchange treats one account: fees, latency, faults, clock, and the counters of its ids.

    Rates are fractions of the amount a fee is taken from. Latencies and offsets are in ms. ``tiers``: ``{"asset",
    "steps": [[volume, maker, taker]…]}`` by traded volume of 30 days in that quote asset, lowest first; empty: the
    rates of the row. ``faults``: armed on demand, ``{"kind", "call", "times"}``; ``fault_rates``: kind to probability.
    Locked first by whatever changes anything of the account.
    """

    account = models.OneToOneField(
        "exchanges.Account", on_delete=models.PROTECT, primary_key=True, related_name="paper"
    )
    maker_rate = MoneyField()
    taker_rate = MoneyField()
    tax_rate = MoneyField(default=0)
    bnb_fees = models.BooleanField(default=False)
    tiers = models.JSONField(default=dict)
    seed = models.BigIntegerField(default=0)
    draws = models.BigIntegerField(default=0)
    submit_ms = models.PositiveIntegerField(default=40)
    ack_ms = models.PositiveIntegerField(default=40)
    cancel_ms = models.PositiveIntegerField(default=40)
    jitter_ms = models.PositiveIntegerField(default=20)
    clock_offset_ms = models.IntegerField(default=0)
    read_lag_ms = models.PositiveIntegerField(default=0)
    faults = models.JSONField(default=list)
    fault_rates = models.JSONField(default=dict)
    last_order_number = models.BigIntegerField(default=0)
    last_trade_number = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"paper of {self.account_id}"


class PaperBalance(models.Model):
    """What the account holds of one asset at the paper exchange."""

    account = models.ForeignKey("exchanges.Account", on_delete=models.PROTECT)
    asset = models.CharField(max_length=24)
    free = MoneyField(default=0)
    locked = MoneyField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "asset"], name="paper_balance_once"),
            models.CheckConstraint(condition=Q(free__gte=0, locked__gte=0), name="paper_balance_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.account_id} {self.asset}"


class PaperFlow(AppendOnlyModel):
    """An amount brought in (positive) or taken out (negative) from outside of trading, a fact."""

    account = models.ForeignKey("exchanges.Account", on_delete=models.PROTECT)
    asset = models.CharField(max_length=24)
    amount = MoneyField()
    reason = models.CharField(max_length=256)
    actor = models.CharField(max_length=200)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.amount} {self.asset}"


class PaperOrder(models.Model):
    """An order as the paper exchange keeps it. ``number`` is its exchange id, unique per account.

    ``ahead``: quantity (base) that stood in front of it at its price and was not traded since. ``locked``: what is set
    aside for it in the asset that it spends. ``waits``: a stop whose price has not come. ``cancel_at``: an accepted
    cancel that takes effect then.
    """

    account = models.ForeignKey("exchanges.Account", on_delete=models.PROTECT)
    instrument = models.ForeignKey("exchanges.Instrument", on_delete=models.PROTECT)
    number = models.BigIntegerField()
    client_order_id = models.CharField(max_length=64)
    side = models.CharField(max_length=4)
    type = models.CharField(max_length=16)
    time_in_force = models.CharField(max_length=3, blank=True)
    price = MoneyField(null=True)
    stop_price = MoneyField(null=True)
    quantity = MoneyField()
    quote_quantity = MoneyField(null=True)
    executed = MoneyField(default=0)
    executed_quote = MoneyField(default=0)
    locked = MoneyField(default=0)
    ahead = MoneyField(default=0)
    status = models.CharField(max_length=16)
    reason = models.CharField(max_length=64, blank=True)
    waits = models.BooleanField(default=False)
    cancel_at = models.DateTimeField(null=True)
    placed_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    worked_at = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "number"], name="paper_order_once"),
            models.CheckConstraint(condition=Q(executed__lte=models.F("quantity")), name="paper_order_not_overfilled"),
            models.CheckConstraint(condition=Q(locked__gte=0, ahead__gte=0), name="paper_order_not_negative"),
        ]
        indexes = [
            models.Index(fields=["account", "client_order_id"], name="paper_order_client"),
            models.Index(
                fields=["account", "instrument"],
                name="paper_order_open",
                condition=Q(status__in=["open", "partially_filled"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.quantity} #{self.number}"


class PaperTrade(AppendOnlyModel):
    """A fill of a paper order, a fact. ``model``: name and version of the rules that made it."""

    account = models.ForeignKey("exchanges.Account", on_delete=models.PROTECT)
    order = models.ForeignKey(PaperOrder, on_delete=models.PROTECT, related_name="trades")
    instrument = models.ForeignKey("exchanges.Instrument", on_delete=models.PROTECT)
    number = models.BigIntegerField()
    price = MoneyField()
    quantity = MoneyField()
    quote_quantity = MoneyField()
    fees = models.JSONField(default=list)
    is_maker = models.BooleanField()
    traded_at = models.DateTimeField()
    model = models.CharField(max_length=32)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "number"], name="paper_trade_once"),
            models.CheckConstraint(condition=~Q(model=""), name="paper_trade_names_its_model"),
        ]
        indexes = [models.Index(fields=["account", "instrument", "traded_at"], name="paper_trade_time")]

    def __str__(self) -> str:
        return f"{self.quantity} @ {self.price} #{self.number}"


class PaperBook(models.Model):
    """What one account has seen and taken of an instrument's book.

    ``bids`` and ``asks``: ``[price, shown, left]`` as strings, best first; a level stays taken until what the market
    shows there changes. ``last_print``: the last public trade that was matched.
    """

    account = models.ForeignKey("exchanges.Account", on_delete=models.PROTECT)
    instrument = models.ForeignKey("exchanges.Instrument", on_delete=models.PROTECT)
    bids = models.JSONField(default=list)
    asks = models.JSONField(default=list)
    last_price = MoneyField(null=True)
    last_print = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "instrument"], name="paper_book_once")]

    def __str__(self) -> str:
        return f"{self.account_id} {self.instrument_id}"


class PublicPrint(models.Model):
    """A public trade of an instrument in mode paper, as the market feed or a recording brought it; kept an hour.

    ``aggressor``: the side that took. ``trade_id``: the exchange's, by which a trade that is heard twice is one.
    """

    instrument = models.ForeignKey("exchanges.Instrument", on_delete=models.PROTECT)
    trade_id = models.CharField(max_length=64, null=True)
    price = MoneyField()
    quantity = MoneyField()
    aggressor = models.CharField(max_length=4)
    traded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["instrument", "trade_id"], name="public_print_once"),
            models.CheckConstraint(condition=Q(price__gt=0, quantity__gt=0), name="public_print_positive"),
            models.CheckConstraint(condition=Q(aggressor__in=["BUY", "SELL"]), name="public_print_side_known"),
        ]
        indexes = [models.Index(fields=["instrument", "id"], name="public_print_order")]

    def __str__(self) -> str:
        return f"{self.quantity} @ {self.price}"


class LiveArming(AppendOnlyModel):
    """That a live account may send orders, a fact: by whom, by whose approval, on which version of the engine."""

    account = models.ForeignKey("exchanges.Account", on_delete=models.PROTECT, related_name="armings")
    approval_id = models.UUIDField()
    version = models.CharField(max_length=64)
    actor = models.CharField(max_length=200)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"armed {self.account_id}"


class ProcessVersion(models.Model):
    """Which version of the engine a process runs; ``seen_at`` is its last word."""

    process = models.CharField(max_length=128, primary_key=True)
    version = models.CharField(max_length=64)
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.process} {self.version}"
