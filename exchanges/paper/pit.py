"""One instrument as one paper account meets it: the market's depth, what was taken of it, and the account's orders.

The market is read from ``Depth`` and ``PublicPrint`` of the instrument in mode paper; whoever feeds them
(``exchanges.paper.feed``, a recording) decides which market that is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Max

from exchanges.matching import Book, Fill, Level, Side
from exchanges.models import Account, Depth, Instrument, PaperBook, PaperOrder, PublicPrint
from execution_project.common import clock
from execution_project.common.money import plain

log = logging.getLogger(__name__)

ZERO = Decimal(0)
OPEN = ("open", "partially_filled")
MAX_DEPTH_AGE = timedelta(seconds=2)
"""A book that nobody confirmed since is no market to trade in (docs/paper.md §2)."""
PRINTS_AT_ONCE = 1000
_NEWS = """
SELECT EXISTS (
  SELECT 1
    FROM (SELECT instrument_id, min(cancel_at) AS ends_at FROM exchanges_paperorder
           WHERE account_id = %(account)s AND status = ANY(%(open)s) GROUP BY instrument_id) o
    LEFT JOIN exchanges_paperbook b ON b.account_id = %(account)s AND b.instrument_id = o.instrument_id
    LEFT JOIN exchanges_depth d ON d.instrument_id = o.instrument_id
   WHERE b.id IS NULL OR o.ends_at <= %(now)s
      OR EXISTS (SELECT 1 FROM exchanges_paperorder w
                  WHERE w.account_id = %(account)s AND w.instrument_id = o.instrument_id AND w.waits
                    AND w.status = ANY(%(open)s)
                    AND CASE w.side WHEN 'BUY' THEN b.last_price >= w.stop_price ELSE b.last_price <= w.stop_price END)
      OR EXISTS (SELECT 1 FROM exchanges_publicprint p WHERE p.instrument_id = o.instrument_id AND p.id > b.last_print)
      OR (d.instrument_id IS NOT NULL
          AND (jsonb_path_query_array(b.bids, '$[*][0, 1]') <> jsonb_path_query_array(d.bids, '$[*][0, 1]')
               OR jsonb_path_query_array(b.asks, '$[*][0, 1]') <> jsonb_path_query_array(d.asks, '$[*][0, 1]'))))
"""


def has_news(account: Account) -> bool:
    """Whether there is anything that the account's open orders have not met yet: a public trade, another book, a price
    that own fills brought to a stop, a promised cancel that is due.

    Asked without a lock: what comes meanwhile is met by the next look.
    """
    with connection.cursor() as cursor:
        cursor.execute(_NEWS, {"account": account.pk, "open": list(OPEN), "now": clock.now()})
        return bool(cursor.fetchone()[0])


class Pit:
    """Book and open orders of one account and instrument, for the length of one transaction."""

    def __init__(self, account: Account, instrument: Instrument) -> None:
        self.instrument = instrument
        self._owner = account.name
        row = PaperBook.objects.filter(account=account, instrument=instrument).first()
        self.row = row or PaperBook(account=account, instrument=instrument, last_print=_newest_print(instrument))
        self._stored = None if row is None else self._kept()
        self._depth: Depth | None = None
        self.book = Book(queue_model=True)
        self.book.remember(Side.BUY, _triples(self.row.bids))
        self.book.remember(Side.SELL, _triples(self.row.asks))
        found = PaperOrder.objects.filter(account=account, instrument=instrument, status__in=OPEN)
        self.orders = {order.number: order for order in found.order_by("worked_at", "number")}
        self.touched: set[int] = set()
        for order in self.orders.values():
            order.instrument = instrument
            if not order.waits:
                self.rest(order, order.ahead)

    def _kept(self) -> tuple[list[Any], list[Any], Decimal | None, int]:
        return self.row.bids, self.row.asks, self.row.last_price, self.row.last_print

    def rest(self, order: PaperOrder, ahead: Decimal | None = None) -> None:
        """Put an open order on the book at its price."""
        leaves = order.quantity - order.executed
        self.book.restore(order.number, self._owner, Side(order.side), order.price or ZERO, leaves, ahead=ahead)

    # -- the market ----------------------------------------------------------------------------------------------

    def prints(self) -> Iterator[PublicPrint]:
        """Public trades that were not matched yet, oldest first; each counts as matched from here on.

        While no order is there to meet them only the last one counts, for its price.
        """
        found = PublicPrint.objects.filter(instrument=self.instrument, id__gt=self.row.last_print).order_by("id")
        if not self.orders:
            newest = found.last()
            if newest is not None:
                self.row.last_print, self.row.last_price = newest.id, newest.price
            return
        for seen in found[:PRINTS_AT_ONCE]:
            self.row.last_print = seen.id
            yield seen

    def match_print(self, seen: PublicPrint) -> list[Fill]:
        """Let a public trade meet the resting orders that were there when it happened."""
        later = [order for order in self.working() if order.placed_at > seen.traded_at]
        places = {}
        for order in later:
            resting = self.book.resting(order.number)
            places[order.number] = resting.ahead if resting is not None else ZERO
            self.book.cancel(order.number)
        fills, _ = self.book.trade_print(seen.price, seen.quantity, Side(seen.aggressor))
        for order in later:
            self.rest(order, places[order.number])
        self.row.last_price = seen.price
        return fills

    def match_depth(self) -> list[Fill]:
        """Take up the depth as the feed last told it, when it has changed; the fills of resting orders it reached."""
        depth = Depth.objects.filter(instrument=self.instrument).first()
        self._depth = depth
        if depth is None:
            return []
        bids, asks = _levels(depth.bids), _levels(depth.asks)
        if bids == _displayed(self.book, Side.BUY) and asks == _displayed(self.book, Side.SELL):
            return []
        try:
            fills = self.book.set_depth(bids, asks)
        except ValueError as error:
            log.warning("the book of %s is not used: %s", self.instrument, error)
            return []
        self._follow_quotes(bids, asks)
        return fills

    def _follow_quotes(self, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        """The last price never lies outside the best bid and ask: somebody would have traded there."""
        last = self.row.last_price
        if bids and (last is None or last < bids[0][0]):
            last = bids[0][0]
        if asks and (last is None or last > asks[0][0]):
            last = asks[0][0]
        self.row.last_price = last

    def is_fresh(self, now: datetime) -> bool:
        """Whether the depth was confirmed within ``MAX_DEPTH_AGE`` (our time)."""
        return self._depth is not None and now - self._depth.confirmed_at <= MAX_DEPTH_AGE

    def best(self, side: Side) -> Decimal | None:
        """The price that a taker on ``side`` meets first."""
        return self.book.best_ask() if side is Side.BUY else self.book.best_bid()

    # -- orders --------------------------------------------------------------------------------------------------

    def working(self) -> list[PaperOrder]:
        """Open orders that are on the book, in the order in which they came to it."""
        return [order for order in self.orders.values() if self.book.resting(order.number) is not None]

    def waiting(self) -> list[PaperOrder]:
        """Stop orders whose price has not come, oldest first."""
        return [order for order in self.orders.values() if order.waits]

    def store(self) -> None:
        """Write book, queue positions and the orders that changed."""
        for number, order in self.orders.items():
            resting = self.book.resting(number)
            ahead = ZERO if resting is None else resting.ahead
            if ahead != order.ahead:
                order.ahead = ahead
                self.touched.add(number)
        for number in sorted(self.touched):
            self.orders[number].save()
        self.touched.clear()
        bids, asks = self.book.shown(Side.BUY), self.book.shown(Side.SELL)
        self.row.bids, self.row.asks = _as_json(bids), _as_json(asks)
        if self._kept() != self._stored:
            self.row.save()
            self._stored = self._kept()


def _newest_print(instrument: Instrument) -> int:
    """What was traded before the account looked here for the first time is none of its affair."""
    newest: int | None = PublicPrint.objects.filter(instrument=instrument).aggregate(newest=Max("id"))["newest"]
    return newest or 0


def _levels(rows: Sequence[Sequence[str]]) -> list[Level]:
    return [(Decimal(price), Decimal(quantity)) for price, quantity in rows if Decimal(quantity) > 0]


def _displayed(book: Book, side: Side) -> list[Level]:
    return [(price, shown) for price, shown, _ in book.shown(side)]


def _triples(rows: Sequence[Sequence[str]]) -> list[tuple[Decimal, Decimal, Decimal]]:
    return [(Decimal(price), Decimal(shown), Decimal(left)) for price, shown, left in rows]


def _as_json(levels: Sequence[tuple[Decimal, Decimal, Decimal]]) -> list[Any]:
    return [[plain(price), plain(shown), plain(left)] for price, shown, left in levels]
