"""Folding, ingest in pages, and one more fill and GET /api/exec/positions on a growing history; floor: bare inserts.

``BENCH_BOOKS`` takes smaller sizes: fills folded, trades ingested, and the histories, e.g. ``1000,500,100/200/400``.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db import connection
from django.test import Client

from exchanges.models import Account, Instrument
from exchanges.reports import Fee, TradeReport
from execution_project.common import ids
from execution_project.common.api_keys import create_api_key
from execution_project.common.locking import ordered
from positions.booking import Booking, book_trades
from positions.costing import InventoryState, Move, moves_of_fill
from positions.models import Fill, Inventory, LedgerEntry, PostingKind
from positions.posting import Movement, post
from tests.bench.frame import Bench, Sample, interleave, table
from tests.factories import BY, AccountFactory, InstrumentFactory, trade_report

SIZES = "1000000,100000,1000/100000/1000000"
PAGE = 1000
ASKED = 30
START = datetime(2026, 1, 1, tzinfo=UTC)
HISTORY = """
WITH numbers AS (SELECT generate_series(%(first)s, %(last)s) AS n), made AS (
  INSERT INTO positions_fill (id, account_id, instrument_id, exchange_order_id, client_order_id, trade_id, side, price,
    quantity, quote_quantity, fees, traded_at, booked_at, source)
  SELECT gen_random_uuid(), %(account)s, %(pair)s, n, 'c', n, 'BUY', 100, 1, 100, '[]', %(start)s + n * interval '1 ms',
    now(), 'bench' FROM numbers RETURNING id, trade_id, traded_at)
INSERT INTO positions_ledgerentry (account_id, asset, book, amount, kind, fill_id, reference, effective_at, posted_at)
SELECT %(account)s, asset, book, amount, 'fill', id, trade_id, traded_at, now() FROM made, (VALUES
  ('BTC', 'exchange', 1), ('BTC', 'trading', -1), ('USDT', 'exchange', -100), ('USDT', 'trading', 100)
) AS legs (asset, book, amount)
"""


def trade(number: int, at: datetime) -> TradeReport:
    """A buy, or every third time a sale, with a fee in the quote asset."""
    side = "SELL" if number % 3 == 0 else "BUY"
    return trade_report(str(number), "0.01", "60000", fees=(Fee("USDT", Decimal("0.6")),), side=side, traded_at=at)


def fold(count: int) -> float:
    """Fills per second through the whole arithmetic of holdings: moves, average cost, realised profit."""
    states = {"BTC": InventoryState(), "USDT": InventoryState(), "BNB": InventoryState()}
    for asset, state in states.items():
        state.apply(Move(asset, Decimal(10**9), Decimal(10**9), "posting", explains=True), None)
    rates = {"BNB": Decimal("600.12")}
    fee = (Fee("BNB", Decimal("0.00001234")),)
    began = time.perf_counter()
    for number in range(count):
        side, size = ("SELL" if number % 3 == 0 else "BUY"), Decimal(number % 997 + 1).scaleb(-5)
        moves = moves_of_fill(side, "BTC", "USDT", size, size * (60000 + number % 101), fee, rates, "USDT")
        for move in moves:
            states[move.asset].apply(move, number % 2 or None)
    return count / (time.perf_counter() - began)


def ingest(account: Account, pair: Instrument, count: int, first: int) -> Sample:
    """Trades booked in pages, as reconciliation brings them."""
    began, latencies = time.perf_counter(), []
    for start in range(first, first + count, PAGE):
        numbers = range(start, min(start + PAGE, first + count))
        page = [trade(number, START + timedelta(milliseconds=number)) for number in numbers]
        turn = time.perf_counter()
        with ordered() as locks:
            book_trades(locks, account, [Booking(report, pair, None, None, "c") for report in page])
        latencies += [(time.perf_counter() - turn) / len(page)] * len(page)
    return Sample(latencies, time.perf_counter() - began)


def bare(account: Account, pair: Instrument, count: int) -> Sample:
    """The floor of an ingest: the same rows of fills and their six legs, and nothing else."""
    began, latencies = time.perf_counter(), []
    for start in range(0, count, PAGE):
        numbers = range(start, min(start + PAGE, count))
        turn = time.perf_counter()
        with ordered():
            fills = Fill.objects.bulk_create(
                Fill(
                    id=ids.uuid7(),
                    account=account,
                    instrument=pair,
                    exchange_order_id="floor",
                    client_order_id="c",
                    trade_id=ids.uuid7().hex,
                    side="BUY",
                    price=60000,
                    quantity=1,
                    quote_quantity=60000,
                    traded_at=START,
                    booked_at=START,
                    source="floor",
                )
                for _ in numbers
            )
            LedgerEntry.objects.bulk_create(
                LedgerEntry(
                    account=account,
                    asset="BTC",
                    book="exchange",
                    amount=amount,
                    kind="fill",
                    fill=fill,
                    reference="floor",
                    effective_at=START,
                    posted_at=START,
                )
                for fill in fills
                for amount in (1, -1, 2, -2, 3, -3)
            )
        latencies += [(time.perf_counter() - turn) / len(numbers)] * len(numbers)
    return Sample(latencies, time.perf_counter() - began)


def fresh() -> tuple[Account, Instrument]:
    """An account with money, and a pair."""
    account, pair = AccountFactory(), InstrumentFactory()
    with ordered() as locks:
        post(
            locks, account, [Movement(PostingKind.DEPOSIT, "USDT", Decimal(10**12), "bench", effective_at=START)], by=BY
        )
    return account, pair


def grow(account: Account, pair: Instrument, first: int, last: int) -> None:
    """Past fills as bare facts, as if they had been folded; then the statistics that a planner needs."""
    values = {"account": account.pk, "pair": pair.pk, "start": START}
    with connection.cursor() as cursor:
        for start in range(first, last + 1, 50_000):
            cursor.execute(HISTORY, {**values, "first": start, "last": min(last, start + 49_999)})
        cursor.execute("ANALYZE")
    Inventory.objects.filter(account=account).update(fact_count=last)


def one_more(account: Account, pair: Instrument, number: int) -> Sample:
    """Single fills, one transaction each."""
    latencies = []
    for step in range(ASKED):
        report = trade(number + step, START + timedelta(milliseconds=number + step))
        turn = time.perf_counter()
        with ordered() as locks:
            book_trades(locks, account, [Booking(report, pair, None, None, "c")])
        latencies.append(time.perf_counter() - turn)
    return Sample(latencies, sum(latencies))


def positions(key: str) -> Sample:
    """GET /api/exec/positions, in this process."""
    client, latencies = Client(SERVER_NAME="127.0.0.1", headers={"Authorization": f"Bearer {key}"}), []
    for _ in range(ASKED):
        turn = time.perf_counter()
        answer = client.get("/api/exec/positions")
        latencies.append(time.perf_counter() - turn)
        if answer.status_code != 200:
            raise RuntimeError(f"not answered: {answer.status_code} {answer.content!r}")
    return Sample(latencies, sum(latencies))


def run(bench: Bench, rounds: int) -> None:
    """Measure and print."""
    folded, ingested, histories = os.environ.get("BENCH_BOOKS", SIZES).split(",")
    rate = fold(int(folded))
    print(f"fold of {int(folded):,} fills with a fee in BNB: {rate:,.0f} per second\n")
    account, pair = fresh()
    share = max(1, int(ingested) // rounds)
    first = iter(range(1, 10**12, share))
    figures = interleave(
        rounds,
        {
            "trades booked in pages": lambda: ingest(account, pair, share, next(first)),
            "bare rows": lambda: bare(account, pair, share),
        },
    )
    booked, floor = figures["trades booked in pages"], figures["bare rows"]
    rows = [[name, f"{it.acts:,}", f"{it.rate:,.0f}", f"{it.p50:.3f}"] for name, it in figures.items()]
    table(["ingest", "trades", "per second", "ms each"], [*rows, ["ratio", "", f"{booked.rate / floor.rate:.2f}", ""]])
    _, key = create_api_key("bench", ["read"], by=BY, requests_per_second=1_000_000)
    account, pair = fresh()
    ingest(account, pair, 10, 1)
    rows, past = [], 11
    for size in (int(text) for text in histories.split("/")):
        grow(account, pair, past, size)
        past = size + 1
        one, got = one_more(account, pair, past), positions(key)
        past += ASKED
        rows.append([f"{size:,}", f"{one.percentile(50) * 1000:.2f}", f"{got.percentile(50) * 1000:.2f}"])
    print()
    table(["past fills", "one more fill, p50 ms", "GET positions, p50 ms"], rows)
