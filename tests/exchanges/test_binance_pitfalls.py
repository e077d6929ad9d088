"""The defects of python-binance 1.0.37 (docs/binance.md §8), which the adapter is built on, by number.

Section and place in it: 8.2.3 is the third thing said about construction.

8.1 methods: 1 invents a broker-prefixed id · 2 wrong path and lost halves of cancelReplace · 3 no amendments ·
4 exchangeInfo only whole · 5 listenKey calls are dead · 6 statuses are missing.
8.2 construction: 1 calls the exchange · 2 base URL · 3 no clock offset · 4 overwrites window and stamp ·
5 time limit and redirects · 6 guesses the kind of a key · 7 event loop and websocket objects.
8.3 signing: 1 only the symbol is encoded · 2 floats and booleans · 3 text outside ASCII · 4 headers.
8.4 errors: 1 bodies that are no objects · 2 halves of a replacement · 3 success that is none · 4 network errors ·
5 shared answer · 6 forks.
8.5 stream: 1 no re-subscription · 2 serverShutdown swallowed. (No stream in the adapter.)
8.6 cost: 1 proxies looked up for every call · 2 connections reused.

Proved by other tests; the rest is below:

8.1.2  exchanges.binance.test_changes_against_simulator::test_a_replacement
8.1.2  exchanges.simulator.test_changes::test_python_binance_replaces_but_keeps_no_halves_and_has_a_wrong_second_path
8.1.3  exchanges.binance.test_changes_against_simulator::test_an_amendment_keeps_its_place_and_name
8.1.4  exchanges.binance.test_adapter::test_instruments_ask_for_the_wanted_symbols_only
8.1.5  exchanges.simulator.test_orders::test_market_data_and_account_reads
8.2.1  exchanges.binance.test_client::test_construction_makes_no_call
8.2.2  exchanges.binance.test_client::test_other_hosts_and_interfaces_are_out_of_reach
8.2.3  exchanges.binance.test_adapter::test_server_time_is_taken_at_the_middle
8.2.4  exchanges.binance.test_client::test_stamp_and_window_go_out_as_given
8.2.5  exchanges.binance.test_client::test_redirect_is_not_followed
8.2.6  exchanges.binance.test_signing::test_the_library_takes_a_long_ed25519_key_for_rsa_and_we_do_not
8.2.6  exchanges.binance.test_signing::test_any_spelling_of_the_same_key_signs_the_same
8.2.6  exchanges.binance.test_client::test_half_built_client_goes_quietly
8.2.7  exchanges.binance.test_client::test_construction_leaves_no_event_loop_in_a_plain_thread
8.2.7  exchanges.binance.test_client::test_many_clients_leave_no_descriptors
8.3.1  exchanges.binance.test_client::test_every_value_is_encoded_before_it_is_signed
8.3.2  exchanges.binance.test_adapter::test_sizes_reach_the_wire_exactly
8.3.2  exchanges.binance.test_client::test_wire_values
8.3.3  exchanges.binance.test_client::test_any_text_survives_the_wire
8.3.3  exchanges.binance.test_signing::test_websocket_hmac_vectors
8.3.4  exchanges.binance.test_client::test_headers_are_plain_and_ours
8.4.1  exchanges.binance.test_adapter::test_a_failure_that_cannot_be_read_proves_nothing
8.4.2  exchanges.binance.test_changes::test_both_halves_of_a_replacement
8.4.3  exchanges.binance.test_adapter::test_a_success_that_cannot_be_read_proves_nothing
8.4.4  exchanges.binance.test_client::test_refused_connection_proves_not_sent
8.4.4  exchanges.binance.test_client::test_write_on_a_dropped_connection_is_sent_once
8.4.4  exchanges.binance.test_client::test_connection_idle_for_long_is_replaced
8.4.5  exchanges.binance.test_client::test_use_from_another_thread_is_refused
8.4.5  exchanges.binance.test_client::test_headers_are_those_of_the_call
8.4.6  exchanges.binance.test_client::test_use_after_a_fork_is_refused
8.5.1  exchanges.simulator.test_python_binance_async::test_after_a_disconnect_it_reconnects_and_stays_silent
8.5.2  exchanges.simulator.test_python_binance_async::test_it_swallows_server_shutdown
8.6.1  exchanges.binance.test_client::test_environment_proxies_are_ignored
8.6.2  exchanges.binance.test_client::test_connection_is_reused
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
import requests
from binance.client import Client

from exchanges.adapters import Credentials, PlaceInstruction
from exchanges.binance.adapter import BinanceAdapter
from exchanges.http.transport import Timeouts
from exchanges.reports import OrderReport, Outcome, ReadFailed, ReportedStatus
from exchanges.reports import OutcomeKind as Kind
from tests.exchanges.binance import samples
from tests.exchanges.binance.samples import CLIENT_ID, STAMP
from tests.exchanges.fake_server import FakeServer, answer
from tests.exchanges.pointers import assert_is_a_test, numbers_of_tests, pointers
from tests.exchanges.times import now
from tests.simulators import Simulator

POINTERS = pointers(__doc__)
CREDENTIALS = Credentials("pitfalls-key", "pitfalls-secret")
BTC = "BTCUSDT"
SIZES = {"8.1": 6, "8.2": 7, "8.3": 4, "8.4": 6, "8.5": 2, "8.6": 2}
ids = (f"ex{number:034d}" for number in count())


@pytest.mark.parametrize("pointer", [pointer for _, pointer in POINTERS])
def test_every_proof_elsewhere_is_still_there(pointer: str) -> None:
    assert_is_a_test(pointer)


def test_every_pitfall_has_its_proof() -> None:
    proved = {number for number, _ in POINTERS} | numbers_of_tests(globals(), "pitfall")
    assert proved == {f"{part}.{place}" for part, size in SIZES.items() for place in range(1, size + 1)}


@pytest.fixture
def exchange(running: Simulator) -> Simulator:
    running.call("POST", "/sim/reset")
    running.call("POST", "/sim/market/freeze")
    balances = {"USDT": "1000000", "BTC": "10"}
    account = {"name": "main", "api_key": CREDENTIALS.key, "api_secret": CREDENTIALS.secret, "balances": balances}
    running.call("POST", "/sim/accounts", account)
    running.book(BTC, "59999.00", "60000.00")
    return running


@pytest.fixture
def adapter(exchange: Simulator) -> Iterator[BinanceAdapter]:
    made = BinanceAdapter(CREDENTIALS, exchange.url)
    yield made
    made.close()


def limit(price: str = "50000.00") -> PlaceInstruction:
    return PlaceInstruction(
        BTC, "BUY", "LIMIT", next(ids), quantity=Decimal("0.01"), price=Decimal(price), time_in_force="GTC"
    )


def place(adapter: BinanceAdapter, instruction: PlaceInstruction, stamp_ms: int | None = None) -> Outcome:
    return adapter.send(adapter.prepare_place(instruction, stamp_ms or now(), 5000), time.monotonic() + 5)


def test_pitfall_8_1_1_every_order_goes_under_our_id(adapter: BinanceAdapter, exchange: Simulator) -> None:
    """The library labels an order that has no id for a broker; an order of ours without one cannot be made."""
    instruction = limit()
    assert place(adapter, instruction).kind is Kind.ACCEPTED
    assert exchange.posted() == {instruction.client_order_id: 1}
    with pytest.raises(ValueError, match="client order id"):
        adapter.prepare_place(PlaceInstruction(BTC, "BUY", "MARKET", "", quantity=Decimal(1)), now(), 5000)

    class Local(Client):
        API_URL = f"{exchange.url}/api"

    Local(CREDENTIALS.key, CREDENTIALS.secret, ping=False).order_market_buy(symbol=BTC, quantity="0.01")
    (invented,) = set(exchange.posted()) - {instruction.client_order_id}
    assert invented.startswith("x-HNA2TXFJ")


@pytest.mark.parametrize(
    ("status", "reported"),
    [
        ("PENDING_NEW", ReportedStatus.OPEN),
        ("EXPIRED_IN_MATCH", ReportedStatus.EXPIRED),
        ("A_STATUS_OF_NEXT_YEAR", ReportedStatus.UNRECOGNISED),
    ],
)
def test_pitfall_8_1_6_statuses_that_the_library_does_not_know(
    server: FakeServer, status: str, reported: ReportedStatus
) -> None:
    """And fields that nobody knows yet are passed over."""
    server.script = [answer(samples.order(status=status, fieldOfNextYear={"a": [1]}))]
    adapter = BinanceAdapter(CREDENTIALS, server.url)
    report = adapter.query_order(BTC, client_order_id=CLIENT_ID, exchange_order_id=None, now_ms=STAMP)
    adapter.close()
    assert report is not None
    assert report.status is reported


@pytest.mark.parametrize("skew", [7000, -7000])
def test_pitfall_8_2_3_the_offset_of_the_clock_is_measured(
    adapter: BinanceAdapter, exchange: Simulator, skew: int
) -> None:
    exchange.fault("clock_skew", "*", ms=skew)
    assert place(adapter, limit()).kind is Kind.CLOCK
    with pytest.raises(ReadFailed) as caught:
        adapter.balances(now_ms=now())
    assert caught.value.outcome.kind is Kind.CLOCK
    sample = adapter.server_time()
    assert abs(sample.offset_ms - skew) <= sample.round_trip_ms + 5
    assert place(adapter, limit(), now() + sample.offset_ms).kind is Kind.ACCEPTED
    assert adapter.balances(now_ms=now() + sample.offset_ms)


def test_pitfall_8_2_5_we_wait_longer_than_the_exchange_does(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its backend gives up after 10 s and says so (-1007); a client that gives up first never hears it."""
    seen: list[Any] = []
    send = requests.adapters.HTTPAdapter.send

    def spy(self: Any, request: Any, **options: Any) -> Any:
        seen.append(options["timeout"])
        return send(self, request, **options)

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", spy)
    adapter = BinanceAdapter(CREDENTIALS, server.url)
    place(adapter, limit())
    adapter.close()
    assert [read for _, read in seen] == [Timeouts().read]
    assert Timeouts().read > 10


def test_pitfall_8_4_5_threads_never_get_each_others_answers(adapter: BinanceAdapter, exchange: Simulator) -> None:
    """With a shared client of the library about one answer in 300 is another thread's; here each has its own."""
    orders = [limit(f"{50000 + n}.00") for n in range(8)]
    for instruction in orders:
        assert place(adapter, instruction).kind is Kind.ACCEPTED
    wrong: list[Any] = []
    start = threading.Barrier(len(orders))

    def ask(instruction: PlaceInstruction) -> None:
        own = BinanceAdapter(CREDENTIALS, exchange.url)
        start.wait(10)
        for _ in range(40):
            report = own.query_order(
                BTC, client_order_id=instruction.client_order_id, exchange_order_id=None, now_ms=now()
            )
            if not isinstance(report, OrderReport) or report.price != instruction.price:
                wrong.append(report)
        own.close()

    threads = [threading.Thread(target=ask, args=(instruction,)) for instruction in orders]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(interval)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []
