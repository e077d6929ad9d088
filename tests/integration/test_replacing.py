"""PATCH: lowered in place, canceled and placed in one call, or a proven cancel first; and every way it can split."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from orders import sweeping
from orders.following import follow_account, settle
from orders.models import Command, ExchangeOrder, Order
from tests.engines import Engine, drain, holdings, reserved

pytestmark = pytest.mark.e2e
REPLACE = "POST /api/v3/order/cancelReplace"
AMEND = "PUT /api/v3/order/amend/keepPriority"


def resting(engine: Engine, quantity: str = "0.03", price: str = "59000.00") -> str:
    """A working limit buy; its id."""
    _, order = engine.limit("BUY", quantity, price)
    drain()
    document = engine.order(order["id"])
    assert document["status"] == "open"
    order_id: str = document["id"]
    return order_id


def patch(engine: Engine, order_id: str, **body: Any) -> Any:
    headers = {"If-Match": body.pop("if_match")} if "if_match" in body else {}
    return engine.request("PATCH", f"order/{order_id}", body, **headers)


def go_on() -> None:
    """Let whatever waits be due, until nothing is left to do."""
    for _ in range(6):
        drain()
        Command.objects.filter(status="queued").update(not_before=None, rung_at="2020-01-01T00:00:00Z")
        if not sweeping.ring_due_commands():
            return


def working_at_exchange(engine: Engine) -> list[tuple[str, str]]:
    """(leaves, price) of every order that works at the exchange, by its own word."""
    rows = engine.simulator.call("GET", f"/sim/orders?account={engine.account.name}")
    live = [row for row in rows if row["status"] in {"NEW", "PARTIALLY_FILLED"}]
    return [(str(Decimal(row["leaves"]).normalize()), str(Decimal(row["price"]).normalize())) for row in live]


def test_a_smaller_quantity_is_amended_in_place(engine: Engine) -> None:
    order_id = resting(engine)
    status, document = patch(engine, order_id, quantity="0.02")
    assert (status, document["replace"]["method"]) == (202, "amend")
    drain()
    document = engine.order(order_id)
    assert (document["status"], document["quantity"]) == ("open", "0.02")
    assert reserved(engine) == {"USDT": Decimal(1180)}
    assert working_at_exchange(engine) == [("0.02", "5.9E+4")]
    assert ExchangeOrder.objects.filter(order_id=order_id).count() == 1


def test_a_new_price_with_nothing_filled_is_one_call(engine: Engine) -> None:
    order_id = resting(engine)
    status, document = patch(engine, order_id, price="59500.00")
    assert (status, document["replace"]["method"]) == (202, "cancel_replace")
    assert reserved(engine) == {"USDT": Decimal("1785")}, "the greater of old and new"
    drain()
    document = engine.order(order_id)
    assert (document["status"], document["price"], document["quantity"]) == ("open", "59500", "0.03")
    assert reserved(engine) == {"USDT": Decimal("1785")}
    assert working_at_exchange(engine) == [("0.03", "5.95E+4")]
    engine.simulator.trade("BTCUSDT", "59500.00", "0.03", "SELL")
    follow_account(engine.account)
    assert engine.order(order_id)["status"] == "filled"
    assert settle(engine.account, Order.objects.get(id=order_id))
    assert holdings(engine) == engine.simulator.balances(engine.account.name)


def test_a_partly_filled_order_is_canceled_first_and_the_rest_placed(engine: Engine) -> None:
    order_id = resting(engine)
    engine.simulator.trade("BTCUSDT", "59000.00", "0.01", "SELL")
    follow_account(engine.account)
    status, document = patch(engine, order_id, quantity="0.05", price="59100.00")
    assert (status, document["replace"]["method"]) == (202, "cancel_then_place")
    go_on()
    document = engine.order(order_id)
    assert (document["status"], document["quantity"], document["filled_quantity"]) == (
        "partially_filled",
        "0.05",
        "0.01",
    )
    assert working_at_exchange(engine) == [("0.04", "5.91E+4")]
    assert reserved(engine) == {"USDT": Decimal("2364")}
    engine.simulator.trade("BTCUSDT", "59100.00", "0.04", "SELL")
    follow_account(engine.account)
    assert engine.order(order_id)["status"] == "filled"
    assert settle(engine.account, Order.objects.get(id=order_id))
    assert engine.order(order_id)["status"] == "settled"
    assert reserved(engine) == {}
    assert holdings(engine) == engine.simulator.balances(engine.account.name)


def test_a_fill_that_overtakes_the_replace_is_counted(engine: Engine) -> None:
    order_id = resting(engine)
    patch(engine, order_id, quantity="0.05", price="59100.00")
    engine.simulator.trade("BTCUSDT", "59000.00", "0.01", "SELL")
    go_on()
    document = engine.order(order_id)
    assert (document["status"], document["filled_quantity"]) == ("partially_filled", "0.01")
    assert working_at_exchange(engine) == [("0.04", "5.91E+4")]


def test_an_order_that_fills_whole_before_its_replace_gets_only_what_is_left(engine: Engine) -> None:
    order_id = resting(engine)
    patch(engine, order_id, quantity="0.05", price="59100.00")
    engine.simulator.trade("BTCUSDT", "59000.00", "0.03", "SELL")
    go_on()
    assert engine.order(order_id)["status"] == "partially_filled"
    assert working_at_exchange(engine) == [("0.02", "5.91E+4")]


def test_a_replacement_that_the_exchange_refuses_leaves_the_order_canceled(engine: Engine) -> None:
    """Split outcome: cancel done, new order refused."""
    order_id = resting(engine)
    patch(engine, order_id, price="59500.00")
    name, key = engine.account.name, "USDT"
    free = Decimal(engine.simulator.call("GET", f"/sim/balances?account={name}")[key]["free"])
    engine.simulator.call("POST", f"/sim/accounts/{name}/deposit", {"balances": {"USDT": str(-free)}})
    drain()
    document = engine.order(order_id)
    assert (document["status"], document["reason"]) == ("canceled", "REPLACE_REFUSED")
    assert reserved(engine) == {}
    assert working_at_exchange(engine) == []


@pytest.mark.parametrize("kind", ["drop_after", "garbage"])
def test_a_lost_answer_is_found_out_and_never_repeated(engine: Engine, kind: str) -> None:
    order_id = resting(engine)
    patch(engine, order_id, price="59500.00")
    engine.simulator.fault(kind, call=REPLACE)
    drain()
    go_on()
    document = engine.order(order_id)
    assert (document["status"], document["price"]) == ("open", "59500")
    assert working_at_exchange(engine) == [("0.03", "5.95E+4")]
    assert set(engine.simulator.posted().values()) == {1}
    assert reserved(engine) == {"USDT": Decimal("1785")}


def test_a_replace_that_never_arrived_stays_unknown_and_reserved(engine: Engine) -> None:
    order_id = resting(engine)
    patch(engine, order_id, price="59500.00")
    engine.simulator.fault("drop_before", call=REPLACE)
    drain()
    go_on()
    assert Command.objects.get(order_id=order_id, kind="replace").status == "unknown"
    assert engine.order(order_id)["status"] == "open"
    assert reserved(engine) == {"USDT": Decimal("1785")}
    assert engine.simulator.call("GET", "/sim/counters")["calls"][REPLACE] == 1


def test_a_throttled_replace_goes_again_under_a_new_client_order_id(engine: Engine) -> None:
    order_id = resting(engine)
    patch(engine, order_id, price="59500.00")
    engine.simulator.fault("rate_limit", call=REPLACE, retry_after=1)
    drain()
    from exchanges.models import HostPause

    HostPause.objects.all().delete()
    go_on()
    assert engine.order(order_id)["price"] == "59500"
    assert working_at_exchange(engine) == [("0.03", "5.95E+4")]
    assert all(count == 1 for count in engine.simulator.posted().values())


def test_a_lost_amend_answer_is_asked_again_and_believed_from_what_the_exchange_shows(engine: Engine) -> None:
    order_id = resting(engine)
    patch(engine, order_id, quantity="0.02")
    engine.simulator.fault("drop_after", call=AMEND)
    drain()
    go_on()
    assert engine.order(order_id)["quantity"] == "0.02"
    assert reserved(engine) == {"USDT": Decimal(1180)}
    assert Command.objects.get(order_id=order_id, kind="replace").status == "done"


def test_a_cancel_ends_a_replace_that_was_not_carried_out(engine: Engine) -> None:
    order_id = resting(engine)
    patch(engine, order_id, price="59500.00")
    engine.request("DELETE", f"order/{order_id}")
    go_on()
    assert engine.order(order_id)["status"] == "canceled"
    assert working_at_exchange(engine) == []
    assert reserved(engine) == {}


def test_a_halt_stops_a_replace_and_leaves_the_order_as_it_is(engine: Engine) -> None:
    order_id = resting(engine)
    patch(engine, order_id, price="59500.00")
    engine.request("POST", "stop", {"scope": "global", "reason": "test"})
    go_on()
    assert engine.order(order_id)["price"] == "59000"
    assert working_at_exchange(engine) == [("0.03", "5.9E+4")]
    assert reserved(engine) == {"USDT": Decimal(1770)}


def test_a_halt_between_cancel_and_placing_ends_the_order_canceled(engine: Engine) -> None:
    order_id = resting(engine)
    engine.simulator.trade("BTCUSDT", "59000.00", "0.01", "SELL")
    follow_account(engine.account)
    patch(engine, order_id, quantity="0.05", price="59100.00")
    drain("cancel")
    assert working_at_exchange(engine) == []
    engine.request("POST", "stop", {"scope": "global", "reason": "test"})
    go_on()
    document = engine.order(order_id)
    assert (document["status"], document["reason"], document["filled_quantity"]) == (
        "canceled",
        "TRADING_HALTED",
        "0.01",
    )
    assert reserved(engine) == {}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "NOTHING_TO_REPLACE"),
        ({"quantity": "0.03"}, 400, "NOTHING_TO_REPLACE"),
        ({"quantity": 0.01}, 400, "INVALID_REQUEST"),
        ({"side": "SELL"}, 400, "INVALID_REQUEST"),
        ({"quantity": "0.02", "if_match": '"999"'}, 412, "VERSION_CHANGED"),
        ({"quantity": "100"}, 422, "MAX_ORDER_NOTIONAL"),
        ({"price": "59000.001"}, 422, "FILTER_PRICE_FILTER"),
    ],
)
def test_what_cannot_be_replaced_is_refused_and_changes_nothing(
    engine: Engine, body: dict[str, Any], status: int, code: str
) -> None:
    order_id = resting(engine)
    got, problem = patch(engine, order_id, **body)
    assert (got, problem["code"]) == (status, code)
    go_on()
    assert working_at_exchange(engine) == [("0.03", "5.9E+4")]
    assert reserved(engine) == {"USDT": Decimal(1770)}


def test_one_replace_at_a_time_and_none_of_an_ended_order(engine: Engine) -> None:
    order_id = resting(engine)
    assert patch(engine, order_id, price="59500.00")[0] == 202
    assert patch(engine, order_id, price="59600.00")[1]["code"] == "REPLACE_IN_FLIGHT"
    go_on()
    engine.request("DELETE", f"order/{order_id}")
    assert patch(engine, order_id, price="59600.00")[1]["code"] == "CANCEL_IN_FLIGHT"
    go_on()
    assert patch(engine, order_id, price="59600.00")[1]["code"] == "NOT_WORKING"


def test_a_denied_order_cannot_be_replaced(engine: Engine) -> None:
    status, denied = engine.limit("BUY", "9000", "59000.00")
    assert status == 422
    status, refused = patch(engine, denied["order"]["id"], price="59600.00")
    assert (status, refused["code"]) == (409, "NOT_WORKING")


def test_replaces_cannot_spend_more_than_there_is(engine: Engine) -> None:
    """A replace reserves only the difference, and that must be there."""
    first = resting(engine, "10", "59000.00")
    assert resting(engine, "6", "59000.00")
    status, problem = patch(engine, first, quantity="11")
    assert (status, problem["code"]) == (422, "INSUFFICIENT_FUNDS")
    status, _ = patch(engine, first, quantity="10.5")
    assert status == 202
