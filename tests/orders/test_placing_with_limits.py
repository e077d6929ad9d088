"""Placing and replacing under every limit that needs more than the order: what is read for each, and when."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from exchanges.models import Account, Depth, Instrument
from execution_project.common import clock
from orders.models import ExchangeOrder, Order
from orders.placing import Placed
from orders.replacing import request_replace
from orders.reserving import set_reservation
from positions.models import Holding
from risk.controls.catalogue import CATALOGUE
from risk.limits import tighten_or_set
from risk.models import Decision, Reservation
from risk.pausing import pause
from tests.factories import (
    BY,
    AccountFactory,
    FillFactory,
    HoldingFactory,
    InstrumentFactory,
    QuoteFactory,
    StrategyFactory,
    funded_account,
    whole_order,
)
from tests.orders.test_placing import ask

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture
def account() -> Account:
    return funded_account(USDT="1000000", BTC="1")


def limit(control: str, value: str, kind: str = "global", key: str = "", enforcement: str | None = None) -> None:
    tighten_or_set(control, "sandbox", kind, key, D(value), reason="test", by=BY, enforcement=enforcement)


def said(placed: Placed, control: str) -> dict[str, Any]:
    return next(result for result in placed.decision.results if result["control"] == control)


def test_a_duplicate_is_found_under_another_key_and_not_once_the_first_has_ended(account: Account) -> None:
    limit("duplicate_window", "3600")
    first = ask(account, "a")
    second = ask(account, "b")
    assert (first.order.status, second.order.reason) == ("pending", "DUPLICATE_ORDER")
    assert said(second, "duplicate_window")["inputs"]["order"] == str(first.order.id)
    assert ask(account, "c", quantity=D("0.002")).order.status == "pending"
    row = ExchangeOrder.objects.get(order=first.order)
    row.end_proof = "reported:canceled"
    row.save()
    set_reservation(first.order, row)
    third = ask(account, "d")
    assert third.order.status == "pending"
    # One that filled is no pattern yet; two are.
    for order in (first.order, third.order):
        FillFactory(account=account, order_id=order.id, trade_id=str(order.id))
        ExchangeOrder.objects.filter(order=order).update(end_proof="reported:filled")
        set_reservation(order, ExchangeOrder.objects.get(order=order))
    assert ask(account, "e").order.reason == "DUPLICATE_ORDER"


def test_an_own_order_of_another_account_at_the_exchange_is_not_traded_with(account: Account) -> None:
    limit("self_match", "0")
    other = AccountFactory()
    standing = whole_order(account=other, side="SELL", status="open", price=D("60000"))
    denied = ask(account, "a")
    assert denied.order.reason == "SELF_MATCH"
    assert said(denied, "self_match")["inputs"]["orders"] == [str(standing.id)]
    assert ask(account, "b", price=D("59999.99")).order.status == "pending"
    elsewhere = AccountFactory(exchange="btcturk")
    InstrumentFactory(exchange="btcturk")
    whole_order(
        account=elsewhere,
        side="SELL",
        status="open",
        price=D("1"),
        instrument=Instrument.objects.get(exchange="btcturk"),
    )
    assert ask(account, "c", price=D("59999.98")).order.status == "pending"


def test_a_market_order_is_held_against_the_stored_book(account: Account) -> None:
    limit("market_slippage", "0.001")
    market: dict[str, Any] = {"type": "MARKET", "price": None, "time_in_force": None}
    assert ask(account, "a", **market).order.reason == "DEPTH_UNAVAILABLE"
    instrument = Instrument.objects.get(symbol="BTCUSDT")
    asks = [["60010", "0.5"], ["60070.01", "1"]]
    Depth.objects.create(instrument=instrument, bids=[["60000", "1"]], asks=asks, confirmed_at=clock.now())
    small, large = ask(account, "b", **market), ask(account, "c", **market, quantity=D("0.6"))
    assert (small.order.status, large.order.status) == ("pending", "pending")
    assert said(large, "market_slippage")["observed"] == "0.001"
    limit("market_slippage", "0.0005")
    assert ask(account, "d", **market, quantity=D("0.7")).order.reason == "DEPTH_INSUFFICIENT"


def test_exposure_is_summed_over_exchanges_and_pairs_and_valued_by_way_of_the_quote_asset(account: Account) -> None:
    turkish = AccountFactory(exchange="btcturk")
    HoldingFactory(account=turkish, asset="BTC", quantity=D(2), strategy=StrategyFactory())
    HoldingFactory(account=turkish, asset="LIRAONLY", quantity=D(10))
    at = {"exchange": "btcturk", "quote_asset": "TRY"}
    QuoteFactory(instrument=InstrumentFactory(base_asset="USDT", **at), bid=D("39"), ask=D("41"))
    QuoteFactory(instrument=InstrumentFactory(base_asset="LIRAONLY", **at), bid=D("399"), ask=D("401"))
    limit("max_asset_exposure", "1000000", "asset", "BTC")
    limit("max_gross_exposure", "1000000")
    placed = ask(account)
    assert placed.order.status == "pending"
    seen = said(placed, "max_asset_exposure")
    assert (seen["observed"], seen["inputs"]["held"]) == ("180075.005", "3")
    assert seen["inputs"]["mark"] == "60005"
    gross = D(said(placed, "max_gross_exposure")["observed"])
    assert gross == D("180075.005") + D("100")  # 10 at 400 TRY, 40 TRY to the USDT
    Holding.objects.filter(asset="LIRAONLY").update(asset="UNPRICED")
    assert ask(account, "b").order.reason == "MARK_UNAVAILABLE"


def test_the_other_exchange_tells_a_price_that_runs_away(account: Account) -> None:
    QuoteFactory(instrument=InstrumentFactory(exchange="btcturk"), bid=D("50000"), ask=D("50010"))
    limit("max_divergence", "0.1")
    denied = ask(account)
    assert denied.order.reason == "PRICES_DIVERGE"
    assert said(denied, "max_divergence")["inputs"]["source"] == "quote:btcturk"


def working(account: Account, quantity: str = "0.01") -> Order:
    order = ask(account, "to-replace", quantity=D(quantity)).order
    Order.objects.filter(id=order.id).update(status="open")
    ExchangeOrder.objects.filter(order=order).update(exchange_order_id="9001", reported_status="open")
    order.commands.update(status="done")
    return Order.objects.get(id=order.id)


def test_a_replace_is_decided_by_all_limits_and_counts_the_greater_of_old_and_new(account: Account) -> None:
    order = working(account)
    for control, value in (
        ("max_asset_exposure", "61300"),
        ("max_working_orders", "1"),
        ("max_turnover_1h", "1230.11"),
    ):
        limit(control, value)
    denied = request_replace(order.id, quantity=D("0.03"), price=None, by=BY)
    assert denied.command is None
    codes = [result["code"] for result in denied.decision.results if result["outcome"] == "breach"]
    assert codes == ["MAX_ASSET_EXPOSURE", "MAX_TURNOVER"]
    accepted = request_replace(order.id, quantity=D("0.02"), price=None, by=BY)
    assert accepted.command is not None
    decision = Decision.objects.get(id=accepted.decision.id)
    # 1 BTC held, 0.02 of it in the order: nothing of the old one counts twice.
    assert {r["control"]: r["observed"] for r in decision.results if r["outcome"] == "pass"}["max_asset_exposure"] == (
        "61205.1"
    )
    assert (decision.kind, decision.notional) == ("replace", D("600.05"))
    live = Reservation.objects.filter(order_id=order.id, live=True)
    assert (live.count(), sum(row.exposure for row in live)) == (2, D("1200.1"))


def test_a_replace_by_less_counts_as_what_works_until_then(account: Account) -> None:
    order = working(account)
    limit("max_asset_exposure", "60605.05")
    accepted = request_replace(order.id, quantity=D("0.005"), price=None, by=BY)
    assert accepted.command is not None
    seen = {r["control"]: r["observed"] for r in accepted.decision.results}
    assert seen["max_asset_exposure"] == "60605.05", "the 0.01 that work, not the 0.005 that are asked for"


def test_an_order_is_held_against_the_median_of_its_own_like(account: Account) -> None:
    limit("max_quantity_multiple", "3")
    for turn in range(9):
        assert ask(account, f"usual-{turn}").order.status == "pending"
    Decision.objects.create(
        order_id=uuid4(), accepted=True, results=[], inputs={}, gate_seq=1, decided_at=clock.now(), actor="test",
        mode="sandbox", account_name=account.name, symbol="ETHUSDT", quantity=D(50),
    )  # fmt: skip
    few = ask(account, "few", quantity=D("0.01")).decision
    assert "9 earlier orders" in next(r for r in few.results if r["control"] == "max_quantity_multiple")["detail"]
    asked = ask(account, "usual", quantity=D("0.003"))
    assert said(asked, "max_quantity_multiple")["observed"] == "3"
    warned = ask(account, "unusual", quantity=D("0.0031"))
    assert (warned.order.status, said(warned, "max_quantity_multiple")["outcome"]) == ("pending", "warned")


def test_a_placement_takes_as_many_statements_under_every_limit_as_under_one(account: Account) -> None:
    def statements(key: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert ask(account, key).order.status == "pending"
        return len(captured)

    ask(account, "first")
    under_one = statements("second")
    for control, spec in CATALOGUE.items():
        if "global" in spec.scopes:
            limit(control, "0.5" if "collar" in control else "9", enforcement="SHADOW")
    assert statements("third") == under_one


def test_a_pause_of_any_scope_of_the_order_denies_what_increases_in_its_mode_alone(account: Account) -> None:
    def pause_of(mode: str, kind: str, key: str) -> None:
        length = timedelta(minutes=5)
        given: dict[str, Any] = {
            "control": "max_losing_closes_1h",
            "length": length,
            "reason": "losses",
            "evidence": {},
            "by": BY,
        }
        assert pause(mode, kind, key, **given) is not None

    pause_of("paper", "account", account.name)
    pause_of("sandbox", "account", "another")
    assert ask(account, "before").order.status == "pending"
    pause_of("sandbox", "account", account.name)
    paused = ask(account, "during")
    assert (paused.order.status, paused.order.reason) == ("denied", "COOLING_DOWN")
    assert said(paused, "paused")["inputs"].keys() == {f"account:{account.name} max_losing_closes_1h"}
    exit_ = ask(account, "exit", side="SELL", quantity=D("0.5"))
    assert exit_.order.status == "pending"
