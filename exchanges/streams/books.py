"""What a market connection knows of books, and since when it is certain of it.

A price is as old as its last confirmation, not as its last change: a book that came now, or one that came before and a
ping that was answered since, for had it changed we would have heard before the answer. But a feed may stall behind a
living connection, so pings stand in for a book's own messages for a limited time only; then polling takes over.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from exchanges.reports import DepthReport, PublicTrade
from exchanges.streams.talk import Talk
from execution_project.common import clock

PINGS_STAND_IN_FOR = timedelta(seconds=30)
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Book:
    """One instrument's book and when the exchange sent it (as heard here)."""

    depth: DepthReport
    heard_on: datetime


@dataclass(frozen=True, slots=True)
class ConfirmedBook:
    """A book and when it was last certain to be the exchange's."""

    depth: DepthReport
    confirmed_at: datetime


EmitTrade = Callable[[PublicTrade], None]


def into_the_void(trade: PublicTrade) -> None:
    """For whoever wants no trades."""


class BookTalk(Talk):
    """A market conversation; public trades are handed to ``emit`` as they come."""

    def __init__(self, url: str, *, ipv4_only: bool = False, emit: EmitTrade = into_the_void) -> None:
        super().__init__(url, ipv4_only=ipv4_only)
        self.books: dict[str, Book] = {}
        self._emit = emit

    @abstractmethod
    async def want(self, symbols: Collection[str], traded: Collection[str] = ()) -> None:
        """Change of which instruments the books are told, and of which the trades. Raises ``Refused``."""

    def note_trade(self, trade: PublicTrade) -> None:
        """Take a trade. No later than now: an exchange's clock that is ahead would have it fill what came after it."""
        self.event_on = heard_on = clock.now()
        self._emit(replace(trade, traded_at=min(trade.traded_at, heard_on)))

    def note_book(self, depth: DepthReport) -> None:
        """Take a book; one that is crossed is no price, and takes the place of what was known."""
        if depth.bids and depth.asks and depth.bids[0][0] >= depth.asks[0][0]:
            log.warning("the book of %s is crossed and is not used", depth.symbol)
            self.books.pop(depth.symbol, None)
            return
        self.event_on = clock.now()
        self.books[depth.symbol] = Book(depth, self.event_on)

    def confirmed(self) -> list[ConfirmedBook]:
        """Every book with its last confirmation."""
        found = []
        for book in self.books.values():
            at = book.heard_on
            if self.alive_on is not None:
                at = max(at, min(self.alive_on, at + PINGS_STAND_IN_FOR))
            found.append(ConfirmedBook(book.depth, at))
        return found
