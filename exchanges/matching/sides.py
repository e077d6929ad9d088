"""One side of a book: displayed depth and the orders that rest in front of, in and behind it."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from decimal import Decimal

from exchanges.matching.types import Level, Resting, Side

ZERO = Decimal(0)


class BookSide:
    """Depth and resting orders of one side; best price first for the depth."""

    __slots__ = ("arrival", "depth", "prices", "queues", "shown", "side")

    def __init__(self, side: Side) -> None:
        self.side = side
        self.depth: list[list[Decimal]] = []
        self.shown: dict[Decimal, Decimal] = {}
        self.arrival = 0
        self.prices: list[Decimal] = []
        self.queues: dict[Decimal, deque[Resting]] = {}

    def reaches(self, price: Decimal, limit: Decimal | None) -> bool:
        """Whether a taker limited to `limit` may trade at `price` on this side."""
        if limit is None:
            return True
        return price <= limit if self.side is Side.SELL else price >= limit

    def best_resting_price(self) -> Decimal | None:
        if not self.prices:
            return None
        return self.prices[0] if self.side is Side.SELL else self.prices[-1]

    def best_depth_price(self) -> Decimal | None:
        while self.depth and not self.depth[0][1]:
            del self.depth[0]
        return self.depth[0][0] if self.depth else None

    def best_price(self) -> Decimal | None:
        resting, depth = self.best_resting_price(), self.best_depth_price()
        if resting is None:
            return depth
        if depth is None:
            return resting
        return min(resting, depth) if self.side is Side.SELL else max(resting, depth)

    def left_of(self, price: Decimal, shown: Decimal) -> Decimal:
        """What is left of a level that is shown (again): what was taken stays taken until the level changes."""
        if self.shown.get(price) != shown:
            return shown
        return next((left for level, left in self.depth if level == price), ZERO)

    def add(self, order: Resting) -> None:
        queue = self.queues.get(order.price)
        if queue is None:
            insort(self.prices, order.price)
            queue = self.queues[order.price] = deque()
        queue.append(order)

    def remove(self, order: Resting) -> None:
        queue = self.queues[order.price]
        if queue[0] is order:
            queue.popleft()
        else:
            queue.remove(order)
        if not queue:
            del self.queues[order.price]
            del self.prices[bisect_left(self.prices, order.price)]

    def resting_best_first(self) -> Iterator[Resting]:
        """Resting orders by price, then time; a copy, so that the caller may remove while walking."""
        prices = list(self.prices) if self.side is Side.SELL else list(reversed(self.prices))
        for price in prices:
            yield from list(self.queues.get(price, ()))

    def levels(self) -> list[Level]:
        """Displayed levels, best first, depth and resting orders added up."""
        totals: dict[Decimal, Decimal] = {}
        for price, quantity in self.depth:
            if quantity:
                totals[price] = totals.get(price, ZERO) + quantity
        for price, queue in self.queues.items():
            totals[price] = totals.get(price, ZERO) + sum((order.remaining for order in queue), ZERO)
        return sorted(totals.items(), reverse=self.side is Side.BUY)
