"""Placing: one request, one order with all that belongs to it, or a denied order with its reasons; never a half."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from exchanges.models import Account, Balance, Quote
from execution_project.common import clock, ids
from execution_project.common.models import Event, IdempotencyKey
from execution_project.common.problems import Problem
from orders.models import Command, ExchangeOrder, Order
from orders.placing import OrderRequest, Placed, place, rehearse
from risk.models import Decision, Limit, Reservation
from risk.trading_state import halt
from tests.factories import BY, InstrumentFactory, LimitFactory, StrategyFactory, funded_account

pytestmark = pytest.mark.django_db
D = Decimal


def request(account: Account, **changes: Any) -> OrderRequest:
    """A limit buy of 0.001 BTC at 60 000: it needs 60 USDT."""
    return replace(
        OrderRequest(account.name, "BTCUSDT", "BUY", "LIMIT", D("0.001"), price=D("60000"), time_in_force="GTC"),
        **changes,
    )


def ask(account: Account, key: str = "one", body: str = "body", **changes: Any) -> Placed:
    return place(request(account, **changes), idempotency_key=key, body_hash=body, account=account, by=BY)


def counts() -> tuple[int, ...]:
    """Rows of everything that an accepted order consists of."""
    models = (Order, Decision, ExchangeOrder, Reservation, Command, OrmQ)
    return tuple(model.objects.count() for model in models)


def test_an_accepted_order_comes_with_all_that_carries_it_out() -> None:
    account = funded_account(USDT="1000")
    placed = ask(account)
    assert counts() == (1, 1, 1, 1, 1, 1)
    order, row, command = Order.objects.get(), ExchangeOrder.objects.get(), Command.objects.get()
    decision, reservation = Decision.objects.get(), Reservation.objects.get()
    assert (placed.order, placed.replayed, order.status) == (order, False, "pending")
    assert (decision.id, decision.order_id, decision.accepted) == (order.decision_id, order.id, True)
    assert decision.gate_seq == order.gate_seq
    assert ids.read_client_order_id(row.client_order_id)[1:] == (order.id, 0)
    assert (row.quantity, row.price, row.reserve_price) == (order.quantity, order.price, 60000)
    assert (reservation.exchange_order_id, reservation.account_name, reservation.mode) == (
        row.id,
        account.name,
        "sandbox",
    )
    assert (reservation.asset, reservation.amount, reservation.exposure) == ("USDT", 60, D("60.005"))
    assert (command.kind, command.status, command.exchange_order) == ("submit", "queued", row)
    package = SignedPackage.loads(OrmQ.objects.get().payload)
    assert (package["func"], package["args"]) == ("orders.tasks.submit", (str(command.id),))
    event = Event.objects.get(kind="order.accepted")
    assert (event.subject_id, event.actor, event.to_status) == (str(order.id), BY.name, "pending")
    assert order.valid_until - order.created_at == timedelta(seconds=60)


def test_a_denied_order_is_kept_with_every_reason_and_asks_nothing_of_anybody() -> None:
    account = funded_account(USDT="1")
    halt("global", "", reason="test", by=BY)
    placed = ask(account)
    assert counts() == (1, 1, 0, 0, 0, 0)
    assert (placed.order.status, placed.order.reason) == ("denied", "TRADING_HALTED")
    assert Event.objects.get(kind="order.denied").evidence["breaches"] == ["TRADING_HALTED", "INSUFFICIENT_FUNDS"]


def test_the_same_key_returns_the_first_outcome_and_another_body_is_refused() -> None:
    account = funded_account(USDT="1000")
    first = ask(account)
    again = ask(account, quantity=D("0.009"))  # the hash of the body decides, which the API makes of the body
    assert (again.order, again.decision, again.replayed) == (first.order, first.decision, True)
    with pytest.raises(Problem) as caught:
        ask(account, body="another")
    assert (caught.value.status, caught.value.code) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert counts() == (1, 1, 1, 1, 1, 1)


def test_a_denied_order_is_replayed_denied_even_when_it_would_pass_by_now() -> None:
    account = funded_account(USDT="1")
    assert ask(account).order.status == "denied"
    Balance.objects.update(free=D(1000))
    account.holding_set.update(quantity=D(1000))
    assert ask(account).order.status == "denied"
    assert ask(account, key="two").order.status == "pending"


def test_reservations_add_up_until_the_funds_are_used() -> None:
    account = funded_account(USDT="179.999999999999999999")
    statuses = [ask(account, key=str(n)).order.status for n in range(3)]
    assert statuses == ["pending", "pending", "denied"]
    assert Order.objects.get(status="denied").reason == "INSUFFICIENT_FUNDS"
    assert ask(account, key="smaller", quantity=D("0.0005")).order.status == "pending"


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda account: Quote.objects.update(confirmed_at=clock.now() - timedelta(seconds=6)), "PRICE_UNAVAILABLE"),
        (lambda account: Quote.objects.all().delete(), "PRICE_UNAVAILABLE"),
        (lambda account: Quote.objects.update(bid=D(60011)), "PRICE_UNAVAILABLE"),
        (lambda account: Balance.objects.update(as_of=clock.now() - timedelta(seconds=61)), "BALANCE_STALE"),
        (lambda account: Balance.objects.all().delete(), "BALANCE_UNKNOWN"),
        (lambda account: LimitFactory(scope_key=account.name, version=2, value=None), "LIMIT_NOT_SET"),
        (lambda account: LimitFactory(scope_key=account.name, version=2, value=D("59.9")), "MAX_ORDER_NOTIONAL"),
        (lambda account: LimitFactory(scope_kind="global", scope_key="", value=D("59.9")), "MAX_ORDER_NOTIONAL"),
        (lambda account: Account.objects.update(books_opened_at=None), "BOOKS_NOT_OPEN"),
        (lambda account: InstrumentFactory._meta.model.objects.update(is_trading=False), "INSTRUMENT_NOT_TRADING"),
    ],
)
def test_what_is_missing_or_stale_denies_a_buy(spoil: Any, code: str) -> None:
    account = funded_account(USDT="1000")
    spoil(account)
    account.refresh_from_db()
    assert code in Event.objects.get(kind="order.denied", subject_id=str(ask(account).order.id)).evidence["breaches"]


def test_a_reducing_sale_keeps_a_way_out_without_limit_and_with_an_old_balance() -> None:
    account = funded_account(BTC="1")
    InstrumentFactory._meta.model.objects.update(filters={})
    Balance.objects.update(as_of=clock.now() - timedelta(days=1))
    LimitFactory(scope_key=account.name, version=2, value=D(1))
    assert ask(account, side="SELL", quantity=D(1)).order.status == "pending"
    assert Reservation.objects.get().asset == "BTC"
    assert Limit.objects.count() == 2
    denied = ask(account, "two", side="SELL", quantity=D("0.00001"))
    assert denied.order.status == "denied", "a working sale uses up what can be sold"


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"symbol": "NOPE"}, "UNKNOWN_SYMBOL", "/symbol"),
        ({"strategy": "nobody"}, "UNKNOWN_STRATEGY", "/strategy"),
        ({"type": "TRAILING"}, "NOT_SUPPORTED", "/type"),
        ({"type": "LIMIT_MAKER"}, "UNEXPECTED_FIELD", "/time_in_force"),
        ({"type": "STOP_LOSS_LIMIT"}, "MISSING_FIELD", "/stop_price"),
        ({"round": True, "quantity": D("0.000009")}, "ROUNDED_TO_ZERO", "/quantity"),
        ({"round": True, "price": D("0.009")}, "ROUNDED_TO_ZERO", "/price"),
        ({"time_in_force": None}, "MISSING_FIELD", "/time_in_force"),
        ({"price": None}, "MISSING_FIELD", "/price"),
        ({"quote_quantity": D(5)}, "ONE_QUANTITY", "/quantity"),
        ({"quantity": None}, "ONE_QUANTITY", "/quantity"),
        ({"quantity": None, "quote_quantity": D(5)}, "UNEXPECTED_FIELD", "/quote_quantity"),
        ({"stop_price": D(5)}, "UNEXPECTED_FIELD", "/stop_price"),
        ({"type": "MARKET"}, "UNEXPECTED_FIELD", "/price"),
        ({"type": "MARKET", "price": None}, "UNEXPECTED_FIELD", "/time_in_force"),
    ],
)
def test_what_can_never_be_an_order_is_refused_and_leaves_nothing(
    changes: dict[str, Any], code: str, pointer: str
) -> None:
    account = funded_account(USDT="1000")
    with pytest.raises(Problem) as caught:
        ask(account, **changes)
    assert (caught.value.status, caught.value.code) == (400, code)
    assert [error["pointer"] for error in caught.value.errors] == [pointer]
    assert counts() == (0,) * 6
    assert not IdempotencyKey.objects.exists()


def test_a_rehearsal_decides_and_stores_nothing() -> None:
    account = funded_account(USDT="1000")
    assert rehearse(request(account), account=account, by=BY).accepted
    assert not rehearse(request(account, quantity=D(1)), account=account, by=BY).accepted
    assert counts() == (0,) * 6


def test_an_order_is_attributed_to_its_strategy_and_lives_as_long_as_it_says() -> None:
    account = funded_account(USDT="1000")
    strategy = StrategyFactory()
    order = ask(account, strategy=strategy.name, valid_for=7).order
    assert order.strategy == strategy
    assert order.valid_until - order.created_at == timedelta(seconds=7)
    halt("strategy", strategy.name, reason="", by=BY)
    assert ask(account, "two", strategy=strategy.name).order.reason == "TRADING_HALTED"
    assert ask(account, "three").order.status == "pending"


def test_a_market_order_lives_ten_seconds_and_may_be_sized_in_quote() -> None:
    account = funded_account(USDT="1000")
    market = {"type": "MARKET", "price": None, "time_in_force": None}
    order = ask(account, quantity=None, quote_quantity=D(100), **market).order
    assert (order.status, order.valid_until - order.created_at) == ("pending", timedelta(seconds=10))
    assert Reservation.objects.get().amount == 100


@pytest.mark.parametrize(
    ("asked", "held", "pending", "sold"),
    [
        ("0.01", "0.01", "0", "0.01"),
        ("0.02", "0.01", "0", "0.01"),
        ("0.02", "0.0123456", "0", "0.01234"),  # on the exchange's step
        ("0.02", "0.01", "0.004", "0.006"),
        ("0.02", "0.01", "0.01", None),
        ("0.02", "0", "0", None),
    ],
)
def test_a_reduce_only_sale_is_cut_down_to_what_is_held_less_pending_exits(
    asked: str, held: str, pending: str, sold: str | None
) -> None:
    account = funded_account(BTC=held)
    if pending != "0":
        assert ask(account, "exit", side="SELL", quantity=D(pending)).order.status == "pending"
    placed = ask(account, "close", side="SELL", quantity=D(asked), reduce_only=True)
    order = placed.order
    if sold is None:
        assert (order.status, order.reason) == ("denied", "REDUCE_ONLY_WOULD_INCREASE")
        return
    assert (order.status, order.quantity) == ("pending", D(sold))
    assert (
        ExchangeOrder.objects.get(order=order).quantity == Reservation.objects.get(order_id=order.id).amount == D(sold)
    )
    assert placed.decision.inputs["clipped_from"] == (None if sold == asked else asked)
