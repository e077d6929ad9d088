"""What the books are worth over time: minutes of marks, valuations (facts), and series of equity, NAV and drawdown."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from exchanges.models import Account, Exchange, Mode
from execution_project.common import ids
from execution_project.common.models import AppendOnlyModel, Strategy
from execution_project.common.money import MoneyField


class Mark(models.Model):
    """What one unit of an asset was worth at an exchange in one minute: ``bid`` for equity, ``mid`` for display.

    ``at``: when it was taken; ``quoted_at``: of the oldest quote it rests on; ``path``: ``exchange:symbol:side``.
    """

    mode = models.CharField(max_length=8, choices=Mode.choices)
    exchange = models.CharField(max_length=16, choices=Exchange.choices)
    asset = models.CharField(max_length=24)
    currency = models.CharField(max_length=24)
    minute = models.DateTimeField()
    at = models.DateTimeField()
    bid = MoneyField()
    mid = MoneyField()
    quoted_at = models.DateTimeField()
    path = models.JSONField(default=list)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["minute", "mode", "exchange", "asset"], name="mark_once_a_minute"),
            models.CheckConstraint(condition=Q(bid__gt=0, mid__gt=0), name="mark_positive"),
        ]
        indexes = [models.Index(fields=["mode", "asset", "at"], name="mark_of_asset_at")]

    def __str__(self) -> str:
        return f"{self.asset}@{self.exchange} {self.bid} {self.currency}"


class EquityScope(models.TextChoices):
    """Whose equity a series is."""

    GLOBAL = "global", "all accounts of a mode"
    ACCOUNT = "account", "an account"
    STRATEGY = "strategy", "a strategy"


class EquitySeries(models.Model):
    """How the equity of one scope stands, and what its drawdowns are measured against (``positions.drawdown.Curve``).

    ``flow_totals`` and ``marks`` are keyed ``exchange:asset``: units that ever came in, as far as the curve has taken
    them in, and the last price of each mark, which the next one is held against. ``last_*`` is the last valuation,
    complete or not (its drawdown is the trailing one); the curve stands at the last one that was complete and
    confirmed. ``hwm_valuation`` set the highest NAV at ``hwm_at``. ``ledger_id``: the last ledger entry when it was
    valued; ``thinned_to``: before this, points are one a minute.
    """

    scope = models.CharField(max_length=8, choices=EquityScope.choices)
    mode = models.CharField(max_length=8, choices=Mode.choices)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, null=True)
    strategy = models.ForeignKey(Strategy, on_delete=models.PROTECT, null=True)
    currency = models.CharField(max_length=24)
    at = models.DateTimeField(null=True)
    equity = MoneyField(null=True)
    nav = MoneyField(null=True)
    basis_nav = MoneyField(null=True)
    basis_equity = MoneyField(null=True)
    opening_nav = MoneyField(null=True)
    hwm_nav = MoneyField(null=True)
    hwm_equity = MoneyField(null=True)
    day = models.DateField(null=True)
    day_began_at = models.DateTimeField(null=True)
    day_equity = MoneyField(null=True)
    day_flows = MoneyField(default=0)
    day_high_nav = MoneyField(null=True)
    hwm_at = models.DateTimeField(null=True)
    hwm_valuation = models.ForeignKey("positions.Valuation", on_delete=models.PROTECT, null=True, related_name="+")
    flow_totals = models.JSONField(default=dict)
    marks = models.JSONField(default=dict)
    last_at = models.DateTimeField(null=True)
    last_equity = MoneyField(null=True)
    last_drawdown = MoneyField(null=True)
    last_daily_loss = MoneyField(null=True)
    last_missing = models.JSONField(default=list)
    last_kept_at = models.DateTimeField(null=True)
    ledger_id = models.BigIntegerField(default=0)
    thinned_to = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "equity series"
        constraints = [
            models.UniqueConstraint(
                fields=["mode", "account", "strategy", "currency"], name="equity_series_once", nulls_distinct=False
            ),
            models.CheckConstraint(
                condition=Q(scope="global", account__isnull=True, strategy__isnull=True)
                | Q(scope="account", account__isnull=False, strategy__isnull=True)
                | Q(scope="strategy", account__isnull=True, strategy__isnull=False),
                name="equity_series_of_its_scope",
            ),
        ]

    def __str__(self) -> str:
        return f"equity of {self.name}, {self.mode}"

    @property
    def name(self) -> str:
        """The account's or the strategy's name; ``global`` for all accounts."""
        owner = self.account or self.strategy
        return EquityScope.GLOBAL.value if owner is None else owner.name


class Valuation(AppendOnlyModel):
    """What a scope was worth at one moment, with every mark used. A missing mark leaves no equity, never less of it.

    Kept for every valuation that something rests on (``why``), and once a minute. ``marks``: what was held and at which
    price, as ``positions.valuation`` writes it; ``flows``: net value that came in since the series' last one.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    series = models.ForeignKey(EquitySeries, on_delete=models.PROTECT)
    at = models.DateTimeField()
    currency = models.CharField(max_length=24)
    equity = MoneyField(null=True)
    flows = MoneyField(null=True)
    nav = MoneyField(null=True)
    hwm_nav = MoneyField(null=True)
    hwm_equity = MoneyField(null=True)
    missing = models.JSONField(default=list)
    unconfirmed = models.JSONField(default=list)
    marks = models.JSONField(default=list)
    why = models.CharField(max_length=64)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(equity__isnull=False, missing=[]) | (Q(equity__isnull=True) & ~Q(missing=[])),
                name="valuation_complete_or_without_equity",
            )
        ]
        indexes = [models.Index(fields=["series", "at"], name="valuation_of_series_at")]

    def __str__(self) -> str:
        return f"{self.equity} {self.currency} {self.at:%FT%TZ}"


class EquityPoint(models.Model):
    """One point of a series: equity, NAV, high-water marks and every drawdown (``positions.drawdown.Measured``).

    A point stands for a moment, or later for a minute: then ``low_*`` and ``high_*`` are the extremes within it and the
    rest is its last moment. ``confirmed``: whether all marks were; ``valuation``: its own, where it was kept.
    """

    series = models.ForeignKey(EquitySeries, on_delete=models.PROTECT)
    at = models.DateTimeField()
    equity = MoneyField(null=True)
    low_equity = MoneyField(null=True)
    high_equity = MoneyField(null=True)
    nav = MoneyField(null=True)
    low_nav = MoneyField(null=True)
    high_nav = MoneyField(null=True)
    hwm_nav = MoneyField(null=True)
    hwm_equity = MoneyField(null=True)
    drawdown_trailing = MoneyField(null=True)
    drawdown_daily = MoneyField(null=True)
    drawdown_static = MoneyField(null=True)
    drawdown_absolute = MoneyField(null=True)
    daily_loss = MoneyField(null=True)
    missing = models.JSONField(default=list)
    confirmed = models.BooleanField(default=True)
    valuation = models.ForeignKey(Valuation, on_delete=models.PROTECT, null=True)

    class Meta:
        indexes = [
            models.Index(fields=["series", "at"], name="equity_point_of_series_at"),
            models.Index(fields=["at"], name="equity_point_at"),
        ]

    def __str__(self) -> str:
        return f"{self.equity} {self.at:%FT%TZ}"
