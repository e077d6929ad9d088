"""The market that paper accounts trade in: that of another mode, as the engine knows it already.

``EXEC_PAPER_MARKET`` names the mode (``sandbox``: the simulator or a test network; ``live``: the exchange itself). Its
books and quotes are written for the paper instruments too (``exchanges.quotes``), public trades through
``note_prints``. Nothing is asked anywhere for a paper account, so it needs no key.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings

from exchanges.models import Account, Mode, PaperOrder, PublicPrint, Quote
from exchanges.paper.engine import floor_of
from exchanges.paper.pit import OPEN, has_news
from exchanges.paper.reading import order_report, trade_report
from exchanges.quotes import Price, paper_twins, store_quotes
from exchanges.reports import Report
from execution_project.common import clock

PRINTS_KEPT = timedelta(hours=1)
"""Open orders meet what is new twice a second and a recorder looks every second; nobody looks further back."""


@dataclass(frozen=True, slots=True)
class Print:
    """A public trade of an instrument (by id): price in quote, quantity in base, and the side that took.

    ``trade_id``: the exchange's, None where it has none; what comes again under one id is one trade.
    """

    instrument_id: int
    price: Decimal
    quantity: Decimal
    aggressor: str
    traded_at: datetime
    trade_id: str | None = None


def note_prints(prints: Iterable[Print]) -> int:
    """Keep public trades for the paper instruments that their market feeds, in the order given; how many those are.

    Safe to repeat for trades that have an id.
    """
    given = list(prints)
    twins = paper_twins([each.instrument_id for each in given])
    rows = [
        PublicPrint(
            instrument_id=twins[each.instrument_id],
            trade_id=each.trade_id,
            price=each.price,
            quantity=each.quantity,
            aggressor=each.aggressor,
            traded_at=each.traded_at,
        )
        for each in given
        if each.instrument_id in twins
    ]
    PublicPrint.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def prune_prints() -> int:
    """Drop public trades that everybody has met who will; how many."""
    return PublicPrint.objects.filter(traded_at__lt=clock.now() - PRINTS_KEPT).delete()[0]


def mirror_quotes(exchange: str) -> int:
    """Give the paper instruments the quotes that their market has now, as old as they are there; how many."""
    source = Quote.objects.filter(instrument__exchange=exchange, instrument__mode=settings.EXEC_PAPER_MARKET)
    rows = list(source)
    twins = paper_twins([row.instrument_id for row in rows])
    fed = [row for row in rows if row.instrument_id in twins]
    store_quotes(Price(twins[row.instrument_id], row.bid, row.ask, row.confirmed_at) for row in fed)
    return len(fed)


def accounts_to_match() -> list[Account]:
    """Paper accounts with an open order."""
    with_orders = PaperOrder.objects.filter(status__in=OPEN).values("account")
    return list(Account.objects.filter(mode=Mode.PAPER, pk__in=with_orders).order_by("pk"))


def what_the_market_did(account: Account) -> tuple[Report, ...]:
    """Let the account's open orders meet the market of now; the orders that moved, with their trades."""
    if not has_news(account):
        return ()
    with floor_of(account) as floor:
        floor.catch_up()
    moved = [order for order in floor.orders() if order.updated_at == floor.now]
    return (
        *(order_report(order, "paper.market") for order in moved),
        *(trade_report(trade) for trade in floor.new_trades),
    )
