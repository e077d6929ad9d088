"""What an exchange said, normalised: order, trade, balance, instrument and quote reports, and outcomes of calls.

Plain values without a database or a clock. Adapters make them; ``orders.ingest`` books them. A report never names an
account: whoever asked the exchange knows for which account it asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any


class ReportedStatus(StrEnum):
    """Status of an exchange order in our words; UNRECOGNISED means "ask again", never an end."""

    OPEN = "open"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    UNRECOGNISED = "unrecognised"

    @property
    def is_end(self) -> bool:
        """Whether the exchange says that this order can trade no more."""
        return self in _ENDS


_ENDS = {ReportedStatus.FILLED, ReportedStatus.CANCELED, ReportedStatus.EXPIRED, ReportedStatus.REJECTED}


class OutcomeKind(StrEnum):
    """What one call proved. Only ACCEPTED and REFUSED are about the order; the rest are about the call."""

    ACCEPTED = "accepted"  # the exchange did it and said so
    NOT_SENT = "not_sent"  # proven: no byte of the request left this process
    REFUSED = "refused"  # proven: the exchange judged the request and said no
    NOT_EXECUTED = "not_executed"  # proven: arrived, was not judged, may be asked again with a new stamp
    UNKNOWN = "unknown"  # may or may not have happened: never ask again, only look
    THROTTLED = "throttled"  # proven not executed; nothing more to this host before ``throttled_for_ms`` has passed
    AUTH = "auth"  # proven not executed: key, signature, address or permission; stop the key
    CLOCK = "clock"  # proven not executed: the stamp was outside the window; sample the clock first
    NOT_FOUND = "not_found"  # a look-up that found nothing: evidence, never proof by itself


@dataclass(frozen=True, slots=True)
class Fee:
    """One deduction of a trade, in units of ``asset``; positive is paid by us."""

    asset: str
    amount: Decimal
    kind: str = "fee"  # "fee" or "tax"


@dataclass(frozen=True, slots=True)
class OrderReport:
    """An exchange order as the exchange described it at ``as_of`` (UTC). Quantities in base, quotes in quote asset."""

    symbol: str
    exchange_order_id: str
    client_order_id: str
    side: str
    type: str
    status: ReportedStatus
    price: Decimal | None
    quantity: Decimal | None
    cumulative_quantity: Decimal
    cumulative_quote: Decimal | None
    as_of: datetime
    source: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TradeReport:
    """One trade at the exchange. ``quantity`` in base, ``quote_quantity`` in quote asset, both positive."""

    symbol: str
    trade_id: str
    exchange_order_id: str
    client_order_id: str | None
    side: str
    price: Decimal
    quantity: Decimal
    quote_quantity: Decimal
    fees: tuple[Fee, ...]
    is_maker: bool | None
    traded_at: datetime
    source: str


@dataclass(frozen=True, slots=True)
class BalanceReport:
    """Absolute balance of one asset as of ``as_of`` (UTC, exchange time)."""

    asset: str
    free: Decimal
    locked: Decimal
    as_of: datetime


@dataclass(frozen=True, slots=True)
class InstrumentReport:
    """A tradable pair with its filters; ``filters`` is the exchange's own list, keyed by filter name, as strings."""

    symbol: str
    base_asset: str
    quote_asset: str
    status: str
    is_trading: bool
    base_precision: int
    quote_precision: int
    order_types: tuple[str, ...]
    quote_quantity_allowed: bool
    filters: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class QuoteReport:
    """Best bid and ask in the quote asset; None when the book has no such side."""

    symbol: str
    bid: Decimal | None
    ask: Decimal | None


@dataclass(frozen=True, slots=True)
class ServerTime:
    """One clock sample: the exchange's time and the round trip in ms; offset is exchange minus ours."""

    server_ms: int
    offset_ms: int
    round_trip_ms: int


Report = OrderReport | TradeReport


@dataclass(frozen=True, slots=True)
class Evidence:
    """Redacted request and response of one call, fit for storing: no key, no signature."""

    method: str
    path: str
    parameters: dict[str, str]
    http_status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one call came to, with the reports it carried and the evidence for both.

    ``code`` is the exchange's own number or name; ``reason`` is our stable word for it where the engine decides by it
    (``duplicate``, ``not_open``, ``insufficient_funds``, ``too_late`` …), else empty.
    """

    kind: OutcomeKind
    evidence: Evidence
    reports: tuple[Report, ...] = ()
    code: str = ""
    message: str = ""
    reason: str = ""
    throttled_for_ms: int | None = None
    banned: bool = False


@dataclass(frozen=True, slots=True)
class ReplaceOutcome:
    """What one call that cancels an order and places another came to; each half is recorded for itself.

    Both carry the evidence of the same call. NOT_EXECUTED with reason ``not_attempted`` is the exchange's word that it
    did not even try this half.
    """

    cancel: Outcome
    place: Outcome


@dataclass(frozen=True, slots=True)
class DepthReport:
    """The order book of one symbol, best price first: (price in quote, quantity in base)."""

    symbol: str
    bids: tuple[tuple[Decimal, Decimal], ...]
    asks: tuple[tuple[Decimal, Decimal], ...]


@dataclass(frozen=True, slots=True)
class PublicTrade:
    """A trade between others: price in quote, quantity in base, and the side that took."""

    symbol: str
    trade_id: str
    price: Decimal
    quantity: Decimal
    aggressor: str
    traded_at: datetime


@dataclass(frozen=True, slots=True)
class FeeRates:
    """Fractions of the received amount (0.001 is 10 basis points)."""

    maker: Decimal
    taker: Decimal
    buyer: Decimal
    seller: Decimal


@dataclass(frozen=True, slots=True)
class CommissionReport:
    """Fee rates of one symbol. For an upper bound before trading; what was paid stands in each trade.

    ``discount`` is the exchange's own number, None when no discount is in force for the account and the symbol.
    """

    symbol: str
    standard: FeeRates
    special: FeeRates
    tax: FeeRates
    discount_asset: str | None
    discount: Decimal | None


@dataclass(frozen=True, slots=True)
class OrderCountReport:
    """How many unfilled orders of the account count against one window right now."""

    window_ms: int
    limit: int
    count: int


class ReadFailed(Exception):
    """A read did not give an answer that can be believed; a failed query is never an empty answer."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(f"{outcome.kind}: {outcome.code} {outcome.message}".strip())
        self.outcome = outcome
