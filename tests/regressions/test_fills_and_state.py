"""Complaints about fills and state that were lost, doubled or forgotten, by number (docs/complaints.md)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db.models import F

from exchanges.connections import adapter_for, write_stamp_ms
from execution_project.common import clock
from execution_project.stream_hints import handlers
from orders.claiming import claim
from orders.models import Attempt, Break, Command, Order
from orders.reconciliation import reconcile
from positions.models import Fill, TradeCursor
from tests.engines import BY, Engine, drain, holdings, reserved
from tests.exchanges.streams.fleets import RunningFleet, await_connected, give_stream
from tests.regressions.rounds import (
    CANCEL,
    LONG_AGO,
    assert_all_over,
    assert_books_equal_the_exchange,
    fault,
    lift_faults,
    orders_at_exchange,
    prints,
    restart,
    resting,
    rounds,
    status,
    working_at_exchange,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e
D = Decimal
TRADES = {"binance": "GET /api/v3/myTrades", "btcturk": "GET /api/v1/users/transactions/trade"}
TRADE_EVENT = {"binance": "executionReport", "btcturk": "423"}


def read_all_trades_again(engine: Engine) -> None:
    """As a worker would whose note of where it had stopped is from long ago."""
    TradeCursor.objects.update(last_trade_id=F("opened_after_trade_id"), updated_at=engine.account.books_opened_at)
    assert reconcile(engine.account, parts=("trades",), by=BY).succeeded


def story(engine: Engine) -> dict[str, Any]:
    """All that the API tells of orders, fills and positions, with what is held and reserved."""
    told: dict[str, Any] = {path: engine.request("GET", path)[1] for path in ("orders", "fills", "positions")}
    # What quotes of the moment say is no state.
    for position in told["positions"]["positions"]:
        for name in ("mark", "unrealised_pnl", "pnl_before_fees", "pnl_after_fees", "missing"):
            position.pop(name, None)
    return told | {"holdings": holdings(engine), "reserved": reserved(engine)}


def test_complaint_08_any_number_of_restarts_leaves_everything_as_it_was(venue: Engine) -> None:
    """A restart replayed fills, flattened positions or forgot orders, and no two runs came to the same."""
    working = resting(venue)
    prints(venue, "59000", "0.01", "SELL")
    venue.limit("BUY", "0.02", "60010")
    venue.limit("SELL", "0.01", "60000")
    drain()
    rounds(2)
    before, at_exchange = story(venue), orders_at_exchange(venue)
    assert len(before["fills"]["fills"]) == 3
    for _ in range(3):
        restart()
        rounds()
        read_all_trades_again(venue)
        assert story(venue) == before
    assert orders_at_exchange(venue) == at_exchange
    assert status(venue, working) == "partially_filled"
    assert_books_equal_the_exchange(venue)


def test_complaint_09_a_fill_that_only_the_order_tells_of_is_booked_when_its_trade_comes(engine: Engine) -> None:
    """A fill was inferred from the order, and counted a second time when the real one came."""
    order_id = resting(engine)
    engine.simulator.fault("lagging_trades", call=TRADES["binance"], ms=3_600_000)
    prints(engine, "59000", "0.03", "SELL")
    rounds(2)
    document = engine.order(order_id)
    (row,) = document["exchange_orders"]
    assert (row["cumulative_quantity"], row["unbooked_quantity"], document["filled_quantity"]) == ("0.03", "0.03", "0")
    assert not Fill.objects.exists()
    assert reserved(engine) == {"USDT": D(1770)}
    lift_faults(engine)
    rounds(2)
    assert Fill.objects.get().quantity == D("0.03")
    assert status(engine, order_id) == "settled"
    assert_all_over(engine)


def test_complaint_09_a_stale_note_of_what_was_read_books_nothing_again(venue: Engine) -> None:
    """After a restart a worker went on from an old watermark and booked a whole fill again."""
    venue.limit("BUY", "0.02", "60010")
    drain()
    rounds(2)
    before = story(venue)
    for _ in range(3):
        read_all_trades_again(venue)
    assert Fill.objects.count() == 1
    assert story(venue) == before
    assert_all_over(venue)


def test_complaint_10_a_fill_that_a_healthy_stream_leaves_out_is_found_in_the_list_of_trades(venue: Engine) -> None:
    """A fill was never delivered, though the stream was up and brought all the others."""
    name = venue.account.exchange
    give_stream(venue.account)
    with RunningFleet(handlers()):
        row = await_connected(venue.account.name)
        venue.refresh()
        order_id = resting(venue)
        venue.simulator.fault("stream_drop", TRADE_EVENT[name], times=1)
        prints(venue, "59000", "0.01", "SELL")
        prints(venue, "59000", "0.02", "SELL")
        wait_until(lambda: Fill.objects.filter(order_id=order_id).exists(), 30, "the other fill to be heard of")
        assert [fill.quantity for fill in Fill.objects.filter(order_id=order_id)] == [D("0.02")]
        rounds(2)
        assert (row.gaps, await_connected(venue.account.name).gaps) == (0, 0)
    assert sorted(Fill.objects.filter(order_id=order_id).values_list("quantity", flat=True)) == [D("0.01"), D("0.02")]
    assert status(venue, order_id) == "settled"
    assert_all_over(venue)


def test_complaint_11_fills_that_share_a_trade_id_are_two_and_replays_are_none(engine: Engine) -> None:
    """Fill events came three times and were booked three times; fills of one trade id were taken for one."""
    order_id = resting(engine)
    engine.simulator.book("BTCUSDT", "58000.00", "60010.00")
    # Both sides of one trade are ours: the exchange gives both the same trade id.
    engine.simulator.call(
        "POST",
        "/sim/orders",
        {
            "account": engine.account.name,
            "symbol": "BTCUSDT",
            "side": "SELL",
            "type": "LIMIT",
            "quantity": "0.03",
            "price": "59000.00",
            "time_in_force": "IOC",
            "client_order_id": "the-other-side",
            "self_trade": "NONE",
        },
    )
    told = engine.simulator.call("GET", f"/sim/trades?account={engine.account.name}&symbol=BTCUSDT")
    shared = {trade["id"] for trade in told if trade["order_id"] == orders_at_exchange(engine)[0]["order_id"]}
    assert shared
    for _ in range(3):
        rounds()
        read_all_trades_again(engine)
    fills = Fill.objects.values_list("trade_id", "exchange_order_id", "side")
    assert sorted(fills) == sorted((str(t["id"]), str(t["order_id"]), t["side"]) for t in told)
    assert {"BUY", "SELL"} == {side for trade_id, _, side in fills if int(trade_id) in shared}
    assert engine.order(order_id)["filled_quantity"] == "0.03"
    assert_books_equal_the_exchange(engine)


def test_complaint_12_partly_filled_and_canceled_says_both(venue: Engine) -> None:
    """What is an order that was partly filled and then canceled? Others had one word for two facts."""
    order_id = resting(venue)
    prints(venue, "59000", "0.01", "SELL")
    venue.request("DELETE", f"order/{order_id}")
    rounds(3)
    document = venue.order(order_id)
    assert (document["status"], document["ended_as"], document["filled_quantity"]) == ("settled", "canceled", "0.01")
    for query in ("ended_as=canceled", "status=settled"):
        assert [row["id"] for row in venue.request("GET", f"orders?{query}")[1]["orders"]] == [order_id]
    assert_all_over(venue)


@pytest.mark.parametrize("trouble", ["the worker dies", "the exchange fails"])
def test_complaint_12_no_order_stays_behind_in_the_middle_of_its_cancel(venue: Engine, trouble: str) -> None:
    """An order hung in "pending cancel" for ever: the one cancel that was sent had come to nothing."""
    order_id = resting(venue)
    prints(venue, "59000", "0.01", "SELL")
    rounds()
    venue.request("DELETE", f"order/{order_id}")
    if trouble == "the worker dies":
        command = Command.objects.get(kind="cancel")
        assert claim(command.id, adapter_for(venue.account), write_stamp_ms(venue.account, clock.now_ms()), None)
        Attempt.objects.filter(outcome="").update(send_by=LONG_AGO)
    else:
        fault(venue, "status", CANCEL, times=2, status=503)
    drain("cancel")
    assert status(venue, order_id) == "partially_filled", "a cancel under way is no status"
    rounds(4)
    assert (status(venue, order_id), venue.order(order_id)["ended_as"]) == ("settled", "canceled")
    assert working_at_exchange(venue) == []
    assert_all_over(venue)


def test_complaint_31_a_protective_order_outlives_restarts_and_still_protects(engine: Engine) -> None:
    """Stop orders were gone after a restart, and the position stood without protection."""
    code, order = engine.place(
        type="STOP_LOSS_LIMIT",
        side="SELL",
        quantity="0.01",
        price="58900.00",
        stop_price="59000.00",
        time_in_force="GTC",
    )
    assert code == 202, order
    drain()
    for _ in range(2):
        restart()
        rounds()
        assert status(engine, order["id"]) == "open"
        assert working_at_exchange(engine) == [D("0.01")]
        assert reserved(engine) == {"BTC": D("0.01")}
    assert len(orders_at_exchange(engine)) == 1
    engine.simulator.book("BTCUSDT", "58950.00", "58960.00")
    restart()
    rounds(2)
    assert engine.order(order["id"])["ended_as"] == "filled"
    assert_all_over(engine)


def test_complaint_34_a_working_entry_is_in_sight_of_whoever_sizes_the_exit(engine: Engine) -> None:
    """The filled part of a slow buy was sold while the rest still worked; what it bought then belonged to nobody."""
    entry = resting(engine)
    prints(engine, "59000", "0.01", "SELL")
    rounds()
    _, listed = engine.request("GET", "orders?status=open,partially_filled&symbol=BTCUSDT")
    assert [(row["id"], row["quantity"], row["filled_quantity"]) for row in listed["orders"]] == [
        (entry, "0.03", "0.01")
    ]
    _, sale = engine.place(side="SELL", quantity="0.01", reduce_only=True)
    drain()
    assert status(engine, sale["id"]) == "filled"
    prints(engine, "59000", "0.02", "SELL")
    rounds(2)
    (position,) = engine.request("GET", "positions")[1]["positions"]
    assert (position["net_quantity"], position["bought_quantity"], position["sold_quantity"]) == (
        "0.02",
        "0.03",
        "0.01",
    )
    assert_all_over(engine)


def test_complaint_34_ending_the_entries_first_leaves_exactly_what_the_exit_sells(venue: Engine) -> None:
    """The same, when the exit is to be the end: entries are asked to end, and their last fills are counted."""
    entry = resting(venue)
    prints(venue, "59000", "0.01", "SELL")
    code, asked = venue.request("DELETE", f"orders?account={venue.account.name}&symbol=BTCUSDT")
    assert (code, asked["orders"]) == (202, [entry])
    prints(venue, "59000", "0.005", "SELL")  # overtakes the cancel
    rounds(3)
    assert working_at_exchange(venue) == []
    (position,) = venue.request("GET", "positions")[1]["positions"]
    assert position["net_quantity"] == "0.015"
    venue.refresh()
    venue.place(side="SELL", quantity=position["net_quantity"])
    rounds(2)
    (position,) = venue.request("GET", "positions")[1]["positions"]
    assert position["net_quantity"] == "0"
    assert_all_over(venue)


def test_complaint_35_what_the_exchange_does_not_name_any_more_is_a_difference(venue: Engine) -> None:
    """The comparison went over what the exchange returned only: a balance that was gone differed from nothing."""
    away = {"balances": {"BTC": "-10"}}
    venue.simulator.call("POST", f"/sim/accounts/{venue.account.name}/deposit", away)
    assert "BTC" not in venue.simulator.balances(venue.account.name)
    for _ in range(2):
        reconcile(venue.account, parts=("balances",), by=BY)
    broken = Break.objects.get(kind="balance_mismatch")
    assert (broken.subject, broken.status, broken.difference) == ("BTC", "open", D(-10))


def test_complaint_35_an_order_that_only_the_exchange_has_is_a_difference_too(venue: Engine) -> None:
    """The same hole from the other side: what the books do not know was never asked about."""
    ours = resting(venue)
    body = {"account": venue.account.name, "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT"}
    body |= {"quantity": "0.1", "price": "58000", "client_order_id": "web-1"}
    body |= {"time_in_force": "GTC"} if venue.account.exchange == "binance" else {"exchange": "btcturk"}
    venue.simulator.call("POST", "/sim/orders", body)
    rounds()
    assert Break.objects.get().kind == "unknown_order"
    assert set(Order.objects.values_list("origin", "status")) == {("engine", "open"), ("external", "open")}
    assert status(venue, ours) == "open"
