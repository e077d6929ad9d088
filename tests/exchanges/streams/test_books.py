"""A price is as old as its last confirmation; of two writers the later confirmation wins."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection

from exchanges.models import Depth, Quote
from exchanges.quotes import Levels20, Price, store_books, store_quotes
from exchanges.reports import DepthReport
from exchanges.streams.binance import BinanceMarket
from exchanges.streams.books import PINGS_STAND_IN_FOR
from exchanges.streams.talk import UnknownOnce
from execution_project.common import clock
from execution_project.common.clock import ManualClock
from tests.factories import InstrumentFactory

D = Decimal
START = datetime(2026, 11, 22, 12, tzinfo=UTC)
BOOK = DepthReport("BTCUSDT", ((D(60000), D(1)),), ((D(60010), D(2)),))


def test_answered_pings_confirm_an_unchanged_book_for_a_while() -> None:
    async def run() -> None:
        manual = ManualClock(START)
        with clock.using(manual):
            talk = BinanceMarket("ws://127.0.0.1:9/x", {"BTCUSDT"}, unknown=UnknownOnce())
            talk.note_book(BOOK)
            (book,) = talk.confirmed()
            assert book.confirmed_at == START
            manual.advance(timedelta(seconds=10))
            assert talk.confirmed()[0].confirmed_at == START  # time alone confirms nothing
            talk.alive_on = START + timedelta(seconds=9)
            assert talk.confirmed()[0].confirmed_at == START + timedelta(seconds=9)
            talk.alive_on = START + timedelta(hours=1)
            assert talk.confirmed()[0].confirmed_at == START + PINGS_STAND_IN_FOR
            manual.advance(timedelta(hours=1))
            talk.note_book(BOOK)
            assert talk.confirmed()[0].confirmed_at == clock.now()

    asyncio.run(run())


@pytest.mark.django_db
def test_an_older_word_never_takes_the_place_of_a_younger_one() -> None:
    instrument = InstrumentFactory()
    store_books([Levels20(instrument.pk, BOOK.bids, BOOK.asks, START)])
    store_quotes([Price(instrument.pk, D(1), D(2), START - timedelta(seconds=1))])
    quote = Quote.objects.get(instrument=instrument)
    assert (quote.bid, quote.ask, quote.confirmed_at) == (D(60000), D(60010), START)
    store_quotes([Price(instrument.pk, D(1), None, START + timedelta(seconds=1))])
    quote.refresh_from_db()
    assert (quote.bid, quote.ask) == (D(1), None)
    store_books([Levels20(instrument.pk, (), BOOK.asks, START - timedelta(hours=1))])
    depth = Depth.objects.get(instrument=instrument)
    assert (depth.bids, depth.asks) == ([["60000", "1"]], [["60010", "2"]])


@pytest.mark.django_db
def test_a_quote_keeps_the_mid_before_it_for_a_second() -> None:
    instrument = InstrumentFactory()

    def stored(seconds: float, bid: int | None) -> tuple[Decimal | None, float | None]:
        at = START + timedelta(seconds=seconds)
        store_quotes([Price(instrument.pk, None if bid is None else D(bid), D(200), at)])
        quote = Quote.objects.get(instrument=instrument)
        since = None if quote.before_at is None else (quote.before_at - START).total_seconds()
        return quote.before_mid, since

    assert stored(0, 100) == (None, None)
    assert stored(0, 110) == (None, None)  # the same moment is no earlier one
    assert stored(0.5, 120) == (D(155), 0)
    assert stored(1, 130) == (D(155), 0)
    assert stored(1.5, 140) == (D(165), 1)
    assert stored(0.2, 10) == (D(165), 1)  # came late
    assert stored(3, None) == (D(165), 1)
    assert stored(9, 150) == (D(165), 1)  # one side alone has no mid
    assert stored(10, 160) == (D(175), 9)


@pytest.mark.django_db
def test_prices_are_unlogged() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relname IN ('exchanges_quote', 'exchanges_depth')"
            " AND relpersistence = 'u'"
        )
        assert sorted(name for (name,) in cursor.fetchall()) == ["exchanges_depth", "exchanges_quote"]
