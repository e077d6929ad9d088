"""The most that a market can give, told from what it showed and traded alone: no line of the matching code is used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from exchanges.models import PaperOrder, PaperTrade

ZERO = Decimal(0)
OTHER = {"BUY": "SELL", "SELL": "BUY"}
Side = dict[Decimal, Decimal]


@dataclass
class Ceiling:
    """What is left to take of the levels shown (by side of the book), and what stands in front of each resting order.

    A method is called with what one event brought; each fails when that is more, or better, than there was.
    """

    shown: dict[str, Side]
    left: dict[str, Side] = field(init=False)
    ahead: dict[int, Decimal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.left = {side: dict(levels) for side, levels in self.shown.items()}

    def show(self, book: dict[str, Side], fills: Iterable[PaperTrade]) -> None:
        """Another book: what was taken of a level stays taken while the same quantity is shown there. It may fill
        resting orders up to what it shows on or beyond their price, at their price."""
        for side, levels in book.items():
            before, left = self.shown[side], self.left[side]
            self.left[side] = {
                price: left[price] if before.get(price) == quantity else quantity for price, quantity in levels.items()
            }
            self.shown[side] = dict(levels)
        for trade in fills:
            assert trade.is_maker
            assert trade.price == trade.order.price
            self.ahead[trade.order.number] = ZERO
            self._reach(trade.order.side, trade.price, trade.quantity)

    def _reach(self, side: str, limit: Decimal, quantity: Decimal) -> None:
        book = self.left[OTHER[side]]
        for price in sorted(book, reverse=side == "SELL"):
            if price > limit if side == "BUY" else price < limit:
                break
            part = min(quantity, book[price])
            book[price] -= part
            quantity -= part
        assert not quantity, "more than the book showed"

    def take(self, order: PaperOrder, fills: Iterable[PaperTrade], *, own_may_meet: bool) -> None:
        """A placement: what it took at each price was shown there, or came of an own order that rested at it."""
        taken: Side = defaultdict(Decimal)
        own: Side = defaultdict(Decimal)
        for trade in fills:
            if trade.is_maker:
                assert own_may_meet
                assert trade.price == trade.order.price
                assert trade.order.side != order.side
                own[trade.price] += trade.quantity
                continue
            assert trade.order == order
            if order.price is not None:
                better = trade.price <= order.price if order.side == "BUY" else trade.price >= order.price
                assert better, "beyond its limit"
            taken[trade.price] += trade.quantity
        assert not set(own) - set(taken)
        book = self.left[OTHER[order.side]]
        for price, quantity in taken.items():
            assert quantity >= own[price]
            assert quantity - own[price] <= book.get(price, ZERO), "more than the book showed"
            if quantity > own[price]:
                book[price] -= quantity - own[price]
        if order.time_in_force == "FOK":
            assert sum(taken.values(), ZERO) in {ZERO, order.quantity}
        if order.price is not None:
            self.ahead[order.number] = self.shown[order.side].get(order.price, ZERO)

    def trade(
        self, price: Decimal, quantity: Decimal, aggressor: str, resting: list[PaperOrder], fills: Iterable[PaperTrade]
    ) -> None:
        """A public trade: beyond an order's price it fills the order's rest, at its price what is more than stood in
        front, elsewhere nothing. ``resting``: the orders as they were before it."""
        got: dict[int, Decimal] = defaultdict(Decimal)
        for trade in fills:
            assert trade.is_maker
            assert trade.price == trade.order.price, "makers trade at their own price"
            got[trade.order.number] += trade.quantity
        touched = [order for order in resting if order.side == OTHER[aggressor]]
        at_price = [order for order in touched if order.price == price]
        beyond = [o for o in touched if (o.price > price if o.side == "BUY" else o.price < price)]
        for order in beyond:
            assert got.pop(order.number, ZERO) == order.quantity - order.executed
        in_front = [self.ahead[order.number] for order in at_price]
        for order, ahead in zip(at_price, in_front, strict=True):
            assert got[order.number] <= max(quantity - ahead, ZERO), "more than was traded beyond the queue"
            self.ahead[order.number] = max(ahead - quantity, ZERO)
        assert sum((got.pop(order.number) for order in at_price), ZERO) <= max(
            quantity - min(in_front, default=ZERO), ZERO
        )
        assert not any(got.values()), "a trade elsewhere filled an order"
