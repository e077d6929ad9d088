"""Words of the matching core. Prices are in quote per base, quantities in base units."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

Level = tuple[Decimal, Decimal]
"""One price level: (price, quantity)."""


class Side(StrEnum):
    """Direction of an order or of the aggressor of a print."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def opposite(self) -> Side:
        """The side this one trades against."""
        return Side.SELL if self is Side.BUY else Side.BUY


class TimeInForce(StrEnum):
    """What happens to the part that does not trade at once."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class SelfTrade(StrEnum):
    """Self-trade prevention, decided by the taker's mode (docs/binance.md §3.1)."""

    NONE = "NONE"
    EXPIRE_TAKER = "EXPIRE_TAKER"
    EXPIRE_MAKER = "EXPIRE_MAKER"
    EXPIRE_BOTH = "EXPIRE_BOTH"


class EndReason(StrEnum):
    """Why an incoming order ended without being filled whole."""

    IOC_REMAINDER = "IOC_REMAINDER"
    FOK_UNFILLABLE = "FOK_UNFILLABLE"
    NO_LIQUIDITY = "NO_LIQUIDITY"
    WOULD_TAKE = "WOULD_TAKE"
    SELF_TRADE = "SELF_TRADE"


@dataclass(slots=True, frozen=True)
class Incoming:
    """An order that reaches the book. `limit` None means MARKET, which never rests whatever its time in force."""

    order_id: int
    owner: str
    side: Side
    quantity: Decimal
    limit: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    self_trade: SelfTrade = SelfTrade.NONE


@dataclass(slots=True)
class Resting:
    """An order on the book. `ahead` is the displayed quantity still in front of it (queue model only)."""

    order_id: int
    owner: str
    side: Side
    price: Decimal
    remaining: Decimal
    arrival: int
    ahead: Decimal = Decimal(0)


@dataclass(slots=True, frozen=True)
class Fill:
    """One trade. An id of None stands for the market itself (displayed depth or a print)."""

    price: Decimal
    quantity: Decimal
    taker_side: Side
    taker_id: int | None
    maker_id: int | None


@dataclass(slots=True)
class Outcome:
    """What became of an incoming order: its fills, what is left, whether the rest is on the book."""

    fills: list[Fill] = field(default_factory=list)
    leaves: Decimal = Decimal(0)
    rests: bool = False
    end: EndReason | None = None
    expired_makers: list[int] = field(default_factory=list)
