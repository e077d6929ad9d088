"""MARKET orders of an account that sends them as LIMIT IOC: what the gate decides, and what arrives at the exchange."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from exchanges.accounts import set_market_as_limit_ioc
from exchanges.models import Account, Quote
from execution_project.common import clock
from execution_project.common.problems import Problem
from orders.models import Attempt, ExchangeOrder
from risk.models import Reservation
from tests.commands import run
from tests.engines import Engine, drain, reserved
from tests.factories import BY

pytestmark = pytest.mark.e2e
D = Decimal


@pytest.fixture
def venue(engine: Engine) -> Engine:
    engine.account = set_market_as_limit_ioc(engine.account, True, reason="thin books", by=BY)
    return engine


def test_a_market_order_arrives_as_limit_ioc_and_a_thin_book_leaves_the_rest_expired(venue: Engine) -> None:
    venue.simulator.book("BTCUSDT", "60000.00", "60010.00", "0.004")
    _, order = venue.place(quantity="2", strategy="demo")
    assert (order["status"], order["type"], order["price"]) == ("pending", "MARKET", None)
    # 60010 · 1.005 = 60310.05, on the tick of 0.01 already.
    assert order["protection_price"] == "60310.05"
    decision = venue.order(order["id"])["decision"]
    assert decision["inputs"]["price"]["ask"] == "60010"
    assert decision["inputs"]["protection_price"] == "60310.05"
    assert reserved(venue) == {"USDT": D("120620.1")}
    assert Reservation.objects.get().price == D("60310.05")
    drain()
    document = venue.order(order["id"])
    assert document["status"] == "expired"
    assert D("0") < D(document["filled_quantity"]) < D(2)
    assert reserved(venue) == {}
    sent = Attempt.objects.get(kind="submit").request["parameters"]
    assert (sent["type"], sent["timeInForce"], sent["price"], sent["quantity"]) == ("LIMIT", "IOC", "60310.05", "2")
    (seen,) = venue.simulator.call("GET", f"/sim/orders?account={venue.account.name}&symbol=BTCUSDT")
    assert (seen["type"], seen["time_in_force"], seen["status"]) == ("LIMIT", "IOC", "EXPIRED")
    assert "sent as LIMIT IOC at 60310.05" in run("explain_order", order["id"]).out


def test_a_sale_is_limited_below_the_bid_toward_the_passive_side(venue: Engine) -> None:
    venue.simulator.book("BTCUSDT", "60000.01", "60010.00")
    venue.refresh()
    _, order = venue.place(side="SELL", quantity="0.01")
    assert order["protection_price"] == "59700.01"  # 59700.00995, up to the tick
    drain()
    assert venue.order(order["id"])["status"] == "filled"


def test_without_a_price_neither_side_is_sent_and_the_claim_looks_again(venue: Engine) -> None:
    _, bought = venue.place(quantity="0.01")
    _, sold = venue.place(side="SELL", quantity="0.01")
    Quote.objects.update(bid=D("59000"), ask=D("60400"), confirmed_at=clock.now() + timedelta(seconds=1))
    drain()
    assert [venue.order(order["id"])["reason"] for order in (bought, sold)] == ["PRICE_MOVED", "PRICE_MOVED"]
    Quote.objects.update(confirmed_at=clock.now() - timedelta(seconds=6))
    for side in ("BUY", "SELL"):
        status, denied = venue.place(side=side, quantity="0.01")
        assert (status, denied["code"]) == (422, "PRICE_UNAVAILABLE")
    assert not Attempt.objects.exists()
    assert set(ExchangeOrder.objects.values_list("end_proof", flat=True)) == {"never sent"}


def test_a_size_in_quote_is_refused_and_so_is_an_exchange_without_ioc(venue: Engine) -> None:
    status, problem = venue.place(quote_quantity="100")
    assert (status, problem["code"]) == (400, "NOT_SUPPORTED")
    assert "takes quantity" in problem["detail"]
    assert run("set_market_as_limit_ioc", venue.account.name, "off", "--reason", "x").code == 0
    _, order = venue.place(quantity="0.01")
    assert order["protection_price"] is None
    with pytest.raises(Problem, match="knows no IOC"):
        set_market_as_limit_ioc(Account(name="b", exchange="btcturk"), True, reason="x", by=BY)
