"""The 22 pitfalls of the protocol (docs/btcturk.md §7) by number, each on the adapter over sockets.

Those that other tests prove already; the rest is below:

1   exchanges.btcturk.test_client::test_signature_vectors
3   exchanges.test_stamps::test_eight_processes_with_one_key_never_meet
3   exchanges.btcturk.test_against_simulator::test_a_stamp_is_taken_once
4   exchanges.btcturk.test_adapter::test_both_shapes_of_401
5   exchanges.btcturk.test_against_simulator::test_the_wire_label_is_the_right_one_and_no_key
5   exchanges.simulator.test_btcturk_orders::test_a_label_in_the_wrong_field_is_lost_without_error
6   exchanges.btcturk.test_adapter::test_then_the_history
6   exchanges.btcturk.test_adapter::test_then_the_trades_and_the_order_behind_them
7   exchanges.btcturk.test_adapter::test_sizes_reach_the_wire_exactly
8   exchanges.btcturk.test_against_simulator::test_balances_move_and_lock
8   exchanges.btcturk.test_parsing::test_balances_are_never_guessed
9   exchanges.btcturk.test_against_simulator::test_the_filters_say_what_the_exchange_says
13  exchanges.btcturk.test_against_simulator::test_a_market_buy_spends_quote_with_fee_and_tax
13  exchanges.btcturk.test_adapter::test_an_ended_market_order_counts_its_trades
14  exchanges.btcturk.test_against_simulator::test_foreign_stops_are_read_before_and_after_they_trigger
15  exchanges.btcturk.test_against_simulator::test_an_accepted_cancel_is_a_promise_that_a_fill_may_overtake
15  integration.test_contract::test_a_fill_that_beats_the_cancel_is_booked
17  exchanges.btcturk.test_against_simulator::test_more_trades_at_once_than_an_answer_holds_are_never_a_short_list
17  exchanges.btcturk.test_against_simulator::test_more_trades_than_an_answer_holds
17  exchanges.btcturk.test_against_simulator::test_late_trades_of_a_market_order_leave_its_own_figure
18  exchanges.btcturk.test_client::test_a_write_carries_the_signed_stamp_and_exactly_its_body
18  exchanges.btcturk.test_client::test_only_ipv4_is_connected_to
18  exchanges.btcturk.test_against_simulator::test_the_firewall_stops_the_key
19  exchanges.btcturk.test_against_simulator::test_refusals
19  exchanges.btcturk.test_adapter::test_a_refusal_may_come_with_status_200
20  exchanges.btcturk.test_against_simulator::test_a_late_execution_is_not_there_and_then_it_is
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from exchanges.adapters import PlaceInstruction
from exchanges.btcturk.adapter import BtcturkAdapter
from exchanges.filters import check_order
from exchanges.http.transport import Timeouts
from exchanges.reports import InstrumentReport, OrderReport, Outcome, ReadFailed, ReportedStatus
from exchanges.reports import OutcomeKind as Kind
from execution_project.common import clock
from tests.exchanges.btcturk import samples
from tests.exchanges.btcturk.samples import CREDENTIALS, KEY, SECRET, STAMP, envelope
from tests.exchanges.btcturk.stamps import Stamps
from tests.exchanges.fake_server import FakeServer, answer
from tests.exchanges.pointers import assert_is_a_test, numbers_of_tests, pointers
from tests.exchanges.times import now
from tests.simulators import Simulator
from tests.waiting import wait_until

BTC, USDT = "BTCTRY", "USDTTRY"
POST = "POST /api/v1/order"
POINTERS = pointers(__doc__)
ids = (f"ex{number:034d}" for number in count())


@pytest.mark.parametrize("pointer", [pointer for _, pointer in POINTERS])
def test_every_proof_elsewhere_is_still_there(pointer: str) -> None:
    assert_is_a_test(pointer)


def test_every_pitfall_has_its_proof() -> None:
    proved = {number for number, _ in POINTERS} | numbers_of_tests(globals(), "pitfall")
    assert proved == {str(number) for number in range(1, 23)}


@pytest.fixture
def exchange(running: Simulator) -> Simulator:
    """BTCTRY (integer prices) at 2990000 and 3000000, USDTTRY (two decimals) at 40.00 and 40.01."""
    running.call("POST", "/sim/reset")
    running.call("POST", "/sim/market/freeze")
    balances = {"TRY": "1000000", "BTC": "1", "USDT": "1000"}
    account = {"exchange": "btcturk", "name": "turk", "api_key": KEY, "api_secret": SECRET, "balances": balances}
    running.call("POST", "/sim/accounts", account)
    running.call("POST", "/sim/btcturk", {"cancel_delay_ms": 0})
    book = {"bids": [["2990000", "1"]], "asks": [["3000000", "0.1"], ["3010000", "2"]]}
    running.call("POST", f"/sim/market/{BTC}", book)
    running.call("POST", f"/sim/market/{USDT}", {"bids": [["40.00", "5000"]], "asks": [["40.01", "5000"]]})
    return running


@pytest.fixture
def stamps() -> Stamps:
    return Stamps()


@pytest.fixture
def adapter(exchange: Simulator, stamps: Stamps) -> Iterator[BtcturkAdapter]:
    made = BtcturkAdapter(CREDENTIALS, exchange.url, stamp=stamps, timeouts=Timeouts(read=5.0))
    yield made
    made.close()


@pytest.fixture
def scripted(server: FakeServer, stamps: Stamps) -> Iterator[BtcturkAdapter]:
    made = BtcturkAdapter(CREDENTIALS, server.url, stamp=stamps)
    yield made
    made.close()


def limit(price: str, quantity: str = "0.01", side: str = "BUY", symbol: str = BTC) -> PlaceInstruction:
    return PlaceInstruction(
        symbol, side, "LIMIT", next(ids), quantity=Decimal(quantity), price=Decimal(price), time_in_force="GTC"
    )


def market_buy(amount: str, symbol: str = BTC) -> PlaceInstruction:
    return PlaceInstruction(symbol, "BUY", "MARKET", next(ids), quote_quantity=Decimal(amount))


def place(adapter: BtcturkAdapter, instruction: PlaceInstruction, stamp_ms: int | None = None) -> Outcome:
    stamp = adapter._stamp(now()) if stamp_ms is None else stamp_ms
    return adapter.send(adapter.prepare_place(instruction, stamp, 5000), time.monotonic() + 5)


def order_of(outcome: Outcome) -> OrderReport:
    assert outcome.kind is Kind.ACCEPTED, outcome
    (report,) = outcome.reports
    assert isinstance(report, OrderReport)
    return report


def query(adapter: BtcturkAdapter, report: OrderReport) -> OrderReport:
    found = adapter.query_order(
        report.symbol,
        client_order_id=report.client_order_id,
        exchange_order_id=report.exchange_order_id,
        now_ms=now(),
    )
    assert found is not None
    return found


def breaches(pair: InstrumentReport, instruction: PlaceInstruction) -> list[str]:
    found = check_order(
        pair.filters,
        type_=instruction.type,
        quantity=instruction.quantity,
        quote_quantity=instruction.quote_quantity,
        price=instruction.price,
        base_precision=pair.base_precision,
        quote_precision=pair.quote_precision,
        reference_price=None,
    )
    return [breach.name for breach in found]


def test_pitfall_01_one_clock_reading_for_header_and_message(scripted: BtcturkAdapter, server: FakeServer) -> None:
    server.script = [answer(envelope([]))]
    for _ in range(50):
        scripted.balances(now_ms=now())
    place(scripted, limit("2900000"))
    secret = base64.b64decode(SECRET)
    assert len(server.seen) == 51
    for seen in server.seen:
        message = (KEY + seen.headers["x-stamp"]).encode()
        expected = base64.b64encode(hmac.digest(secret, message, hashlib.sha256)).decode()
        assert seen.headers["x-signature"] == expected
    assert len({seen.headers["x-stamp"] for seen in server.seen}) == 51


@pytest.mark.parametrize("skew", [7000, -7000])
def test_pitfall_02_a_drifted_clock_is_measured_and_made_good(
    adapter: BtcturkAdapter, exchange: Simulator, skew: int
) -> None:
    exchange.fault("clock_skew", "*", ms=skew)
    with pytest.raises(ReadFailed) as caught:
        adapter.balances(now_ms=now())
    assert caught.value.outcome.kind is Kind.CLOCK
    sample = adapter.server_time()
    assert abs(sample.offset_ms - skew) <= sample.round_trip_ms + 5
    measured = BtcturkAdapter(CREDENTIALS, exchange.url, stamp=Stamps())
    assert measured.balances(now_ms=now() + sample.offset_ms)
    assert place(measured, limit("2900000"), now() + sample.offset_ms + 50).kind is Kind.ACCEPTED
    measured.close()


def test_pitfall_06_history_in_seconds_and_trades_in_milliseconds(adapter: BtcturkAdapter, exchange: Simulator) -> None:
    """The exchange refuses milliseconds where it counts in seconds; the other way round it would answer 1970."""
    answered = adapter._client.private(
        "GET", "/api/v1/allOrders", [("pairSymbol", BTC), ("startTime", str(now()))], adapter._stamp(now())
    )
    assert (answered.status, json.loads(answered.content)["code"]) == (400, 1038)
    before = now()
    order = order_of(place(adapter, market_buy("3000")))
    assert [each.exchange_order_id for each in adapter.order_history(BTC, since_ms=before, now_ms=now())] == [
        order.exchange_order_id
    ]
    (trade,) = adapter.trades_between(BTC, before - 5, now() + 1000, now_ms=now())
    assert trade.exchange_order_id == order.exchange_order_id
    assert adapter.trades_between(BTC, before - 2000, before - 1000, now_ms=now()) == ()


def test_pitfall_07_tiny_and_long_numbers_pass_both_ways_exactly(scripted: BtcturkAdapter, server: FakeServer) -> None:
    tiny = limit("3037000", "1E-5")
    placed = samples.placed(newOrderClientId=tiny.client_order_id, quantity="0.00001")
    trade = samples.trade(preciseAmount=0)
    wire = json.dumps(envelope([trade])).replace('"preciseAmount": 0', '"preciseAmount": 0.3384081100000001')
    server.script = [answer(envelope(placed)), answer(wire.encode())]
    assert order_of(place(scripted, tiny)).quantity == Decimal("0.00001")
    assert '"quantity":"0.00001"' in server.seen[0].body
    (read,) = scripted.order_trades(BTC, str(samples.ORDER_ID), now_ms=STAMP)
    assert read.quantity == Decimal("0.3384081100000001")  # a float of it has other digits


def test_pitfall_09_prices_have_decimals_only_where_the_pair_has_fractions(adapter: BtcturkAdapter) -> None:
    integer, fraction = adapter.instruments((BTC, USDT))
    for pair, price, fits in (
        (integer, "2900000", True),
        (integer, "2900000.25", False),
        (fraction, "39.25", True),
        (fraction, "39.255", False),
    ):
        instruction = limit(price, "10" if pair is fraction else "0.01", symbol=pair.symbol)
        assert (breaches(pair, instruction) == []) is fits
        outcome = place(adapter, instruction)
        assert (outcome.kind is Kind.ACCEPTED) is fits
        assert fits or (outcome.kind, outcome.reason, outcome.message) == (
            Kind.REFUSED,
            "precision",
            "FAILED_INVALID_PRICE_SCALE",
        )


def test_pitfall_10_quote_amounts_of_market_buys_follow_the_price_rule(adapter: BtcturkAdapter) -> None:
    integer, fraction = adapter.instruments((BTC, USDT))
    odd, whole = market_buy("1000.50"), market_buy("1000.00")
    assert (breaches(integer, odd), breaches(integer, whole)) == (["PRECISION"], [])
    refused = place(adapter, odd)
    assert (refused.kind, refused.message) == (Kind.REFUSED, "FAILED_INVALID_QUANTITY_SCALE")
    assert place(adapter, whole).kind is Kind.ACCEPTED
    other = market_buy("1000.50", USDT)
    assert breaches(fraction, other) == []
    assert place(adapter, other).kind is Kind.ACCEPTED


def test_pitfall_11_the_published_tick_size_bounds_nothing(adapter: BtcturkAdapter, exchange: Simulator) -> None:
    answered = adapter._client.public("/api/v2/server/exchangeinfo")
    shown = {row["name"]: row for row in json.loads(answered.content)["data"]["symbols"]}[BTC]
    assert Decimal(shown["filters"][0]["tickSize"]) == 10
    (pair,) = adapter.instruments((BTC,))
    between = limit("2900001")
    assert pair.filters["PRICE_FILTER"]["tickSize"] == "1"
    assert breaches(pair, between) == []
    assert order_of(place(adapter, between)).price == 2900001


def test_pitfall_12_the_missing_time_of_open_orders_is_no_1970(adapter: BtcturkAdapter, exchange: Simulator) -> None:
    began = clock.now()
    order_of(place(adapter, limit("2900000")))
    answered = adapter._client.private("GET", "/api/v1/openOrders", [("pairSymbol", BTC)], adapter._stamp(now()))
    assert [row["time"] for row in json.loads(answered.content)["data"]["bids"]] == [0]
    (shown,) = adapter.open_orders(BTC, now_ms=now())
    assert abs(shown.as_of - began) < timedelta(seconds=30)


def test_pitfall_13_several_fills_have_the_prices_of_their_trades(adapter: BtcturkAdapter) -> None:
    """The order object carries one price for both fills; what was paid is never made of it."""
    order = order_of(place(adapter, limit("3010000", "0.2")))
    report = query(adapter, order)
    assert (report.status, report.cumulative_quantity) == (ReportedStatus.FILLED, Decimal("0.2"))
    assert report.cumulative_quote is None
    trades = adapter.order_trades(BTC, order.exchange_order_id, now_ms=now())
    assert [(trade.price, trade.quantity) for trade in trades] == [(3000000, Decimal("0.1")), (3010000, Decimal("0.1"))]
    assert sum(trade.quote_quantity for trade in trades) == 601000


def test_pitfall_16_a_sale_right_after_a_buy_may_lack_its_funds(adapter: BtcturkAdapter, exchange: Simulator) -> None:
    exchange.call("POST", "/sim/btcturk", {"release_lag_ms": 60_000})
    order_of(place(adapter, market_buy("30000")))
    sale = PlaceInstruction(BTC, "SELL", "MARKET", next(ids), quantity=Decimal("1.005"))
    early = place(adapter, sale)
    assert (early.kind, early.reason, early.message) == (
        Kind.REFUSED,
        "insufficient_funds",
        "FAILED_ORDER_WITH_OPEN_ORDERS",
    )
    exchange.call("POST", "/sim/btcturk", {"release_lag_ms": 0})
    late = PlaceInstruction(BTC, "SELL", "MARKET", next(ids), quantity=Decimal("1.005"))
    order_of(place(adapter, late))


def test_pitfall_20_a_post_that_hangs_is_unknown_and_may_be_served_after_we_gave_up(
    adapter: BtcturkAdapter, exchange: Simulator, stamps: Stamps
) -> None:
    exchange.fault("hang", POST, ms=600)
    impatient = BtcturkAdapter(CREDENTIALS, exchange.url, stamp=stamps, timeouts=Timeouts(read=0.15))
    instruction = limit("2900000")
    outcome = place(impatient, instruction)
    impatient.close()
    assert (outcome.kind, outcome.reason) == (Kind.UNKNOWN, "read_timeout")

    def found() -> OrderReport | None:
        return adapter.query_order(
            BTC, client_order_id=instruction.client_order_id, exchange_order_id=None, now_ms=now()
        )

    report = wait_until(found, 30, "the order that nobody answered for appears")
    assert report is not None
    assert report.status is ReportedStatus.OPEN
    assert exchange.posted() == {instruction.client_order_id: 1}


@pytest.mark.parametrize("status", [{"html": "<html>503</html>"}, {"msg": "SYSTEM_UNDER_MAINTENANCE"}])
def test_pitfall_21_a_stale_market_is_no_market(
    adapter: BtcturkAdapter, exchange: Simulator, status: dict[str, Any]
) -> None:
    """The book answers 503 when its feed is stale. Quotes come from the ticker: the last one is not shown again."""
    assert adapter.quotes((BTC,))
    exchange.fault("status", "GET /api/v2/ticker", status=503, **status)
    with pytest.raises(ReadFailed) as caught:
        adapter.quotes((BTC,))
    assert caught.value.outcome.kind is Kind.UNKNOWN
    assert adapter.quotes((BTC,))


def test_pitfall_22_foreign_orders_are_seen_and_never_taken_for_ours(
    adapter: BtcturkAdapter, exchange: Simulator
) -> None:
    ours = order_of(place(adapter, limit("2900000")))
    body = {"account": "turk", "symbol": BTC, "side": "BUY", "type": "LIMIT", "quantity": "0.02"}
    resting = exchange.call("POST", "/sim/orders", {**body, "price": "2800000", "client_order_id": "by-hand"})
    filled = exchange.call("POST", "/sim/orders", {**body, "price": "3000000", "client_order_id": "website edit/ç"})
    shown = {each.exchange_order_id: each.client_order_id for each in adapter.open_orders(BTC, now_ms=now())}
    assert shown == {ours.exchange_order_id: ours.client_order_id, str(resting["order_id"]): "by-hand"}
    everything = adapter.order_history(BTC, since_ms=now() - 60_000, now_ms=now())
    assert {each.exchange_order_id for each in everything} == {*shown, str(filled["order_id"])}
    (trade,) = adapter.trades_between(BTC, now() - 60_000, now() + 1000, now_ms=now())
    assert (trade.exchange_order_id, trade.client_order_id) == (str(filled["order_id"]), "website edit/ç")
    found = adapter.query_order(BTC, client_order_id=ours.client_order_id, exchange_order_id=None, now_ms=now())
    assert found is not None
    assert (found.exchange_order_id, found.cumulative_quantity) == (ours.exchange_order_id, 0)
