"""Everything the controls look at, read before and under the exposure lock; plain values for pure controls."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, localcontext

from execution_project.common.money import CONTEXT, round_down, round_up
from risk.facts import Counted, Depth, Held, Live, Losses, Mark, Paused, Prior, Resting, mark_of
from risk.intent import Intent

SLIPPAGE = Decimal("0.005")
MAX_QUOTE_AGE = timedelta(seconds=5)
AHEAD = timedelta(seconds=5)
"""A stamp that lies further in the future is of a clock that ran ahead, and says nothing."""
MAX_BALANCE_AGE = timedelta(seconds=60)
MAX_EQUITY_AGE = timedelta(seconds=60)
"""An older valuation says nothing any more (docs/risk-controls.md §1, control 19)."""
# Three missed rounds of each part of the reconciliation.
MAX_RECONCILIATION_AGE = {
    "orders": timedelta(seconds=90),
    "trades": timedelta(minutes=15),
    "balances": timedelta(seconds=60),
}
CASH_ASSETS = frozenset({"USDT", "TRY"})


@dataclass(frozen=True, slots=True)
class Price:
    """A best bid and ask with its age; unusable when missing, stale, crossed or not positive.

    ``before_mid`` and ``before_at``: the mid of an earlier quote, None when there was none.
    """

    symbol: str
    bid: Decimal | None
    ask: Decimal | None
    confirmed_at: datetime | None
    before_mid: Decimal | None = None
    before_at: datetime | None = None

    def usable(self, now: datetime, within: timedelta = MAX_QUOTE_AGE) -> bool:
        """Whether both sides are there, sane and confirmed ``within`` (5 s)."""
        return self.sane and self.confirmed_at is not None and now - self.confirmed_at <= within

    @property
    def sane(self) -> bool:
        """Whether both sides are there, positive and not crossed, however old."""
        return self.bid is not None and self.ask is not None and Decimal(0) < self.bid < self.ask

    @property
    def mid(self) -> Decimal | None:
        """Half way between bid and ask."""
        return None if self.bid is None or self.ask is None else (self.bid + self.ask) / 2


@dataclass(frozen=True, slots=True)
class LimitVersion:
    """The version of one limit at one scope that counts; value None switches it off. ``whole``: what was set, where a
    ramp lets only ``value`` of it count."""

    control: str
    scope: str
    version: int
    value: Decimal | None
    enforcement: str = "BLOCK"
    whole: Decimal | None = None


@dataclass(frozen=True, slots=True)
class StateOfScope:
    """Trading state of one scope."""

    scope: str
    state: str
    last_halt_seq: int

    def lets_pass(self, flatten_seq: int | None = None) -> bool:
        """Whether anything passes. HALTED and an unknown state let only a flatten pass that was confirmed later."""
        if self.state in {"ACTIVE", "REDUCE_ONLY"}:
            return True
        return self.state == "HALTED" and flatten_seq is not None and self.last_halt_seq < flatten_seq


@dataclass(frozen=True, slots=True)
class Reconciled:
    """When each part of the books was last compared with the exchange, None for never, and the break that blocks."""

    orders_at: datetime | None = None
    trades_at: datetime | None = None
    balances_at: datetime | None = None
    blocked_by: str = ""

    def stale_parts(self, now: datetime) -> list[str]:
        """The parts without a success in their time; exactly that old still counts, the future does not."""
        ages = {"orders": self.orders_at, "trades": self.trades_at, "balances": self.balances_at}
        return [
            part
            for part, at in ages.items()
            if at is None or at > now + AHEAD or now - at > MAX_RECONCILIATION_AGE[part]
        ]


@dataclass(frozen=True, slots=True)
class GateInputs:
    """One consistent set of inputs for all controls of one intent."""

    intent: Intent
    now: datetime
    price: Price
    reporting_price: Price | None  # quote asset in the reporting currency; None when they are the same
    reporting_currency: str
    states: tuple[StateOfScope, ...]
    limits: tuple[LimitVersion, ...]
    ledger_balance: Decimal | None  # of the asset that the order would spend
    exchange_balance: Decimal | None  # free + locked, moved by what was booked since it was reported
    balance_as_of: datetime | None
    reserved: Decimal
    reconciled: Reconciled = Reconciled()
    replaces: bool = False
    own_exposure: Decimal = Decimal(0)  # of the order that is to be replaced; not among ``live``
    depth: Depth | None = None
    marks: tuple[Mark, ...] = ()
    held: tuple[Held, ...] = ()
    live: tuple[Live, ...] = ()
    opposite: tuple[Resting, ...] = ()
    priors: tuple[Prior, ...] = ()
    counted: tuple[Counted, ...] = ()
    paused: tuple[Paused, ...] = ()
    own_quantities: tuple[Decimal, ...] = ()  # base units of the newest accepted orders that are its like
    equity: Decimal | None = None  # in the reporting currency; None when it is not known
    losses: tuple[Losses, ...] = ()
    clipped_from: Decimal | None = None  # what a reduce-only sale asked for before it was cut down to what is held

    @property
    def spent_asset(self) -> str:
        """What the order gives away: quote when buying, base when selling."""
        return self.intent.quote_asset if self.intent.side == "BUY" else self.intent.base_asset

    @property
    def gained_asset(self) -> str:
        """What the order brings: base when buying, quote when selling."""
        return self.intent.base_asset if self.intent.side == "BUY" else self.intent.quote_asset

    @property
    def added_exposure(self) -> Decimal | None:
        """Worst value in the reporting currency that counts for this order; of a replace the greater of old and new."""
        return None if self.reported_notional is None else max(self.reported_notional, self.own_exposure)

    @property
    def turnover(self) -> Decimal | None:
        """Worst value in the reporting currency that this order turns over; of a replace what it adds."""
        return None if self.reported_notional is None else max(self.reported_notional - self.own_exposure, Decimal(0))

    @property
    def base_gained(self) -> Decimal | None:
        """Base units that the order may trade at most; for one sized in quote at the bid, None without a usable one."""
        if self.intent.quantity is not None:
            return self.intent.quantity
        if self.intent.quote_quantity is None or not self.price.usable(self.now) or self.price.bid is None:
            return None
        with localcontext(CONTEXT):
            return round_up(self.intent.quote_quantity / self.price.bid)

    @property
    def reported_mid(self) -> Decimal | None:
        """Mid of the instrument in the reporting currency, or None without usable prices."""
        mid = self.price.mid if self.price.usable(self.now) else None
        if mid is None or self.intent.quote_asset == self.reporting_currency:
            return mid
        rate = self.reporting_price
        if rate is None or rate.mid is None or not rate.usable(self.now):
            return None
        with localcontext(CONTEXT):
            return mid * rate.mid

    def mark(self, asset: str) -> Decimal | None:
        """Reporting currency per unit by the best pair confirmed within 60 s, or None: missing is never zero."""
        return Decimal(1) if asset == self.reporting_currency else mark_of(self.marks, asset, self.now)

    @property
    def available(self) -> Decimal | None:
        """min(ledger, exchange) − live reservations of the spent asset; None when either is unknown."""
        if self.ledger_balance is None or self.exchange_balance is None:
            return None
        return min(self.ledger_balance, self.exchange_balance) - self.reserved

    @property
    def unit_price(self) -> Decimal | None:
        """Worst price per base unit: limit buy at max(limit, mid), market buy at ask plus slippage, sale at bid."""
        usable = self.price.usable(self.now)
        limit = self.intent.sent_price
        with localcontext(CONTEXT):
            if self.intent.side == "SELL":
                bid = self.price.bid if usable else None
                known = [value for value in (limit, bid) if value is not None]
                return max(known) if known else None
            if not usable:
                return None
            assert self.price.ask is not None and self.price.mid is not None  # noqa: S101  usable() says so
            if limit is not None:
                return max(limit, self.price.mid)
            return round_up(self.price.ask * (1 + SLIPPAGE))

    @property
    def notional(self) -> Decimal | None:
        """Worst notional in the quote asset."""
        if self.intent.quote_quantity is not None:
            return self.intent.quote_quantity
        if self.intent.quantity is None or self.unit_price is None:
            return None
        with localcontext(CONTEXT):
            return round_up(self.intent.quantity * self.unit_price)

    @property
    def reporting_rate(self) -> Decimal | None:
        """Reporting currency per quote asset, at the adverse side (ask); None when no fresh price tells."""
        if self.intent.quote_asset == self.reporting_currency:
            return Decimal(1)
        if self.reporting_price is None or not self.reporting_price.usable(self.now):
            return None
        return self.reporting_price.ask

    @property
    def reported_notional(self) -> Decimal | None:
        """Worst notional in the reporting currency."""
        if self.notional is None or self.reporting_rate is None:
            return None
        with localcontext(CONTEXT):
            return round_up(self.notional * self.reporting_rate)

    @property
    def base_needed(self) -> Decimal | None:
        """Base units that a sale gives away; for a quote-sized sale at the bid less slippage."""
        if self.intent.quantity is not None:
            return self.intent.quantity
        if self.intent.quote_quantity is None or self.reserve_price is None:
            return None
        with localcontext(CONTEXT):
            return round_up(self.intent.quote_quantity / self.reserve_price)

    @property
    def funds_needed(self) -> Decimal | None:
        """Units of the spent asset that the order may consume, fees included where they come on top."""
        if self.intent.side == "SELL":
            return self.base_needed
        with localcontext(CONTEXT):
            if self.intent.quote_quantity is not None:
                return round_up(self.intent.quote_quantity * (1 + self.intent.fee_in_quote_rate))
            price = self.reserve_price
            if price is None or self.intent.quantity is None:
                return None
            return round_up(self.intent.quantity * price * (1 + self.intent.fee_in_quote_rate))

    @property
    def reserve_price(self) -> Decimal | None:
        """Quote per base: a buy costs at most the limit that is sent, or ask plus slippage; a sale brings that limit,
        or bid less slippage."""
        if self.intent.sent_price is not None:
            return self.intent.sent_price
        if self.intent.side == "BUY":
            return self.unit_price
        if not self.price.usable(self.now) or self.price.bid is None:
            return None
        with localcontext(CONTEXT):
            return round_down(self.price.bid * (1 - SLIPPAGE))

    @property
    def is_reducing(self) -> bool:
        """A sale, for a cash asset, of no more than is available: it can only make exposure smaller."""
        if self.intent.side != "SELL" or self.intent.quote_asset not in CASH_ASSETS:
            return False
        needed, available = self.base_needed, self.available
        return needed is not None and available is not None and needed <= available
