"""Private and market streams against the simulator: what they bring, what they survive, what they never say."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from exchanges.credentials import credentials_of, seal_into
from exchanges.models import Account, Depth, Quote, StreamState
from exchanges.reports import ReadFailed
from exchanges.streams.leading import LEADER_LOCK
from execution_project.stream_hints import handlers
from orders.models import Order
from positions.models import Fill
from tests.engines import Engine, drain, make_engine
from tests.exchanges.streams.fleets import Heard, RunningFleet, all_of, await_connected, give_stream, short, state_of
from tests.simulators import Simulator
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e

SUBMITS = ("submit-binance", "submit-btcturk")
PRICES = {"binance": "50000.00", "btcturk": "50000"}
TRADE_EVENT = {"binance": "executionReport", "btcturk": "423"}


@pytest.fixture(params=["binance", "btcturk"])
def engine(request: Any, transactional_db: None, simulator: Simulator) -> Engine:
    """A seeded engine of either exchange whose account has a stream."""
    made = make_engine(simulator, exchange=request.param)
    give_stream(made.account)
    return made


@pytest.fixture
def streams(engine: Engine) -> Iterator[RunningFleet]:
    """The streams, kept and connected; nothing follows orders by asking."""
    with RunningFleet(handlers(), all_of()) as running:
        await_connected(engine.account.name)
        yield running


def resting(engine: Engine, quantity: str = "0.03") -> str:
    """A limit order below the market, open at the exchange."""
    engine.refresh()
    status, document = engine.limit("BUY", quantity, PRICES[engine.account.exchange])
    assert status == 202, document
    drain(*SUBMITS)
    assert Order.objects.get(id=document["id"]).status == "open"
    return str(document["id"])


def trade(engine: Engine, quantity: str) -> None:
    """Somebody sells at the resting order's price."""
    exchange = engine.account.exchange
    engine.simulator.trade("BTCUSDT", PRICES[exchange], quantity, "SELL", exchange)


def filled(order_id: str, quantity: str) -> bool:
    return Order.objects.get(id=order_id).filled_quantity == Decimal(quantity)


def test_fill_is_booked_by_the_stream_alone(engine: Engine, streams: RunningFleet) -> None:
    order_id = resting(engine)
    trade(engine, "0.03")
    wait_until(lambda: filled(order_id, "0.03"), 30, "the fill is booked")
    assert Order.objects.get(id=order_id).status == "filled"
    assert Fill.objects.filter(order_id=order_id).count() == 1


def test_events_twice_and_out_of_order_are_booked_once(engine: Engine, streams: RunningFleet) -> None:
    order_id = resting(engine)
    event = TRADE_EVENT[engine.account.exchange]
    engine.simulator.fault("stream_reorder", event)
    engine.simulator.fault("stream_duplicate", event, times=2)
    for _ in range(3):
        trade(engine, "0.01")
    wait_until(lambda: filled(order_id, "0.03"), 30, "the fills are booked")
    assert Fill.objects.filter(order_id=order_id).count() == 3


def test_after_a_lost_connection_it_comes_back_and_has_the_account_looked_at(
    engine: Engine, streams: RunningFleet
) -> None:
    order_id = resting(engine)
    drain("housekeeping")
    path = "/sim/btcturk/streams/disconnect" if engine.account.exchange == "btcturk" else "/sim/streams/disconnect"
    engine.simulator.fault("stream_drop", TRADE_EVENT[engine.account.exchange], times=9)
    trade(engine, "0.03")
    assert engine.simulator.call("POST", path, {"account": engine.account.name, "reset": True}) == {"disconnected": 1}
    row = await_connected(engine.account.name, reconnects=1)
    assert (row.gaps, row.reconnects) == (1, 1)
    assert row.last_error
    wait_until(lambda: (drain("housekeeping"), filled(order_id, "0.03"))[1], 30, "what the gap has swallowed is booked")


def test_silence_is_noticed(engine: Engine, streams: RunningFleet) -> None:
    engine.simulator.fault("stream_silence", pings=False, times=None, call="*")
    resting(engine)
    wait_until(lambda: (state_of(engine.account.name) or StreamState()).last_error, 30, "the silence is noticed")
    engine.simulator.call("DELETE", "/sim/faults")
    row = await_connected(engine.account.name, reconnects=1)
    assert "was heard for" in row.last_error
    order_id = resting(engine)
    trade(engine, "0.06")
    wait_until(lambda: filled(order_id, "0.03"), 30, "events are heard again")


def test_rollover_connects_before_it_closes(engine: Engine) -> None:
    heard = Heard()
    with RunningFleet(heard.handlers(), all_of(private=short(rollover=0.5))):
        row = await_connected(engine.account.name, reconnects=3)
        assert (row.gaps, row.last_error) == (0, "")
        resting(engine)
        wait_until(lambda: heard.reports, 30, "events are heard through it")
    assert [reason for _, reason in heard.looks if "come up" in reason] == ["the private stream has come up"]


@pytest.mark.parametrize("call", ["shutdown", "terminate"])
def test_binance_ends_a_stream_with_and_without_warning(
    transactional_db: None, simulator: Simulator, call: str
) -> None:
    engine = make_engine(simulator)
    give_stream(engine.account)
    heard = Heard()
    with RunningFleet(heard.handlers(), all_of()):
        await_connected(engine.account.name)
        simulator.call("POST", f"/sim/streams/{call}", {"account": engine.account.name})
        row = await_connected(engine.account.name, reconnects=1)
        if call == "terminate":
            assert "Terminated" in row.last_error
            wait_until(lambda: len(heard.looks) == 2, 30, "the account is looked at after the gap")


def test_login_is_tried_with_the_other_nonce(transactional_db: None, simulator: Simulator) -> None:
    engine = make_engine(simulator, exchange="btcturk")
    give_stream(engine.account)
    simulator.call("POST", "/sim/btcturk", {"login_nonce": "timestamp"})
    with RunningFleet(Heard().handlers(), all_of()):
        row = await_connected(engine.account.name)
    assert "Invalid Nonce" in row.last_error


def test_secrets_are_neither_logged_nor_stored(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("exchanges.streams.link", "asyncio", "websockets.client"):
        caplog.set_level(logging.DEBUG, logger=name)
    with RunningFleet(handlers(), all_of()):
        await_connected(engine.account.name)
        resting(engine)
        right = credentials_of(engine.account)
        wrong = "AAAA" * 8
        account = Account.objects.get(pk=engine.account.pk)
        seal_into(account, right.key, wrong)
        account.save()
        row = wait_until(
            lambda: StreamState.objects.filter(
                subject=account.name, connected_since=None, last_error__contains="refused"
            ).first(),
            60,
            f"the wrong secret is refused: {state_of(account.name)}",
        )
    said = caplog.text + row.last_error
    assert "refused" in said
    for secret in (right.key, right.secret, wrong):
        assert secret not in said
    assert "> TEXT" not in caplog.text, "the library logs frames"


def test_accounts_are_noticed_when_they_come_change_and_go(transactional_db: None, simulator: Simulator) -> None:
    heard = Heard()
    with RunningFleet(heard.handlers(), all_of()):
        engine = make_engine(simulator)
        give_stream(engine.account)
        await_connected(engine.account.name)
        account = Account.objects.get(pk=engine.account.pk)
        credentials = credentials_of(account)
        seal_into(account, credentials.key, credentials.secret)
        account.save()
        await_connected(account.name, reconnects=1)
        Account.objects.update(books_opened_at=None)
        wait_until(lambda: simulator.call("GET", "/sim/streams") == [], 30, "the stream is closed")
        wait_until(lambda: state_of(account.name) is None, 30, "and no longer reported")


def test_books_of_traded_instruments_come_once_a_second(engine: Engine) -> None:
    exchange = engine.account.exchange
    resting(engine)
    before = Quote.objects.get(instrument__symbol="BTCUSDT").confirmed_at
    with RunningFleet(handlers(), all_of()):
        depth = wait_until(Depth.objects.filter(instrument__symbol="BTCUSDT").first, 20, "a book has come")
        assert 0 < len(depth.bids) <= 20 and Decimal(depth.bids[0][0]) < Decimal(depth.asks[0][0])
        quote = Quote.objects.get(instrument__symbol="BTCUSDT")
        assert quote.confirmed_at > before
        engine.simulator.book("BTCUSDT", "61000", "61010", exchange=exchange)
        wait_until(lambda: Quote.objects.get(pk=quote.pk).bid == 61000, 30, "the new price has come")
        # The channel falls silent and the connection lives: an unchanged price is confirmed by answered pings.
        call = "431" if exchange == "btcturk" else "depth"
        engine.simulator.fault("stream_silence", call, times=None, match={"symbol": "BTCUSDT"})
        mark = Quote.objects.get(pk=quote.pk).confirmed_at
        wait_until(
            lambda: (Quote.objects.get(pk=quote.pk).confirmed_at - mark).total_seconds() > 2.5, 30, "it is confirmed"
        )
    assert Depth.objects.count() == 1


def test_a_market_stream_without_data_is_left_for_another(engine: Engine) -> None:
    resting(engine)
    market = f"{engine.account.exchange}:{engine.account.mode}"
    with RunningFleet(handlers(), all_of(market=short(data_silence=2.5))):
        wait_until(Depth.objects.filter(instrument__symbol="BTCUSDT").first, 20, "a book has come")
        call = "431" if engine.account.exchange == "btcturk" else "depth"
        engine.simulator.fault("stream_silence", call, times=None)
        row = await_connected(market, reconnects=1)
        assert "no data came" in row.last_error


def test_a_lost_database_ends_no_stream_and_loses_no_event(engine: Engine, streams: RunningFleet) -> None:
    order_id = resting(engine)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    trade(engine, "0.03")
    wait_until(lambda: filled(order_id, "0.03"), 30, "the fill is booked")
    row = wait_until(lambda: state_of(engine.account.name), 30, "states are written")
    assert row.reconnects == 0


def test_a_ban_holds_the_streams_back_too(transactional_db: None, simulator: Simulator) -> None:
    engine = make_engine(simulator)
    give_stream(engine.account)
    simulator.fault("ban", "GET /api/v3/ticker/bookTicker", retry_after=120)
    with suppress(ReadFailed):
        engine.refresh()
    attempts = len(simulator.call("GET", "/sim/streams"))
    with RunningFleet(Heard().handlers(), all_of()):
        row = wait_until(
            StreamState.objects.filter(last_error__contains="418").first, 20, "the stream waits for the ban's end"
        )
    assert row.connected_since is None
    assert attempts == len(simulator.call("GET", "/sim/streams")) == 0
    simulator.call("DELETE", "/sim/faults")


def leader_pid() -> int | None:
    """The database session that holds the leader's lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND ((classid::bigint << 32) | objid::bigint) = %s"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            [LEADER_LOCK],
        )
        row = cursor.fetchone()
    return None if row is None else int(row[0])


@pytest.mark.drill
def test_a_standby_takes_over_from_a_killed_leader(
    transactional_db: None, simulator: Simulator, processes: Any
) -> None:
    engine = make_engine(simulator)
    give_stream(engine.account)
    first = processes.manage("run_streams")
    since = wait_until(lambda: (row := state_of(engine.account.name)) and row.connected_since, 30, first.output())
    second = processes.manage("run_streams")
    wait_until(lambda: second.process.poll() is not None or leader_pid(), 20, "somebody leads")
    before = leader_pid()
    os.kill(first.pid, signal.SIGKILL)
    first.process.wait()

    def taken_over() -> bool:
        row = state_of(engine.account.name)
        return bool(row and row.connected_since and row.connected_since > since)

    wait_until(taken_over, 30, f"the standby has taken over: {second.output()}")
    assert leader_pid() not in (None, before)
    row = state_of(engine.account.name)
    assert row is not None and (row.reconnects, row.gaps) == (1, 1)
    order_id = resting(engine)
    trade(engine, "0.03")
    wait_until(lambda: filled(order_id, "0.03"), 30, f"its stream books: {second.output()}")
    assert second.terminate() == 0
    assert state_of(engine.account.name).connected_since is None  # type: ignore[union-attr]
