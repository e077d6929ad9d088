"""The same scenarios on both exchanges: what an order comes to must not depend on whose protocol carried it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from exchanges.models import HostPause
from orders import sweeping
from orders.following import follow_account, probe, settle
from orders.models import Attempt, Command, Order
from tests.engines import Engine, drain, holdings, make_engine, reserved
from tests.simulators import Simulator

pytestmark = pytest.mark.e2e
PLACE = {"binance": "POST /api/v3/order", "btcturk": "POST /api/v1/order"}
CANCEL = {"binance": "DELETE /api/v3/order", "btcturk": "DELETE /api/v1/order"}


@pytest.fixture(params=["binance", "btcturk"])
def venue(request: pytest.FixtureRequest, transactional_db: None, simulator: Simulator) -> Engine:
    """An engine with one account at each exchange in turn; bid 60000, ask 60010 on both."""
    return make_engine(simulator, exchange=request.param)


def exchange(venue: Engine) -> str:
    name: str = venue.account.exchange
    return name


def prints(venue: Engine, price: str, quantity: str, aggressor: str) -> None:
    venue.simulator.trade("BTCUSDT", price, quantity, aggressor, exchange(venue))
    follow_account(venue.account)


def fault(venue: Engine, kind: str, calls: dict[str, str] = PLACE, **parameters: Any) -> None:
    venue.simulator.fault(kind, call=calls[exchange(venue)], **parameters)


def go_on() -> None:
    for _ in range(6):
        drain()
        HostPause.objects.all().delete()
        Command.objects.filter(status="queued").update(not_before=None, rung_at="2020-01-01T00:00:00Z")
        if not sweeping.ring_due_commands():
            return


def assert_settled(venue: Engine, order_id: str, ended_as: str) -> None:
    assert settle(venue.account, Order.objects.get(id=order_id))
    document = venue.order(order_id)
    assert (document["status"], document["ended_as"]) == ("settled", ended_as)
    assert reserved(venue) == {}
    assert holdings(venue) == venue.simulator.balances(venue.account.name)
    assert all(count == 1 for count in venue.simulator.posted().values())


def test_market_buy_in_quote_and_market_sell_in_base(venue: Engine) -> None:
    status, bought = venue.place(quote_quantity="600")
    assert status == 202, bought
    drain()
    _, sold = venue.place(side="SELL", quantity="0.005")
    drain()
    assert [venue.order(order["id"])["status"] for order in (bought, sold)] == ["filled", "filled"]
    assert venue.order(sold["id"])["filled_quantity"] == "0.005"
    assert_settled(venue, sold["id"], "filled")
    assert_settled(venue, bought["id"], "filled")


def test_limit_order_rests_fills_in_parts_and_settles(venue: Engine) -> None:
    _, order = venue.limit("BUY", "0.03", "59000")
    drain()
    assert venue.order(order["id"])["status"] == "open"
    prints(venue, "59000", "0.01", "SELL")
    document = venue.order(order["id"])
    assert (document["status"], document["filled_quantity"]) == ("partially_filled", "0.01")
    prints(venue, "59000", "0.02", "SELL")
    assert venue.order(order["id"])["status"] == "filled"
    assert_settled(venue, order["id"], "filled")


def test_cancel_of_a_part_filled_order_keeps_its_fill(venue: Engine) -> None:
    _, order = venue.limit("SELL", "0.03", "61000")
    drain()
    prints(venue, "61000", "0.01", "BUY")
    venue.request("DELETE", f"order/{order['id']}")
    go_on()
    document = venue.order(order["id"])
    assert (document["status"], document["filled_quantity"]) == ("canceled", "0.01")
    assert_settled(venue, order["id"], "canceled")


def test_a_fill_that_beats_the_cancel_is_booked(venue: Engine) -> None:
    _, order = venue.limit("BUY", "0.01", "59000")
    drain()
    venue.request("DELETE", f"order/{order['id']}")
    venue.simulator.trade("BTCUSDT", "59000", "0.01", "SELL", exchange(venue))
    go_on()
    assert venue.order(order["id"])["status"] == "filled"
    assert_settled(venue, order["id"], "filled")


@pytest.mark.parametrize("kind", ["drop_after", "garbage"])
def test_a_lost_answer_is_adopted_and_never_repeated(venue: Engine, kind: str) -> None:
    fault(venue, kind)
    _, order = venue.limit("BUY", "0.01", "60010")
    drain(f"submit-{exchange(venue)}")
    assert venue.order(order["id"])["status"] == "submit_unknown"
    assert reserved(venue)
    go_on()
    assert venue.order(order["id"])["status"] == "filled"
    assert_settled(venue, order["id"], "filled")


def test_a_request_that_never_arrived_stays_unknown_and_reserved(venue: Engine) -> None:
    fault(venue, "drop_before")
    _, order = venue.limit("BUY", "0.01", "60010")
    drain()
    assert probe(Order.objects.get(id=order["id"]).id) is False
    assert venue.order(order["id"])["status"] == "submit_unknown"
    assert reserved(venue)
    assert Attempt.objects.filter(kind="submit").count() == 1


@pytest.mark.parametrize("execute", [True, False])
def test_a_server_error_is_unknown_until_the_exchange_tells(venue: Engine, execute: bool) -> None:
    fault(venue, "status", status=503, html="<html>unavailable</html>", execute=execute)
    _, order = venue.limit("BUY", "0.01", "60010")
    drain(f"submit-{exchange(venue)}")
    assert venue.order(order["id"])["status"] == "submit_unknown"
    go_on()
    assert venue.order(order["id"])["status"] == ("filled" if execute else "submit_unknown")
    assert Attempt.objects.filter(kind="submit").count() == 1


def test_a_throttled_order_goes_again_under_a_new_client_order_id(venue: Engine) -> None:
    fault(venue, "rate_limit", retry_after=1)
    _, order = venue.limit("BUY", "0.01", "60010")
    drain()
    assert venue.order(order["id"])["status"] == "pending"
    assert HostPause.objects.exists()
    go_on()
    assert venue.order(order["id"])["status"] == "filled"
    assert_settled(venue, order["id"], "filled")


def test_a_cancel_that_gets_no_answer_is_asked_again_until_the_end_is_proven(venue: Engine) -> None:
    _, order = venue.limit("BUY", "0.01", "59000")
    drain()
    fault(venue, "drop_before", CANCEL)
    venue.request("DELETE", f"order/{order['id']}")
    drain()
    assert venue.order(order["id"])["status"] == "open"
    go_on()
    assert venue.order(order["id"])["status"] == "canceled"
    assert_settled(venue, order["id"], "canceled")


def test_an_order_whose_answer_was_lost_can_be_canceled(venue: Engine) -> None:
    fault(venue, "drop_after")
    _, order = venue.limit("BUY", "0.01", "59000")
    drain(f"submit-{exchange(venue)}")
    venue.request("DELETE", f"order/{order['id']}")
    go_on()
    assert venue.order(order["id"])["status"] == "canceled"
    assert_settled(venue, order["id"], "canceled")


def test_a_replace_ends_with_one_working_order_of_what_is_left(venue: Engine) -> None:
    _, order = venue.limit("BUY", "0.03", "59000")
    drain()
    prints(venue, "59000", "0.01", "SELL")
    status, document = venue.request("PATCH", f"order/{order['id']}", {"quantity": "0.05", "price": "59100"})
    assert (status, document["replace"]["method"]) == (202, "cancel_then_place")
    go_on()
    rows = venue.simulator.call("GET", f"/sim/orders?account={venue.account.name}")
    live = [row for row in rows if Decimal(row["leaves"]) > 0 and row["status"] in {"NEW", "PARTIALLY_FILLED"}]
    assert [(Decimal(row["leaves"]), Decimal(row["price"])) for row in live] == [(Decimal("0.04"), Decimal(59100))]
    prints(venue, "59100", "0.04", "SELL")
    assert_settled(venue, order["id"], "filled")


def test_what_the_exchange_cannot_do_is_refused_with_its_reason(venue: Engine) -> None:
    status, problem = venue.limit("BUY", "0.01", "59000", "FOK")
    if exchange(venue) == "binance":
        assert status == 202
        return
    assert (status, problem["code"]) == (400, "NOT_SUPPORTED")
    assert venue.place(quantity="0.01")[1]["code"] == "NOT_SUPPORTED"
    status, problem = venue.place(
        quantity="0.01", side="SELL", type="STOP_LOSS_LIMIT", price="1", stop_price="1", time_in_force="GTC"
    )
    assert (status, problem["code"]) == (400, "NOT_SUPPORTED")
    assert "triggered stop" in problem["detail"]


def test_what_the_filters_forbid_never_leaves(venue: Engine) -> None:
    status, problem = venue.limit("BUY", "0.01", "59000.001")
    assert status == 422
    assert problem["code"] == {"binance": "FILTER_PRICE_FILTER", "btcturk": "FILTER_PRECISION"}[exchange(venue)]
    assert drain() == 0
