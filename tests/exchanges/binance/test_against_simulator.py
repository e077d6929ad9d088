"""The adapter against the exchange simulator in its own process, over real sockets."""

from __future__ import annotations

import dataclasses
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from exchanges.adapters import CancelInstruction, Credentials, PlaceInstruction
from exchanges.binance.adapter import BinanceAdapter
from exchanges.binance.limits import usage_headers
from exchanges.reports import OrderReport, Outcome, ReadFailed, ReportedStatus, TradeReport
from exchanges.reports import OutcomeKind as Kind
from tests.exchanges.times import now

ROOT = Path(__file__).resolve().parents[3]
CREDENTIALS = Credentials("adapter-test-key", "adapter-test-secret")
BTC = "BTCUSDT"
ids = (f"ex{number:034d}" for number in count())


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("simulator")
    command = ["-m", "exchanges.simulator", "--port", "0", "--data-dir", str(folder), "--frozen"]
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip().removeprefix("simulator listening on ")
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


@pytest.fixture
def control(url: str) -> Any:
    def call(method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
        connection.request(method, f"/sim/{path}", json.dumps(body) if body is not None else None)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        assert response.status == 200, content
        return json.loads(content)

    call("POST", "reset")
    call("POST", "market/freeze")
    call(
        "POST",
        "accounts",
        {
            "name": "main",
            "api_key": CREDENTIALS.key,
            "api_secret": CREDENTIALS.secret,
            "balances": {"USDT": "100000", "BTC": "1"},
        },
    )
    call("POST", "market/BTCUSDT", {"bids": [["59999.00", "1"]], "asks": [["60000.00", "0.3"], ["60010.00", "5"]]})
    return call


@pytest.fixture
def adapter(url: str, control: Any) -> Iterator[BinanceAdapter]:
    made = BinanceAdapter(CREDENTIALS, url)
    yield made
    made.close()


def limit(price: str, quantity: str = "0.5", side: str = "BUY", tif: str = "GTC") -> PlaceInstruction:
    return PlaceInstruction(
        BTC, side, "LIMIT", next(ids), quantity=Decimal(quantity), price=Decimal(price), time_in_force=tif
    )


def place(adapter: BinanceAdapter, instruction: PlaceInstruction, stamp_ms: int | None = None) -> Outcome:
    return adapter.send(adapter.prepare_place(instruction, stamp_ms or now(), 5000), time.monotonic() + 5)


def cancel(adapter: BinanceAdapter, instruction: PlaceInstruction) -> Outcome:
    request = adapter.prepare_cancel(CancelInstruction(BTC, instruction.client_order_id), now(), 5000)
    return adapter.send(request, time.monotonic() + 5)


def query(adapter: BinanceAdapter, client_order_id: str) -> OrderReport | None:
    return adapter.query_order(BTC, client_order_id=client_order_id, exchange_order_id=None, now_ms=now())


def order_of(outcome: Outcome) -> OrderReport:
    assert outcome.kind is Kind.ACCEPTED, outcome
    report = outcome.reports[0]
    assert isinstance(report, OrderReport)
    return report


def facts(trades: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """What the two descriptions of a trade, in a placement answer and in myTrades, must agree on."""
    return [
        (each.trade_id, each.exchange_order_id, each.side, each.price, each.quantity, each.quote_quantity, each.fees)
        for each in trades
    ]


def test_market_order_and_its_trades(adapter: BinanceAdapter) -> None:
    outcome = place(adapter, PlaceInstruction(BTC, "BUY", "MARKET", next(ids), quantity=Decimal("0.5")))
    order = order_of(outcome)
    trades = outcome.reports[1:]
    assert order.status is ReportedStatus.FILLED
    assert order.price is None
    assert [trade.quantity for trade in trades if isinstance(trade, TradeReport)] == [Decimal("0.3"), Decimal("0.2")]
    assert order.cumulative_quote == Decimal("30002")
    read = adapter.order_trades(BTC, order.exchange_order_id, now_ms=now())
    assert facts(read) == facts(trades)
    assert usage_headers(outcome.evidence).order_count_10s is not None


def test_market_order_by_quote(adapter: BinanceAdapter) -> None:
    order = order_of(place(adapter, PlaceInstruction(BTC, "BUY", "MARKET", next(ids), quote_quantity=Decimal("600"))))
    assert (order.status, order.cumulative_quantity) == (ReportedStatus.FILLED, Decimal("0.01"))


def test_resting_order_is_filled_in_part_and_canceled(adapter: BinanceAdapter, control: Any) -> None:
    instruction = limit("59000.00")
    order = order_of(place(adapter, instruction))
    assert order.status is ReportedStatus.OPEN
    assert [each.client_order_id for each in adapter.open_orders(BTC, now_ms=now())] == [instruction.client_order_id]

    control("POST", "market/BTCUSDT/trade", {"price": "59000.00", "quantity": "0.2", "aggressor": "SELL"})
    seen = query(adapter, instruction.client_order_id)
    assert seen is not None
    assert (seen.status, seen.cumulative_quantity) == (ReportedStatus.PARTIALLY_FILLED, Decimal("0.2"))

    ended = order_of(cancel(adapter, instruction))
    assert (ended.status, ended.client_order_id) == (ReportedStatus.CANCELED, instruction.client_order_id)
    assert ended.cumulative_quantity == Decimal("0.2")
    (trade,) = adapter.order_trades(BTC, order.exchange_order_id, now_ms=now())
    assert (trade.is_maker, trade.price) == (True, Decimal("59000"))
    assert adapter.open_orders(None, now_ms=now()) == ()
    assert cancel(adapter, instruction).reason == "not_open"
    again = query(adapter, instruction.client_order_id)
    assert again is not None
    assert again.status is ReportedStatus.CANCELED


def test_trades_by_cursor(adapter: BinanceAdapter) -> None:
    order_of(place(adapter, PlaceInstruction(BTC, "BUY", "MARKET", next(ids), quantity=Decimal("0.5"))))
    order_of(place(adapter, PlaceInstruction(BTC, "SELL", "MARKET", next(ids), quantity=Decimal("0.1"))))
    everything = adapter.trades_from(BTC, "0", now_ms=now())
    assert len(everything) == 3
    assert [trade.side for trade in everything] == ["BUY", "BUY", "SELL"]
    assert adapter.trades_from(BTC, everything[1].trade_id, now_ms=now()) == everything[1:]
    assert adapter.trades_from(BTC, None, now_ms=now()) == everything


def test_fill_or_kill_that_expires_is_accepted_without_trades(adapter: BinanceAdapter) -> None:
    outcome = place(adapter, limit("60000.00", "0.5", tif="FOK"))
    assert order_of(outcome).status is ReportedStatus.EXPIRED
    assert outcome.reports[1:] == ()


def test_balances_move_and_lock(adapter: BinanceAdapter) -> None:
    order_of(place(adapter, limit("50000.00", "1")))
    found = {each.asset: (each.free, each.locked) for each in adapter.balances(now_ms=now())}
    assert found == {"BTC": (Decimal(1), Decimal(0)), "USDT": (Decimal(50_000), Decimal(50_000))}


@pytest.mark.parametrize(
    ("changes", "kind", "reason"),
    [
        ({"quantity": Decimal("1.9")}, Kind.REFUSED, "insufficient_funds"),
        ({"price": Decimal("60000.001")}, Kind.REFUSED, "filter"),
        ({"quantity": Decimal("0.00001")}, Kind.REFUSED, "filter"),
        ({"quantity": Decimal("0.000000001")}, Kind.REFUSED, "precision"),
        ({"symbol": "NOSUCH"}, Kind.REFUSED, "symbol"),
        ({"side": "HOLD"}, Kind.REFUSED, "bad_request"),
    ],
)
def test_refusals(adapter: BinanceAdapter, changes: dict[str, Any], kind: Kind, reason: str) -> None:
    outcome = place(adapter, dataclasses.replace(limit("59500.00"), **changes))
    assert (outcome.kind, outcome.reason) == (kind, reason), outcome


def test_post_only_that_would_match(adapter: BinanceAdapter) -> None:
    maker = dataclasses.replace(limit("60000.00"), type="LIMIT_MAKER", time_in_force=None)
    outcome = place(adapter, maker)
    assert (outcome.kind, outcome.reason) == (Kind.REFUSED, "would_match")


def test_duplicate_of_an_open_order_is_not_a_rejection(adapter: BinanceAdapter) -> None:
    instruction = limit("50000.00")
    order_of(place(adapter, instruction))
    outcome = place(adapter, instruction)
    assert (outcome.kind, outcome.reason) == (Kind.UNKNOWN, "duplicate")
    assert query(adapter, instruction.client_order_id) is not None


def test_stale_stamp_is_refused_by_the_clock(adapter: BinanceAdapter) -> None:
    instruction = limit("50000.00")
    outcome = place(adapter, instruction, now() - 6000)
    assert outcome.kind is Kind.CLOCK
    assert query(adapter, instruction.client_order_id) is None


def test_wrong_keys(url: str, adapter: BinanceAdapter) -> None:
    for credentials, reason in (
        (Credentials("unknown-key", CREDENTIALS.secret), ("key_refused", "key_format")),
        (Credentials(CREDENTIALS.key, "wrong-secret"), ("signature",)),
    ):
        stranger = BinanceAdapter(credentials, url)
        with pytest.raises(ReadFailed) as caught:
            stranger.balances(now_ms=now())
        stranger.close()
        assert caught.value.outcome.kind is Kind.AUTH
        assert caught.value.outcome.reason in reason


def test_instruments_quotes_and_clock(adapter: BinanceAdapter) -> None:
    (instrument,) = adapter.instruments((BTC,))
    assert (instrument.base_asset, instrument.quote_asset, instrument.is_trading) == ("BTC", "USDT", True)
    assert instrument.filters["PRICE_FILTER"]["tickSize"].startswith("0.01")
    assert {each.symbol for each in adapter.instruments()} > {BTC}
    (quote,) = adapter.quotes((BTC,))
    assert (quote.bid, quote.ask) == (Decimal("59999"), Decimal("60000"))
    sample = adapter.server_time()
    assert abs(sample.offset_ms) <= sample.round_trip_ms + 5
    with pytest.raises(ReadFailed) as caught:
        adapter.quotes(("NOSUCH",))
    assert caught.value.outcome.reason == "symbol"


@pytest.mark.parametrize(
    ("fault", "reason", "executed"),
    [
        ({"kind": "drop_after"}, "connection_lost", True),
        ({"kind": "drop_after", "reset": True}, "connection_lost", True),
        ({"kind": "drop_before"}, "connection_lost", False),
        ({"kind": "status", "status": 503, "code": -1008, "execute": True}, "server_busy", True),
        ({"kind": "status", "status": 504, "code": -1007}, "backend_timeout", False),
        ({"kind": "garbage"}, "unparsable", True),
    ],
)
def test_lost_answers_are_unknown_and_a_query_tells(
    adapter: BinanceAdapter, control: Any, fault: dict[str, Any], reason: str, executed: bool
) -> None:
    control("POST", "faults", {"call": "POST /api/v3/order", **fault})
    instruction = limit("50000.00")
    outcome = place(adapter, instruction)
    assert (outcome.kind, outcome.reason, outcome.reports) == (Kind.UNKNOWN, reason, ())
    assert (query(adapter, instruction.client_order_id) is not None) is executed
    control("DELETE", "faults")


def test_limits_hold_back_with_the_given_time(adapter: BinanceAdapter, control: Any) -> None:
    control("POST", "faults", {"kind": "rate_limit", "retry_after": 7})
    outcome = place(adapter, limit("50000.00"))
    assert (outcome.kind, outcome.throttled_for_ms, outcome.banned) == (Kind.THROTTLED, 7000, False)
    control("POST", "faults", {"kind": "ban", "retry_after": 120})
    outcome = place(adapter, limit("50000.00"))
    assert (outcome.kind, outcome.banned) == (Kind.THROTTLED, True)
    control("DELETE", "faults")
