"""The outside: accounts, instruments, quotes, reported balances, clock offsets and the rate budget."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from exchanges.paper.models import (
    LiveArming,
    PaperAccount,
    PaperBalance,
    PaperBook,
    PaperFlow,
    PaperOrder,
    PaperTrade,
    ProcessVersion,
    PublicPrint,
)
from execution_project.common.money import MoneyField

__all__ = [
    "LIVE_HOSTS",
    "PLAIN_URL",
    "SANDBOX_LIVE_LOOKALIKES",
    "SECURE_URL",
    "Account",
    "AccountFreshness",
    "Balance",
    "Depth",
    "Exchange",
    "ForeignOrders",
    "HostClock",
    "HostPause",
    "Instrument",
    "LiveArming",
    "Mode",
    "PaperAccount",
    "PaperBalance",
    "PaperBook",
    "PaperFlow",
    "PaperOrder",
    "PaperTrade",
    "ProcessVersion",
    "PublicPrint",
    "Quote",
    "RateWindow",
    "StampSequence",
    "StreamKind",
    "StreamState",
]

# The same text for two engines, PostgreSQL's CHECK and the sender's ``re``. A URL is plain first: lower case, no user,
# query, fragment, closing dot or foreign letter, so that no spelling of a live host slips by the patterns below.
PLAIN_URL = r"^(https?|wss?)://([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(:[0-9]{1,5})?(/[A-Za-z0-9_.-]+)*/?\Z"
SECURE_URL = r"^(https|wss)://"
LIVE_HOSTS = r"^[a-z]+://([a-z0-9-]+\.)*(binance\.com|btcturk\.com)(:[0-9]+)?(/|\Z)"
SANDBOX_LIVE_LOOKALIKES = r"^(https|wss)://(demo-[a-z-]+|testnet)\.binance\.com(:[0-9]+)?(/|\Z)"


class Exchange(models.TextChoices):
    """The venues."""

    BINANCE = "binance", "Binance"
    BTCTURK = "btcturk", "BTCTurk"


class Mode(models.TextChoices):
    """What an account's orders move: real money, an exchange's play money, or our own paper."""

    LIVE = "live", "live"
    SANDBOX = "sandbox", "sandbox"
    PAPER = "paper", "paper"


def _live(field: str) -> Q:
    return (
        Q(**{f"{field}__regex": PLAIN_URL})
        & Q(**{f"{field}__regex": SECURE_URL})
        & Q(**{f"{field}__regex": LIVE_HOSTS})
        & ~Q(**{f"{field}__regex": SANDBOX_LIVE_LOOKALIKES})
    )


def _not_live(field: str) -> Q:
    return Q(**{f"{field}__regex": PLAIN_URL}) & (
        ~Q(**{f"{field}__regex": LIVE_HOSTS}) | Q(**{f"{field}__regex": SANDBOX_LIVE_LOOKALIKES})
    )


class ForeignOrders(models.TextChoices):
    """What an order that we did not place leads to. Its trades are booked in any case: they moved the balances."""

    ADOPT = "adopt", "adopt it as external"
    ALERT = "alert", "adopt it and raise a break"
    HALT = "halt", "adopt it and halt the account"


class Account(models.Model):
    """One set of credentials at an exchange, or one paper account. ``mode`` never changes after creation.

    A live host belongs to a live account and to no other: held here by CHECK and again by the sender.
    """

    name = models.CharField(max_length=64, unique=True)
    exchange = models.CharField(max_length=16, choices=Exchange.choices)
    mode = models.CharField(max_length=8, choices=Mode.choices)
    rest_url = models.CharField(max_length=200, blank=True)
    # Of the private stream; empty where streams are not used.
    ws_url = models.CharField(max_length=200, blank=True)
    api_key_sealed = models.BinaryField(default=b"")
    api_secret_sealed = models.BinaryField(default=b"")
    api_key_tail = models.CharField(max_length=4, blank=True)
    books_opened_at = models.DateTimeField(null=True)
    taker_fee_rate = MoneyField(default="0.001")
    foreign_orders = models.CharField(max_length=8, choices=ForeignOrders.choices, default=ForeignOrders.ALERT)
    # MARKET orders are sent as LIMIT IOC at the price that the gate decided on.
    market_as_limit_ioc = models.BooleanField("MARKET as LIMIT IOC", default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(exchange__in=Exchange.values), name="account_exchange_known"),
            models.CheckConstraint(condition=Q(mode__in=Mode.values), name="account_mode_known"),
            models.CheckConstraint(
                condition=Q(foreign_orders__in=ForeignOrders.values), name="account_foreign_orders_known"
            ),
            models.CheckConstraint(
                condition=Q(market_as_limit_ioc=False) | Q(exchange="binance"), name="account_limit_ioc_on_binance"
            ),
            models.CheckConstraint(
                condition=~Q(mode="live") | (_live("rest_url") & (Q(ws_url="") | _live("ws_url"))),
                name="account_live_on_live_host",
            ),
            models.CheckConstraint(
                condition=~Q(mode="sandbox") | (_not_live("rest_url") & (Q(ws_url="") | _not_live("ws_url"))),
                name="account_sandbox_off_live_host",
            ),
            models.CheckConstraint(
                condition=~Q(mode="paper") | Q(rest_url="", ws_url="", api_key_sealed=b"", api_secret_sealed=b""),
                name="account_paper_has_no_host_or_key",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Instrument(models.Model):
    """A tradable pair at one exchange, as that exchange shows it to accounts of one mode."""

    exchange = models.CharField(max_length=16, choices=Exchange.choices)
    mode = models.CharField(max_length=8, choices=Mode.choices)
    symbol = models.CharField(max_length=50)
    base_asset = models.CharField(max_length=24)
    quote_asset = models.CharField(max_length=24)
    status = models.CharField(max_length=24)
    is_trading = models.BooleanField(default=False)
    base_precision = models.PositiveSmallIntegerField()
    quote_precision = models.PositiveSmallIntegerField()
    order_types = models.JSONField(default=list)
    quote_quantity_allowed = models.BooleanField(default=False)
    filters = models.JSONField(default=dict)
    synced_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["exchange", "mode", "symbol"], name="instrument_once")]

    def __str__(self) -> str:
        return f"{self.symbol}@{self.exchange}"


class Quote(models.Model):
    """Best bid and ask of an instrument; ``confirmed_at`` is when the exchange last said so, changed or not.

    Written by ``exchanges.quotes`` alone, so that an older word never takes the place of a younger one.
    ``before_mid``: the mid that it is measured against for jumps, confirmed at ``before_at``: of the quote before it,
    kept until one that is at least a second younger can take its place. None until there were two.
    """

    instrument = models.OneToOneField(Instrument, on_delete=models.CASCADE, primary_key=True)
    bid = MoneyField(null=True)
    ask = MoneyField(null=True)
    confirmed_at = models.DateTimeField()
    before_mid = MoneyField(null=True)
    before_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.bid}/{self.ask}"


class Depth(models.Model):
    """The best 20 levels of an instrument's book, as market streams bring them; for traded instruments only.

    ``bids`` and ``asks`` are lists of [price in quote, quantity in base] as strings, best first. ``confirmed_at`` as in
    ``Quote``.
    """

    instrument = models.OneToOneField(Instrument, on_delete=models.PROTECT, primary_key=True)
    bids = models.JSONField(default=list)
    asks = models.JSONField(default=list)
    confirmed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"depth of {self.instrument_id}"


class Balance(models.Model):
    """What the exchange last reported of one asset; ``as_of`` is when the question was asked."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT)
    asset = models.CharField(max_length=24)
    free = MoneyField()
    locked = MoneyField()
    as_of = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "asset"], name="balance_once")]

    def __str__(self) -> str:
        return f"{self.account_id} {self.asset}"


class AccountFreshness(models.Model):
    """When the account's books were last compared with the exchange, part by part: our time, before the question was
    asked. ``blocked_by`` says which difference keeps exposure from growing until it has an end, empty for none.
    """

    account = models.OneToOneField(Account, on_delete=models.PROTECT, primary_key=True, related_name="freshness")
    orders_at = models.DateTimeField(null=True)
    trades_at = models.DateTimeField(null=True)
    balances_at = models.DateTimeField(null=True)
    blocked_by = models.CharField(max_length=160, blank=True)

    class Meta:
        verbose_name_plural = "account freshness"

    def __str__(self) -> str:
        return f"freshness of {self.account_id}"


class HostClock(models.Model):
    """Offset of an exchange host's clock against ours: exchange time = ours + ``offset_ms``."""

    host = models.CharField(max_length=200, primary_key=True)
    offset_ms = models.IntegerField()
    round_trip_ms = models.PositiveIntegerField()
    sampled_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.host} {self.offset_ms} ms"


class RateWindow(models.Model):
    """Units used in one clock-aligned window of one limit (request weight of a host, orders of an account)."""

    subject = models.CharField(max_length=200)
    kind = models.CharField(max_length=48)
    window_start = models.DateTimeField()
    used = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["subject", "kind", "window_start"], name="rate_window_once")]

    def __str__(self) -> str:
        return f"{self.subject} {self.kind} {self.used}"


class HostPause(models.Model):
    """No request goes to this host before ``until``: what the exchange told us by Retry-After, or a ban."""

    host = models.CharField(max_length=200, primary_key=True)
    until = models.DateTimeField()
    banned = models.BooleanField(default=False)
    reason = models.CharField(max_length=256)

    def __str__(self) -> str:
        return f"{self.host} until {self.until:%FT%TZ}"


class StampSequence(models.Model):
    """The last stamp that an API key has used; every process takes the next one from here (``exchanges.stamps``)."""

    key_identity = models.CharField(max_length=64, primary_key=True)
    last_stamp_ms = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.key_identity[:8]} {self.last_stamp_ms}"


class StreamKind(models.TextChoices):
    """What a stream brings: events of one account, or books of one market."""

    PRIVATE = "private", "private"
    MARKET = "market", "market"


class StreamState(models.Model):
    """How one stream is, as the process that leads says every two seconds (``written_at``).

    ``subject`` is the account's name, or exchange and mode of a market. ``last_message_at`` counts pings too. A
    *reconnect* is any connection after the first, a *gap* one before which the stream was away.
    """

    kind = models.CharField(max_length=8, choices=StreamKind.choices)
    subject = models.CharField(max_length=64)
    exchange = models.CharField(max_length=16, choices=Exchange.choices)
    connected_since = models.DateTimeField(null=True)
    last_message_at = models.DateTimeField(null=True)
    last_event_at = models.DateTimeField(null=True)
    reconnects = models.PositiveIntegerField(default=0)
    gaps = models.PositiveIntegerField(default=0)
    last_error = models.CharField(max_length=512, blank=True)
    written_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "subject"], name="stream_state_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"
