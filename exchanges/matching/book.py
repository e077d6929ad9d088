"""One instrument's order book: displayed market depth plus resting orders, matched by price, then time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise

from exchanges.matching.sides import BookSide
from exchanges.matching.types import EndReason, Fill, Incoming, Level, Outcome, Resting, SelfTrade, Side, TimeInForce

ZERO = Decimal(0)


class Book:
    """Order book of one instrument.

    Liquidity is (a) displayed depth, replaced by `set_depth` and remembered as consumed until then, and (b) resting
    orders. Priority is price, then time; depth carries the time of its last refresh. Without `queue_model` a print
    reaches resting orders directly.

    With `queue_model`, the pessimistic model for paper trading: a resting order waits behind the quantity displayed at
    its price when it arrived, and only prints at that price shorten the queue; a print beyond its price fills it whole.
    What was taken of a level stays taken until the quantity shown there changes, and depth that comes onto or through
    a resting order fills it up to what is shown.
    """

    def __init__(self, *, queue_model: bool = False) -> None:
        self._queue_model = queue_model
        self._bids = BookSide(Side.BUY)
        self._asks = BookSide(Side.SELL)
        self._orders: dict[int, Resting] = {}
        self._arrivals = 0
        self.version = 0
        """Grows by one with every change of the book."""

    def _side(self, side: Side) -> BookSide:
        return self._bids if side is Side.BUY else self._asks

    def _next_arrival(self) -> int:
        self._arrivals += 1
        self.version += 1
        return self._arrivals

    # -- views ---------------------------------------------------------------------------------------------------

    def best_bid(self) -> Decimal | None:
        """Highest price someone buys at, or None on an empty side."""
        return self._bids.best_price()

    def best_ask(self) -> Decimal | None:
        """Lowest price someone sells at, or None on an empty side."""
        return self._asks.best_price()

    def bids(self) -> list[Level]:
        """Buy levels, best first, displayed depth and resting orders together."""
        return self._bids.levels()

    def asks(self) -> list[Level]:
        """Sell levels, best first, displayed depth and resting orders together."""
        return self._asks.levels()

    def depth(self, side: Side) -> list[Level]:
        """What is left of the displayed depth of one side, without resting orders, best first."""
        return [(price, quantity) for price, quantity in self._side(side).depth if quantity]

    def depth_at(self, side: Side, price: Decimal) -> Decimal:
        """What is left of the displayed depth at one price."""
        return sum((quantity for level, quantity in self._side(side).depth if level == price), ZERO)

    def resting(self, order_id: int) -> Resting | None:
        """The resting order with this id, or None."""
        return self._orders.get(order_id)

    def available(
        self, side: Side, limit: Decimal | None = None, owner: str = "", self_trade: SelfTrade = SelfTrade.NONE
    ) -> Iterator[Level]:
        """What a taker on `side` would meet, in the order it would trade, without trading.

        Own orders are skipped or end the walk as the self-trade mode asks.
        """
        book = self._side(side.opposite)
        resting = book.resting_best_first()
        order = next(resting, None)
        sells = book.side is Side.SELL
        levels: list[tuple[Decimal | None, Decimal]] = [(price, quantity) for price, quantity in book.depth]
        levels.append((None, ZERO))
        for level_price, level_quantity in levels:
            while order is not None and (
                level_price is None
                or (order.price < level_price if sells else order.price > level_price)
                or (order.price == level_price and order.arrival < book.arrival)
            ):
                if not book.reaches(order.price, limit):
                    return
                if order.owner == owner and self_trade is not SelfTrade.NONE:
                    if self_trade is not SelfTrade.EXPIRE_MAKER:
                        return
                else:
                    yield order.price, order.remaining
                order = next(resting, None)
            if level_price is None:
                return
            if level_quantity:
                if not book.reaches(level_price, limit):
                    return
                yield level_price, level_quantity

    # -- changes -------------------------------------------------------------------------------------------------

    def submit(self, order: Incoming) -> Outcome:
        """Match an incoming order and rest what is left of a GTC limit order.

        Fills happen at the maker's price, best price first. A post-only order that would trade, and a FOK order that
        cannot trade whole, end untouched.
        """
        book = self._side(order.side.opposite)
        outcome = Outcome(leaves=order.quantity)
        if order.post_only:
            best = book.best_price()
            if best is not None and book.reaches(best, order.limit):
                outcome.end = EndReason.WOULD_TAKE
                return outcome
        if order.time_in_force is TimeInForce.FOK and not self._fillable(order):
            outcome.end = EndReason.FOK_UNFILLABLE
            return outcome
        self._take(order, book, outcome)
        if not outcome.leaves or outcome.end is not None:
            return outcome
        if order.limit is None:
            outcome.end = EndReason.NO_LIQUIDITY
        elif order.time_in_force is TimeInForce.GTC:
            self.restore(order.order_id, order.owner, order.side, order.limit, outcome.leaves)
            outcome.rests = True
        else:
            outcome.end = EndReason.IOC_REMAINDER
        return outcome

    def restore(
        self,
        order_id: int,
        owner: str,
        side: Side,
        price: Decimal,
        remaining: Decimal,
        *,
        ahead: Decimal | None = None,
    ) -> None:
        """Put an order on the book behind all others at its price, without matching it.

        `ahead`: its place in the queue when that is known from before (queue model).
        """
        book = self._side(side)
        resting = Resting(order_id, owner, side, price, remaining, self._next_arrival())
        if self._queue_model:
            # All that is shown there, also what was taken in this model: the market has not lost it.
            resting.ahead = book.shown.get(price, ZERO) if ahead is None else ahead
        book.add(resting)
        self._orders[order_id] = resting

    def cancel(self, order_id: int) -> bool:
        """Take an order off the book; False when it is not there."""
        resting = self._orders.pop(order_id, None)
        if resting is None:
            return False
        self._side(resting.side).remove(resting)
        self.version += 1
        return True

    def reduce(self, order_id: int, remaining: Decimal) -> bool:
        """Lower an order's open quantity and keep its place; False when absent or not a reduction above zero."""
        resting = self._orders.get(order_id)
        if resting is None or not ZERO < remaining < resting.remaining:
            return False
        resting.remaining = remaining
        self.version += 1
        return True

    def set_depth(self, bids: Sequence[Level], asks: Sequence[Level]) -> list[Fill]:
        """Replace the displayed depth (best first) and fill the resting orders the market moved onto or through.

        A market that is strictly past an order's price has traded through it: the order fills whole. Depth exactly at
        its price fills it up to the quantity shown there, which is consumed. Fills happen at the order's own price.
        """
        self._check_depth(bids, asks)
        arrival = self._next_arrival()
        for book, levels in ((self._bids, bids), (self._asks, asks)):
            remembers = self._queue_model
            book.depth = [
                [price, book.left_of(price, quantity) if remembers else quantity]
                for price, quantity in levels
                if quantity > 0
            ]
            book.shown = {price: quantity for price, quantity in levels if quantity > 0}
            book.arrival = arrival
        return [*self._meet_depth(self._bids), *self._meet_depth(self._asks)]

    def shown(self, side: Side) -> list[tuple[Decimal, Decimal, Decimal]]:
        """The displayed depth of one side as (price, shown, left), best first."""
        book = self._side(side)
        left = {level[0]: level[1] for level in book.depth}
        prices = sorted(book.shown, reverse=side is Side.BUY)
        return [(price, book.shown[price], left.get(price, ZERO)) for price in prices]

    def remember(self, side: Side, levels: Sequence[tuple[Decimal, Decimal, Decimal]]) -> None:
        """Take up what `shown` told of one side before, without matching anything."""
        book = self._side(side)
        book.shown = {price: shown for price, shown, _ in levels}
        book.depth = [[price, left] for price, _, left in levels]
        book.arrival = self._next_arrival()

    def trade_print(self, price: Decimal, quantity: Decimal, aggressor: Side) -> tuple[list[Fill], Decimal]:
        """A trade seen in the market: fills resting orders at or through `price`, up to `quantity`.

        Returns the fills and the quantity nobody here took. Fills happen at the resting order's own price.
        """
        book = self._side(aggressor.opposite)
        fills: list[Fill] = []
        self.version += 1
        left, queued = quantity, ZERO
        for order in book.resting_best_first():
            if (not left and not queued) or not book.reaches(order.price, price):
                break
            if self._queue_model and order.price != price:
                # The market traded beyond the price: whoever stood there, we and those in front, was filled.
                order.ahead = ZERO
                fills.append(self._fill_resting(book, order, order.remaining, None))
                continue
            if self._queue_model:
                # Two orders at one price stand behind the same queue: what passed the first has passed the second.
                passed = min(max(order.ahead - queued, ZERO), left)
                queued += passed
                left -= passed
                order.ahead = max(order.ahead - queued, ZERO)
                if order.ahead:
                    continue
            traded = min(order.remaining, left)
            if traded:
                left -= traded
                quantity -= traded
                fills.append(self._fill_resting(book, order, traded, None))
        return fills, quantity

    def fill_order(self, order_id: int, quantity: Decimal) -> list[Fill]:
        """Fill one resting order from the market at its own price, up to `quantity`, out of turn."""
        order = self._orders.get(order_id)
        if order is None:
            return []
        self.version += 1
        return [self._fill_resting(self._side(order.side), order, min(quantity, order.remaining), None)]

    # -- inside --------------------------------------------------------------------------------------------------

    @staticmethod
    def _check_depth(bids: Sequence[Level], asks: Sequence[Level]) -> None:
        for levels, descending in ((bids, True), (asks, False)):
            for (first, _), (second, _) in pairwise(levels):
                if first == second or (first > second) is not descending:
                    raise ValueError("levels must be unique and best first")
            if any(price <= 0 or quantity < 0 for price, quantity in levels):
                raise ValueError("prices must be positive and quantities not negative")
        if bids and asks and bids[0][0] >= asks[0][0]:
            raise ValueError("best bid must be below best ask")

    def _fillable(self, order: Incoming) -> bool:
        missing = order.quantity
        for _, quantity in self.available(order.side, order.limit, order.owner, order.self_trade):
            missing -= quantity
            if missing <= 0:
                return True
        return False

    def _take(self, order: Incoming, book: BookSide, outcome: Outcome) -> None:
        while outcome.leaves:
            price = book.best_price()
            if price is None or not book.reaches(price, order.limit):
                return
            queue = book.queues.get(price)
            level = book.depth[0] if book.depth and book.depth[0][0] == price else None
            if queue and (level is None or queue[0].arrival < book.arrival):
                maker = queue[0]
                if maker.owner == order.owner and order.self_trade is not SelfTrade.NONE:
                    if order.self_trade is not SelfTrade.EXPIRE_TAKER:
                        self.cancel(maker.order_id)
                        outcome.expired_makers.append(maker.order_id)
                    if order.self_trade is not SelfTrade.EXPIRE_MAKER:
                        outcome.end = EndReason.SELF_TRADE
                        return
                    continue
                traded = min(outcome.leaves, maker.remaining)
                outcome.fills.append(self._fill_resting(book, maker, traded, order.order_id))
            elif level is not None:
                traded = min(outcome.leaves, level[1])
                level[1] -= traded
                outcome.fills.append(Fill(price, traded, order.side, order.order_id, None))
            else:
                raise AssertionError("best price without liquidity")
            outcome.leaves -= traded
            self.version += 1

    def _fill_resting(self, book: BookSide, maker: Resting, quantity: Decimal, taker_id: int | None) -> Fill:
        maker.remaining -= quantity
        if not maker.remaining:
            book.remove(maker)
            del self._orders[maker.order_id]
        return Fill(maker.price, quantity, book.side.opposite, taker_id, maker.order_id)

    def _meet_depth(self, book: BookSide) -> list[Fill]:
        other = self._side(book.side.opposite)
        fills: list[Fill] = []
        best = other.best_depth_price()
        if best is None:
            return fills
        for order in book.resting_best_first():
            if not book.reaches(order.price, best):
                break
            if self._queue_model:
                fills.extend(self._meet_shown(book, other, order))
                continue
            if order.price != best:
                fills.append(self._fill_resting(book, order, order.remaining, None))
                continue
            traded = min(order.remaining, other.depth[0][1])
            if traded:
                other.depth[0][1] -= traded
                fills.append(self._fill_resting(book, order, traded, None))
        return fills

    def _meet_shown(self, book: BookSide, other: BookSide, order: Resting) -> Iterator[Fill]:
        """Fill a resting order by the levels of the other side that stand on or beyond its price, up to what is left
        of them, at its own price."""
        for level in other.depth:
            if not order.remaining or not other.reaches(level[0], order.price):
                return
            traded = min(order.remaining, level[1])
            if traded:
                level[1] -= traded
                order.ahead = ZERO
                yield self._fill_resting(book, order, traded, None)
