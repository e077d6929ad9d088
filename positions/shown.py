"""Holdings and positions as they are shown: the stored numbers, valued at a mark, with what is missing in words.

A mark or a cost that is not known leaves the numbers that need it empty: nothing is shown as zero that is not zero.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext

from exchanges.models import Quote
from execution_project.common import clock
from execution_project.common.money import CONTEXT, round_down
from positions.marks import AHEAD, Rate, max_age, rates_at
from positions.models import Holding, Inventory, Position
from positions.valuation import Key, mark, name_of

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Price:
    """What one unit of a position's base is worth in its quote asset; ``age_ms`` at the moment asked for."""

    price: Decimal
    at: datetime
    source: str
    age_ms: int


@dataclass(frozen=True, slots=True)
class ShownHolding:
    """A holding and its mark. Money is in the reporting currency."""

    row: Holding
    rate: Rate | None
    restating: bool

    @property
    def missing(self) -> list[str]:
        """Why a number is not there."""
        name = name_of((self.row.account.exchange, self.row.asset))
        words = []
        if self.row.quantity and self.rate is None:
            words.append(f"mark of {name}")
        if self.row.pending:
            words.append(f"cost of {name}")
        if self.restating:
            words.append(f"cost of {name} restating")
        return words

    @property
    def dust(self) -> bool | None:
        """Whether it is too little to be sold (``positions.dust``); None where nobody asked, and for the past."""
        return getattr(self.row, "is_dust", None)

    @property
    def cost(self) -> Decimal | None:
        """None while facts wait for their rate: what is stored is not all of it."""
        return None if self.row.pending else self.row.cost

    @property
    def value(self) -> Decimal | None:
        """Quantity at the mark; nothing needs none."""
        if not self.row.quantity:
            return ZERO
        if self.rate is None:
            return None
        with localcontext(CONTEXT):
            return round_down(self.row.quantity * self.rate.price)

    @property
    def unrealised(self) -> Decimal | None:
        """Value less cost; None also while the cost is that of before a late fact."""
        return None if self.value is None or self.cost is None or self.restating else self.value - self.cost


@dataclass(frozen=True, slots=True)
class ShownPosition:
    """A position and the price of its base. Money is in the quote asset."""

    row: Position
    price: Price | None

    @property
    def missing(self) -> list[str]:
        """Why a number is not there."""
        name = f"{self.row.instrument.symbol}@{self.row.account.exchange}"
        words = []
        if self.row.net_quantity and self.price is None:
            words.append(f"mark of {name}")
        if self.row.pending:
            words.append(f"fees of {name}")
        return words

    @property
    def fees(self) -> Decimal | None:
        """All fees valued in the quote asset at their fills; None while a rate is missing."""
        fees: Decimal = self.row.fees_valued
        return None if self.row.pending else fees

    @property
    def unrealised(self) -> Decimal | None:
        """What closing at the mark would bring beyond the cost, before fees."""
        if not self.row.net_quantity:
            return ZERO
        if self.price is None:
            return None
        with localcontext(CONTEXT):
            unrealised: Decimal = round_down(self.row.net_quantity * self.price.price) - self.row.cost
        return unrealised

    @property
    def before_fees(self) -> Decimal | None:
        """Realised and unrealised."""
        realised: Decimal = self.row.realised_pnl
        return None if self.unrealised is None else realised + self.unrealised

    @property
    def after_fees(self) -> Decimal | None:
        """The same less all fees."""
        return None if self.before_fees is None or self.fees is None else self.before_fees - self.fees


def rates_of(mode: str, keys: Collection[Key], as_of: datetime | None) -> dict[Key, Rate]:
    """Bid marks of (exchange, asset) now, or at a moment of the past; what has none is not in the answer."""
    if not keys:
        return {}
    if as_of is None:
        return mark(mode, keys, clock.now())
    assets = defaultdict(set)
    for exchange, asset in keys:
        assets[exchange].add(asset)
    return {
        (exchange, asset): rate
        for exchange, wanted in assets.items()
        for asset, rate in rates_at(mode, exchange, wanted, as_of).items()
    }


def show_holdings(rows: Sequence[Holding], *, as_of: datetime | None = None) -> list[ShownHolding]:
    """Holdings (with their accounts) at the marks of now, or of the moment that their numbers are of."""
    wanted: dict[str, set[Key]] = defaultdict(set)
    for row in rows:
        if row.quantity:
            wanted[row.account.mode].add((row.account.exchange, row.asset))
    rates = {(mode, *key): rate for mode, keys in wanted.items() for key, rate in rates_of(mode, keys, as_of).items()}
    restating: set[tuple[int, str]] = set()
    if as_of is None:
        known = Inventory.objects.filter(restating=True, account__in={row.account_id for row in rows})
        restating = set(known.values_list("account_id", "asset"))
    return [
        ShownHolding(
            row,
            rates.get((row.account.mode, row.account.exchange, row.asset)),
            (row.account_id, row.asset) in restating,
        )
        for row in rows
    ]


def show_positions(rows: Sequence[Position], *, as_of: datetime | None = None) -> list[ShownPosition]:
    """Positions (with accounts and instruments) at the price of now, or of the moment that their numbers are of.

    Now it is the side of the pair's own quote at which the position could be closed; for the past, what the marks of
    base and quote asset make of it.
    """
    still_open = [row for row in rows if row.net_quantity]
    prices = _quoted(still_open) if as_of is None else _crossed(still_open, as_of)
    return [ShownPosition(row, prices.get(row.pk) if row.net_quantity else None) for row in rows]


def _quoted(rows: Iterable[Position]) -> dict[int, Price]:
    now = clock.now()
    ids = {row.instrument_id for row in rows}
    fresh = Quote.objects.filter(instrument__in=ids, confirmed_at__gte=now - max_age(), confirmed_at__lte=now + AHEAD)
    quotes = {quote.instrument_id: quote for quote in fresh} if ids else {}
    prices = {}
    for row in rows:
        quote = quotes.get(row.instrument_id)
        if quote is None:
            continue
        side = quote.bid if row.net_quantity > 0 else quote.ask
        if side is not None and side > 0:
            age = max(0, clock.to_ms(now) - clock.to_ms(quote.confirmed_at))
            prices[row.pk] = Price(side, quote.confirmed_at, "quote", age)
    return prices


def _crossed(rows: Iterable[Position], as_of: datetime) -> dict[int, Price]:
    wanted: dict[str, set[Key]] = defaultdict(set)
    for row in rows:
        for asset in (row.instrument.base_asset, row.instrument.quote_asset):
            wanted[row.account.mode].add((row.account.exchange, asset))
    rates = {mode: rates_of(mode, keys, as_of) for mode, keys in wanted.items()}
    prices = {}
    for row in rows:
        known = rates[row.account.mode]
        base = known.get((row.account.exchange, row.instrument.base_asset))
        quote = known.get((row.account.exchange, row.instrument.quote_asset))
        if base is not None and quote is not None:
            oldest = base if base.age >= quote.age else quote
            price = round_down(CONTEXT.divide(base.price, quote.price))
            age = clock.to_ms(as_of) - clock.to_ms(oldest.at)
            prices[row.pk] = Price(price, oldest.at, oldest.source, age)
    return prices
