"""What the gate knows besides the order itself: marks, depth, holdings, live orders, and what was asked for lately.

Plain values; ``risk.reading`` fills them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol
from uuid import UUID

MAX_DEPTH_AGE = timedelta(seconds=2)
MAX_MARK_AGE = timedelta(seconds=60)
"""Of the price of something held; the order's own price may be 5 s old."""

Level = tuple[Decimal, Decimal]


@dataclass(frozen=True, slots=True)
class Mark:
    """Mid of an asset in the reporting currency, by one pair at one exchange."""

    asset: str
    exchange: str
    symbol: str
    price: Decimal
    confirmed_at: datetime
    direct: bool


@dataclass(frozen=True, slots=True)
class Depth:
    """The best levels of the instrument's book, best first: (price in quote, quantity in base)."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    confirmed_at: datetime


@dataclass(frozen=True, slots=True)
class Held:
    """What one account holds of an asset for one strategy ("" for none), by the books."""

    exchange: str
    account: str
    strategy: str
    asset: str
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Live:
    """Live orders that are alike in all of this: how many, one that is being replaced once, and what they may still
    bring."""

    exchange: str
    account: str
    strategy: str
    symbol: str
    side: str
    gained_asset: str
    exposure: Decimal
    count: int


@dataclass(frozen=True, slots=True)
class Resting:
    """A live exchange order of ours on the other side of the same symbol at the same exchange."""

    order_id: UUID
    account: str
    strategy: str
    price: Decimal | None
    stop_price: Decimal | None


@dataclass(frozen=True, slots=True)
class Prior:
    """An accepted order that looks the same, how long ago, and what became of it."""

    order_id: UUID
    age_s: Decimal
    live: bool
    filled: bool


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted in the window of one limit, without this order.

    Rates: decisions that increase and that reduce. Turnover: value of what was accepted, in the reporting currency.
    """

    control: str
    scope: str
    increasing: Decimal
    reducing: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Losses:
    """How the equity of one scope (``global``, ``account:main``) stands against what it was.

    ``known_at``: when its equity was last known. ``begun``: whether there is a NAV to measure from. The rest is of the
    last valuation that was complete; fractions, and amounts in the reporting currency; None where a reference is not
    positive. ``confirmed``: whether all its marks were. ``opening``: equity as the day began.
    """

    scope: str
    known_at: datetime | None
    begun: bool
    confirmed: bool = True
    equity: Decimal | None = None
    drawdown: Decimal | None = None
    drawdown_amount: Decimal | None = None
    daily_loss: Decimal | None = None
    opening: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Paused:
    """A scope of the order that takes nothing that increases exposure until a moment."""

    control: str
    scope: str
    until: datetime
    reason: str


class Book(Protocol):
    """What is held and live in one mode, with prices; the gate's inputs are one, and so is what usage is read from."""

    @property
    def reporting_currency(self) -> str:
        """What everything is valued in."""

    @property
    def held(self) -> tuple[Held, ...]:
        """Holdings by the books."""

    @property
    def live(self) -> tuple[Live, ...]:
        """Live exchange orders."""

    def mark(self, asset: str) -> Decimal | None:
        """Reporting currency per unit, None when no price of at most 60 s tells."""


def mark_of(marks: tuple[Mark, ...], asset: str, now: datetime) -> Decimal | None:
    """Reporting currency per unit by the best pair confirmed within 60 s, or None: missing is never zero."""
    fresh = [mark for mark in marks if mark.asset == asset and now - mark.confirmed_at <= MAX_MARK_AGE]
    best = max(fresh, key=lambda mark: (mark.direct, mark.confirmed_at), default=None)
    return None if best is None else best.price


def in_scope(scope: str, *, exchange: str, account: str, strategy: str, symbol: str = "", asset: str = "") -> bool:
    """Whether something that is described so lies in a scope that is written as ``global`` or ``account:main``."""
    kind, _, key = scope.partition(":")
    if kind == "global":
        return True
    described = {"exchange": exchange, "account": account, "strategy": strategy, "symbol": symbol, "asset": asset}
    return described.get(kind) == key and key != ""
