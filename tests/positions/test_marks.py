"""Marks: by fresh quotes over the shortest path to the adverse side, by kept minutes for the past, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from execution_project.common import clock
from execution_project.common.clock import ManualClock
from positions.conversion import PairQuote, worth_of
from positions.marks import keep_minute, rates_at, thin_marks
from positions.models import Mark
from tests.factories import AccountFactory, HoldingFactory, InstrumentFactory, QuoteFactory

D = Decimal
NOW = datetime(2026, 5, 1, 12, 0, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def pair(base: str, quote: str, bid: str, ask: str, exchange: str = "binance", age: int = 1) -> PairQuote:
    return PairQuote(exchange, base + quote, base, quote, D(bid), D(ask), NOW - age * SECOND)


def test_an_asset_is_sold_at_the_bid_or_buys_the_other_at_the_ask() -> None:
    pairs = [pair("BTC", "USDT", "60000", "60010"), pair("USDT", "TRY", "39", "40")]
    bids = worth_of({"BTC", "TRY", "USDT"}, "USDT", pairs, exchange="binance")
    assert {asset: worth.price for asset, worth in bids.items()} == {"BTC": 60000, "TRY": D("0.025"), "USDT": 1}
    assert (bids["TRY"].path, bids["USDT"].path) == (("binance:USDTTRY:ask",), ())
    mids = worth_of({"BTC", "TRY"}, "USDT", pairs, exchange="binance", side="mid")
    assert (mids["BTC"].price, mids["TRY"].price) == (60005, D("0.025316455696202531"))  # 1 / 39.5, rounded down


def test_the_shortest_path_is_taken_and_its_oldest_quote_tells_its_age() -> None:
    pairs = [
        pair("XYZ", "BTC", "0.001", "0.0011", age=1),
        pair("BTC", "TRY", "2400000", "2400100", age=9),
        pair("USDT", "TRY", "39", "40", age=3),
    ]
    long = worth_of({"XYZ"}, "USDT", pairs, exchange="binance")["XYZ"]
    assert long.path == ("binance:XYZBTC:bid", "binance:BTCTRY:bid", "binance:USDTTRY:ask")
    assert (long.price, long.at) == (60, NOW - 9 * SECOND)  # 0.001 × 2 400 000 / 40
    short = worth_of({"XYZ"}, "USDT", [*pairs, pair("BTC", "USDT", "59000", "59001")], exchange="binance")["XYZ"]
    assert (short.price, short.path) == (59, ("binance:XYZBTC:bid", "binance:BTCUSDT:bid"))


def test_four_pairs_are_too_many() -> None:
    chain = [pair("A", "B", "1", "2"), pair("B", "C", "1", "2"), pair("C", "D", "1", "2"), pair("D", "USDT", "1", "2")]
    assert set(worth_of({"A", "B", "C", "D"}, "USDT", chain, exchange="binance")) == {"B", "C", "D"}


def test_pairs_of_the_same_exchange_go_before_shorter_ways_over_another() -> None:
    pairs = [
        pair("BTC", "TRY", "2000000", "2000001", "btcturk"),
        pair("USDT", "TRY", "39", "40", "btcturk"),
        pair("BTC", "USDT", "60000", "60010", "binance"),
    ]
    assert worth_of({"BTC"}, "USDT", pairs, exchange="btcturk")["BTC"].price == 50000
    assert worth_of({"BTC"}, "USDT", pairs, exchange="binance")["BTC"].price == 60000
    # Without its own USDTTRY the last hop, and no more, goes over the other exchange.
    mixed = worth_of({"ETH"}, "USDT", [pair("ETH", "BTC", "0.05", "0.06", "btcturk"), *pairs[2:]], exchange="btcturk")
    assert mixed["ETH"].path == ("btcturk:ETHBTC:bid", "binance:BTCUSDT:bid")


@pytest.fixture
def now() -> Iterator[ManualClock]:
    hand = ManualClock(NOW)
    with clock.using(hand):
        yield hand


def quote(base: str, quote_asset: str, bid: str, ask: str, *, exchange: str = "binance", age: float = 1) -> None:
    instrument = InstrumentFactory(base_asset=base, quote_asset=quote_asset, exchange=exchange)
    at = clock.now() - timedelta(seconds=age)
    row = QuoteFactory(instrument=instrument)
    type(row).objects.filter(pk=row.pk).update(bid=D(bid), ask=D(ask), confirmed_at=at)


def price(asset: str, moment: datetime | None = None, **how: str) -> Decimal | None:
    found = rates_at("sandbox", how.pop("exchange", "binance"), {asset}, moment or clock.now(), **how)  # type: ignore[arg-type]  # side
    return found[asset].price if asset in found else None


@pytest.mark.django_db
def test_a_stale_quote_is_a_missing_mark_and_try_goes_another_way_or_none(now: ManualClock) -> None:
    quote("USDT", "TRY", "39", "40", age=15)
    assert price("TRY") == D("0.025")
    now.advance(timedelta(milliseconds=1))
    assert price("TRY") is None
    quote("BTC", "TRY", "2400000", "2500000")
    quote("BTC", "USDT", "60000", "60010")
    assert price("TRY") == D("0.024")  # 60 000 / 2 500 000: buys BTC at the ask, sells it at the bid
    assert price("USDT") == 1


@pytest.mark.django_db
@pytest.mark.parametrize(("bid", "ask"), [("0", "1"), ("2", "2"), ("3", "2")])
@pytest.mark.usefixtures("now")
def test_a_quote_that_is_no_market_is_a_missing_mark(bid: str, ask: str) -> None:
    quote("BTC", "USDT", bid, ask)
    assert price("BTC") is None


@pytest.mark.django_db
@pytest.mark.usefixtures("now")
def test_quotes_of_another_mode_or_of_the_future_say_nothing() -> None:
    quote("BTC", "USDT", "60000", "60010", age=-6)
    assert price("BTC") is None
    quote("BTC", "USDT", "60000", "60010")
    assert price("BTC") == 60000
    assert rates_at("live", "binance", {"BTC"}, clock.now()) == {}


@pytest.mark.django_db
def test_the_past_is_marked_by_the_last_minute_before_it_within_ten_minutes(now: ManualClock) -> None:
    HoldingFactory(account=AccountFactory(), asset="SOL")
    quote("SOL", "USDT", "100", "102")
    assert keep_minute() == 2  # SOL, and USDT itself; the other bridges have no price here
    first = now.now()
    now.advance(timedelta(minutes=1))
    quote("SOL", "USDT", "200", "202")
    keep_minute()
    now.advance(timedelta(minutes=30))
    assert price("SOL", first + 59 * SECOND) == 100
    assert price("SOL", first + 59 * SECOND, side="mid") == 101
    assert price("SOL", first + 60 * SECOND) == 200
    assert price("SOL", first - SECOND) is None
    assert price("SOL", first + timedelta(minutes=10, seconds=59)) == 200
    assert price("SOL", first + timedelta(minutes=11)) is None
    found = rates_at("sandbox", "binance", {"SOL"}, first + 10 * SECOND)["SOL"]
    assert (found.source, found.age, found.path) == ("history", 11 * SECOND, ("binance:SOLUSDT:bid",))


@pytest.mark.django_db
def test_the_past_of_another_exchange_stands_in_and_never_goes_before_the_own(now: ManualClock) -> None:
    values = {"mode": "sandbox", "asset": "SOL", "currency": "USDT", "quoted_at": now.now(), "mid": D(1)}
    Mark.objects.create(exchange="binance", minute=now.now(), at=now.now(), bid=D(7), **values)
    moment = now.now() + timedelta(minutes=9)
    assert price("SOL", moment, exchange="btcturk") == 7
    earlier = now.now() - 30 * SECOND
    Mark.objects.create(exchange="btcturk", minute=earlier, at=earlier, bid=D(8), **values)
    assert price("SOL", moment, exchange="btcturk") == 8


@pytest.mark.django_db
def test_a_moment_ago_is_marked_by_the_quote_of_now_within_its_age(now: ManualClock) -> None:
    quote("SOL", "USDT", "100", "102", age=0)
    assert price("SOL", now.now() - 15 * SECOND) == 100
    assert price("SOL", now.now() - 16 * SECOND) is None


@pytest.mark.django_db
def test_a_minute_is_kept_once_and_old_ones_are_thinned_to_one_an_hour(
    now: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    AccountFactory()
    quote("BTC", "USDT", "60000", "60010")
    assert keep_minute() == 2
    assert keep_minute() == 0
    now.advance(timedelta(minutes=1))
    quote("BTC", "USDT", "60000", "60010")
    assert keep_minute() == 2
    now.advance(timedelta(days=399))
    assert thin_marks() == 0
    now.advance(timedelta(days=2))
    monkeypatch.setattr("positions.marks.PRUNE_BATCH", 1)
    assert [thin_marks() for _ in range(3)] == [1, 1, 0], "a batch at a time"
    assert set(Mark.objects.values_list("minute__minute", flat=True)) == {0}


@pytest.mark.django_db
@pytest.mark.usefixtures("now")
def test_what_has_no_mark_is_not_kept() -> None:
    HoldingFactory(account=AccountFactory(), asset="DUST")
    assert keep_minute() == 1
    assert [mark.asset for mark in Mark.objects.all()] == ["USDT"]
