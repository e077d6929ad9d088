"""API, gate, sender, python-binance, simulator, fills, positions: tasks drained in this process, over real sockets."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from execution_project.common import clock
from execution_project.common.models import Event
from orders.following import follow_account, settle_account
from orders.models import Attempt, ExchangeOrder, Order
from positions.models import Fill, LedgerEntry
from tests.engines import Engine, drain, holdings, reserved

pytestmark = pytest.mark.e2e


def assert_books_equal_exchange(engine: Engine) -> None:
    assert holdings(engine) == engine.simulator.balances(engine.account.name)


def settle(engine: Engine) -> None:
    """Settle what ended, without waiting for the grace that a lagging read would need."""
    Order.objects.filter(status__in=["filled", "canceled", "expired"]).update(updated_at="2020-01-01T00:00:00Z")
    ExchangeOrder.objects.update(last_looked_at=None)
    settle_account(engine.account)


def test_market_buy_is_filled_settled_and_stands_as_a_position(engine: Engine) -> None:
    status, order = engine.place(quantity="0.01", strategy="demo")
    assert status == 202, order
    assert order["status"] == "pending"
    assert reserved(engine) == {"USDT": Decimal("603.1005")}
    drain()
    order = engine.order(order["id"])
    assert (order["status"], order["filled_quantity"], order["average_price"]) == ("filled", "0.01", "60010")
    assert reserved(engine) == {}
    _, document = engine.request("GET", "positions")
    (position,) = document["positions"]
    assert (position["net_quantity"], position["average_price"], position["strategy"]) == ("0.01", "60010", "demo")
    _, document = engine.request("GET", "fills")
    (fill,) = document["fills"]
    assert fill["order"] == order["id"]
    assert fill["fees"] == [{"asset": "BTC", "amount": "0.00001", "kind": "fee"}]
    settle(engine)
    assert engine.order(order["id"])["status"] == "settled"
    assert engine.order(order["id"])["ended_as"] == "filled"
    assert_books_equal_exchange(engine)


def test_ledger_legs_of_every_fill_sum_to_zero_per_asset(engine: Engine) -> None:
    engine.place(quantity="0.01")
    engine.place(side="SELL", quantity="0.02")
    drain()
    assert Fill.objects.count() == 2
    for fill in Fill.objects.all():
        totals: dict[str, Decimal] = {}
        for entry in LedgerEntry.objects.filter(fill=fill):
            totals[entry.asset] = totals.get(entry.asset, Decimal(0)) + entry.amount
        assert totals and set(totals.values()) == {Decimal(0)}


def test_market_buy_by_quote_quantity(engine: Engine) -> None:
    _, order = engine.place(quote_quantity="600.10")
    assert reserved(engine) == {"USDT": Decimal("600.10")}
    drain()
    order = engine.order(order["id"])
    assert (order["status"], order["filled_quantity"], order["filled_quote"]) == ("filled", "0.01", "600.1")
    assert reserved(engine) == {}


def test_limit_order_rests_is_filled_in_parts_and_settles(engine: Engine) -> None:
    _, order = engine.limit("BUY", "0.03", "59000.00")
    drain()
    assert engine.order(order["id"])["status"] == "open"
    assert reserved(engine) == {"USDT": Decimal("1770")}
    engine.simulator.trade("BTCUSDT", "59000.00", "0.01", "SELL")
    follow_account(engine.account)
    document = engine.order(order["id"])
    assert (document["status"], document["filled_quantity"]) == ("partially_filled", "0.01")
    assert reserved(engine) == {"USDT": Decimal("1180")}
    engine.simulator.trade("BTCUSDT", "59000.00", "0.02", "SELL")
    follow_account(engine.account)
    document = engine.order(order["id"])
    assert (document["status"], document["filled_quantity"]) == ("filled", "0.03")
    assert reserved(engine) == {}
    settle(engine)
    assert engine.order(order["id"])["status"] == "settled"
    assert_books_equal_exchange(engine)


def test_partially_filled_order_is_canceled_and_keeps_its_fill(engine: Engine) -> None:
    _, order = engine.limit("SELL", "0.03", "61000.00")
    drain()
    engine.simulator.trade("BTCUSDT", "61000.00", "0.01", "BUY")
    status, document = engine.request("DELETE", f"order/{order['id']}")
    assert status == 202
    drain()
    document = engine.order(order["id"])
    assert document["status"] == "canceled"
    settle(engine)
    document = engine.order(order["id"])
    assert (document["status"], document["ended_as"], document["filled_quantity"]) == ("settled", "canceled", "0.01")
    assert reserved(engine) == {}
    assert_books_equal_exchange(engine)


@pytest.mark.parametrize(("time_in_force", "expected", "filled"), [("IOC", "expired", "0.01"), ("FOK", "expired", "0")])
def test_ioc_and_fok_expire_with_what_they_got(engine: Engine, time_in_force: str, expected: str, filled: str) -> None:
    engine.simulator.book("BTCUSDT", "60000.00", "60010.00", "0.01")
    _, order = engine.limit("BUY", "0.02", "60010.00", time_in_force)
    drain()
    document = engine.order(order["id"])
    assert (document["status"], document["filled_quantity"]) == (expected, filled)
    assert reserved(engine) == {}


def test_order_that_the_exchange_refuses_ends_rejected_with_its_words(engine: Engine) -> None:
    engine.simulator.fault("reject", msg="Account has insufficient balance for requested action.")
    _, order = engine.place(quantity="0.01")
    drain()
    document = engine.order(order["id"])
    assert document["status"] == "rejected"
    assert document["detail"] == "Account has insufficient balance for requested action."
    assert reserved(engine) == {}


def test_cancel_before_the_submit_is_claimed_sends_nothing(engine: Engine) -> None:
    _, order = engine.limit("BUY", "0.01", "59000.00")
    status, document = engine.request("DELETE", f"order/{order['id']}")
    assert (status, document["status"], document["reason"]) == (200, "canceled", "CANCELED_BEFORE_SEND")
    drain()
    assert Attempt.objects.count() == 0
    assert reserved(engine) == {}


def test_refused_cancel_of_a_filled_order_books_the_fill(engine: Engine) -> None:
    _, order = engine.limit("BUY", "0.01", "59000.00")
    drain()
    engine.request("DELETE", f"order/{order['id']}")
    engine.simulator.trade("BTCUSDT", "59000.00", "0.01", "SELL")
    drain()
    document = engine.order(order["id"])
    assert (document["status"], document["filled_quantity"]) == ("filled", "0.01")


def test_second_delivery_of_a_doorbell_sends_nothing(engine: Engine) -> None:
    from django_q.models import OrmQ

    engine.place(quantity="0.01")
    row = OrmQ.objects.get(key="submit-binance")
    OrmQ.objects.create(key=row.key, payload=row.payload, lock=row.lock)
    drain()
    assert Attempt.objects.count() == 1
    assert set(engine.simulator.posted().values()) == {1}


def test_denied_order_is_stored_with_its_decision_and_is_its_keys_final_answer(engine: Engine) -> None:
    status, problem = engine.place(quantity="100", key="fat-finger")
    assert (status, problem["code"]) == (422, "MAX_ORDER_NOTIONAL")
    assert problem["order"]["status"] == "denied"
    assert {c["code"] for c in problem["decision"]["controls"] if c["outcome"] == "breach"} == {
        "MAX_ORDER_NOTIONAL",
        "INSUFFICIENT_FUNDS",
    }
    again, repeated = engine.place(quantity="100", key="fat-finger")
    assert (again, repeated["order"]["id"]) == (422, problem["order"]["id"])
    assert drain() == 0


def test_two_market_orders_cannot_spend_the_same_funds(engine: Engine) -> None:
    assert engine.place(side="SELL", quantity="8")[0] == 202
    status, problem = engine.place(side="SELL", quantity="8")
    assert (status, problem["code"]) == (422, "INSUFFICIENT_FUNDS")


def test_client_order_ids_are_ours_and_unique(engine: Engine) -> None:
    for _ in range(3):
        engine.place(quantity="0.001")
    drain()
    ids = list(ExchangeOrder.objects.values_list("client_order_id", flat=True))
    assert len(set(ids)) == 3
    assert all(len(text) == 36 for text in ids)


def test_limit_maker_rests_and_is_rejected_when_it_would_take(engine: Engine) -> None:
    body = {"type": "LIMIT_MAKER", "side": "BUY", "quantity": "0.01"}
    _, resting = engine.place(**body, price="59000.00")
    _, taking = engine.place(**body, price="60010.00")
    drain()
    assert engine.order(resting["id"])["status"] == "open"
    document = engine.order(taking["id"])
    assert (document["status"], document["reason"]) == ("rejected", "WOULD_MATCH")


def test_stop_loss_limit_waits_for_its_trigger_and_fills(engine: Engine) -> None:
    status, order = engine.place(
        type="STOP_LOSS_LIMIT",
        side="SELL",
        quantity="0.01",
        price="58900.00",
        stop_price="59000.00",
        time_in_force="GTC",
    )
    assert status == 202, order
    drain()
    assert engine.order(order["id"])["status"] == "open"
    engine.simulator.book("BTCUSDT", "58950.00", "58960.00")
    follow_account(engine.account)
    document = engine.order(order["id"])
    assert (document["status"], document["average_price"]) == ("filled", "58950")


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({"type": "LIMIT_MAKER", "price": "59000", "time_in_force": "GTC"}, "UNEXPECTED_FIELD", "/time_in_force"),
        ({"type": "STOP_LOSS_LIMIT", "price": "59000", "time_in_force": "GTC"}, "MISSING_FIELD", "/stop_price"),
        ({"type": "LIMIT", "price": "59000"}, "MISSING_FIELD", "/time_in_force"),
        ({"type": "LIMIT", "time_in_force": "GTC"}, "MISSING_FIELD", "/price"),
        ({"type": "MARKET", "price": "59000"}, "UNEXPECTED_FIELD", "/price"),
        ({"type": "MARKET", "stop_price": "59000"}, "UNEXPECTED_FIELD", "/stop_price"),
        ({"symbol": "DOGEUSDT"}, "UNKNOWN_SYMBOL", "/symbol"),
        ({"strategy": "nobody"}, "UNKNOWN_STRATEGY", "/strategy"),
        ({"quote_quantity": "10"}, "ONE_QUANTITY", "/quantity"),
        ({"quantity": "0.000001", "round": True}, "ROUNDED_TO_ZERO", "/quantity"),
    ],
)
def test_a_request_that_can_never_be_an_order_is_refused_with_its_field(
    engine: Engine, body: dict[str, Any], code: str, pointer: str
) -> None:
    status, problem = engine.place(**{"quantity": "0.01", **body})
    assert (status, problem["code"], problem["errors"][0]["pointer"]) == (400, code, pointer)
    assert Order.objects.count() == 0


def test_rounding_happens_only_when_asked_and_never_against_the_client(engine: Engine) -> None:
    body = {"side": "SELL", "type": "LIMIT", "time_in_force": "GTC", "quantity": "0.0123456", "price": "61000.001"}
    status, problem = engine.place(**body)
    assert (status, problem["code"]) == (422, "FILTER_LOT_SIZE")
    status, order = engine.place(**body, round=True)
    assert (status, order["quantity"], order["price"]) == (202, "0.01234", "61000.01")


def a_moment_later() -> None:
    """As if the orders had ended, and were looked at, some seconds ago."""
    past = clock.now() - timedelta(seconds=5)
    Order.objects.update(updated_at=past)
    ExchangeOrder.objects.update(last_looked_at=past)


def test_many_orders_are_settled_by_one_reading_of_their_trades(engine: Engine) -> None:
    ids = [engine.place(quantity=quantity)[1]["id"] for quantity in ("0.01", "0.02", "0.03", "0.04")]
    drain("submit-binance")
    assert set(Order.objects.values_list("status", flat=True)) == {"filled"}
    a_moment_later()
    before = engine.simulator.call("GET", "/sim/counters")["calls"].get("GET /api/v3/myTrades", 0)
    assert settle_account(engine.account) == len(ids)
    after = engine.simulator.call("GET", "/sim/counters")["calls"]["GET /api/v3/myTrades"]
    assert after - before == 1
    assert set(Order.objects.values_list("status", flat=True)) == {"settled"}
    evidence = Event.objects.get(kind="order.settled", subject_id=ids[3]).evidence
    assert list(evidence.values()) == ["1 trades"]


def test_a_trade_that_the_reading_lacks_settles_nothing(engine: Engine) -> None:
    for _ in range(3):
        engine.place()
    drain("submit-binance")
    engine.simulator.fault("lagging_trades", call="GET /api/v3/myTrades", ms=60_000)
    a_moment_later()
    assert settle_account(engine.account) == 0
    engine.simulator.call("DELETE", "/sim/faults")
    a_moment_later()
    assert settle_account(engine.account) == 3
