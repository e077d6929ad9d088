"""An accountant in exact fractions, written from the rules (docs/risk-controls.md §5) and from nothing else.

It keeps quantities and *average prices*, where the engine keeps costs; it knows no decimals, no rounding, no database.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from fractions import Fraction

Q = Fraction
NONE = Q(0)
NOBODY = None
SUSPENSE = "suspense"


@dataclass(frozen=True)
class Trade:
    """A fill in plain words; ``deductions``: (asset, amount paid, fee or tax); ``rates``: currency per unit."""

    at: int
    owner: int | None
    side: str
    base: str
    quote: str
    size: Q
    quote_size: Q
    deductions: tuple[tuple[str, Q, str], ...]
    rates: dict[str, Q]


@dataclass(frozen=True)
class Flow:
    """A deposit or withdrawal at its worth."""

    at: int
    asset: str
    amount: Q
    worth: Q


@dataclass
class Stock:
    """Units, and what one of them cost."""

    units: Q = NONE
    price: Q = NONE


@dataclass
class Accountant:
    """The books of one account, whose money is counted in ``currency``."""

    currency: str
    stocks: dict[tuple[str, int | str | None], Stock] = field(default_factory=lambda: defaultdict(Stock))
    profit: dict[tuple[str, int | None], Q] = field(default_factory=lambda: defaultdict(Q))

    def units(self, asset: str) -> Q:
        """All that the account has of an asset, whosever it is; what was sold unseen counts negative."""
        return sum((stock.units for (of, _), stock in self.stocks.items() if of == asset), Q(0))

    def trade(self, trade: Trade) -> None:
        """Give and take. The two sides are worth the same; fees make what is bought dearer, what is sold cheaper."""
        money = {self.currency: Q(1), **trade.rates}
        taken: dict[str, Q] = defaultdict(Q)
        for asset, amount, _ in trade.deductions:
            taken[asset] += amount
        fee_base, fee_quote = taken.pop(trade.base, Q(0)), taken.pop(trade.quote, Q(0))
        third = sum((amount * money[asset] for asset, amount in taken.items()), Q(0))
        buys = trade.side == "BUY"
        got_base = trade.size - fee_base if buys else -(trade.size + fee_base)
        got_quote = -(trade.quote_size + fee_quote) if buys else trade.quote_size - fee_quote
        if trade.base == self.currency:
            # A pair whose base is the currency: its base is worth itself, the quote's side is what is left over.
            base_worth = got_base
            quote_worth = -(base_worth - third)
        else:
            quote_worth = got_quote * money[trade.quote]
            base_worth = -quote_worth + third
        self._move(trade.base, trade.owner, got_base, base_worth)
        self._move(trade.quote, trade.owner, got_quote, quote_worth)
        for asset, amount in taken.items():
            self._move(asset, trade.owner, -amount, -amount * money[asset])

    def flow(self, flow: Flow) -> None:
        """What comes in first pays for what was sold unseen."""
        amount, worth = flow.amount, flow.worth
        unseen = self.stocks[flow.asset, SUSPENSE]
        if amount > 0 and unseen.units < 0:
            part = min(amount, -unseen.units)
            self.profit[flow.asset, NOBODY] += part * (unseen.price - worth / amount)
            unseen.units += part
            worth -= worth * part / amount
            amount -= part
        if amount:
            self._move(flow.asset, NOBODY, amount, worth)

    def _move(self, asset: str, owner: int | None, units: Q, worth: Q) -> None:
        if units == 0:
            self.profit[asset, owner] -= worth
            return
        if units < 0:
            price = worth / units
            held = sum((s.units for (of, who), s in self.stocks.items() if of == asset and who != SUSPENSE), Q(0))
            beyond = max(Q(0), -units - held)
            if beyond:
                unseen = self.stocks[asset, SUSPENSE]
                unseen.price = (unseen.price * -unseen.units + price * beyond) / (-unseen.units + beyond)
                unseen.units -= beyond
                units += beyond
            lacks = -units - self.stocks[asset, owner].units
            spare = self.stocks[asset, NOBODY]
            if owner is not NOBODY and lacks > 0 and spare.units > 0:
                part = min(lacks, spare.units)
                spare.units -= part
                self._meet(asset, owner, part, spare.price)
            if units:
                self._meet(asset, owner, units, price)
            return
        self._meet(asset, owner, units, worth / units)

    def _meet(self, asset: str, owner: int | None, units: Q, price: Q) -> None:
        stock = self.stocks[asset, owner]
        if stock.units * units >= 0:
            total = stock.units + units
            stock.price = (stock.units * stock.price + units * price) / total
            stock.units = total
            return
        closing = min(abs(units), abs(stock.units))
        direction = 1 if stock.units > 0 else -1
        self.profit[asset, owner] += direction * closing * (price - stock.price)
        rest = abs(units) - closing
        stock.units -= direction * closing
        if rest:
            stock.units, stock.price = -direction * rest, price
