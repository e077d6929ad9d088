"""Many requests at once, on real connections: no headroom is used twice, no key makes two orders.

``PROOF_ROUNDS`` in the environment repeats the races more often.
"""

from __future__ import annotations

import os
from collections import Counter
from decimal import Decimal

import pytest
from django.db.models import Sum

from exchanges.models import Account, Balance, Quote
from execution_project.common import clock
from execution_project.common.models import IdempotencyKey
from execution_project.common.problems import Problem
from orders.models import Command, ExchangeOrder, Order
from orders.placing import OrderRequest, Placed, place
from risk.models import Decision, Reservation
from risk.trading_state import halt
from tests.factories import BY, funded_account
from tests.threads import run_together

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = int(os.environ.get("PROOF_ROUNDS", "20"))
D = Decimal


def ask(account: Account, key: str, quantity: str = "0.001", side: str = "BUY", body: str = "body") -> Placed:
    request = OrderRequest(account.name, "BTCUSDT", side, "LIMIT", D(quantity), price=D("60000"), time_in_force="GTC")
    return place(request, idempotency_key=key, body_hash=body, account=account, by=BY)


def freshen() -> None:
    Quote.objects.update(confirmed_at=clock.now())
    Balance.objects.update(as_of=clock.now())


def reserved(asset: str) -> Decimal:
    return Reservation.objects.filter(asset=asset).aggregate(total=Sum("amount"))["total"] or D(0)


@pytest.mark.parametrize("slots", [1, 5])
def test_of_many_orders_for_few_slots_of_funds_exactly_as_many_pass(slots: int) -> None:
    for _ in range(ROUNDS):
        account = funded_account(USDT=str(60 * slots + 59))
        freshen()
        results = run_together([lambda n=n, a=account: ask(a, f"{a.name}-{n}") for n in range(16)])
        assert all(isinstance(result, Placed) for result in results), results
        outcomes = Counter(result.order.status for result in results if isinstance(result, Placed))
        assert outcomes == {"pending": slots, "denied": 16 - slots}
        mine = Reservation.objects.filter(account_name=account.name)
        assert mine.count() == slots
        assert mine.aggregate(total=Sum("amount"))["total"] == 60 * slots
        assert Command.objects.filter(order__account=account).count() == slots


def test_orders_of_mixed_sizes_and_sides_never_reserve_more_than_there_is() -> None:
    for _ in range(ROUNDS):
        account = funded_account(USDT="200", BTC="0.004")
        freshen()
        acts = [
            lambda n=n, a=account, side=side: ask(a, f"{a.name}-{side}-{n}", f"0.00{n % 3 + 1}", side)
            for n in range(8)
            for side in ("BUY", "SELL")
        ]
        results = run_together(acts)
        assert all(isinstance(result, Placed) for result in results), results
        mine = Reservation.objects.filter(account_name=account.name)
        for asset, most, smallest in (("USDT", D(200), D(60)), ("BTC", D("0.004"), D("0.001"))):
            total = mine.filter(asset=asset).aggregate(total=Sum("amount"))["total"]
            assert most - D(3) * smallest < total <= most


def test_one_key_used_twenty_times_at_once_is_one_order_and_one_reservation() -> None:
    for turn in range(ROUNDS):
        account = funded_account(USDT="1000")
        freshen()
        results = run_together([lambda a=account, t=turn: ask(a, f"same-{t}") for _ in range(20)])
        placed = [result for result in results if isinstance(result, Placed)]
        assert len(placed) == 20, results
        assert len({result.order.id for result in placed}) == len({result.decision.id for result in placed}) == 1
        assert sum(not result.replayed for result in placed) == 1
        for model in (Order, Decision, ExchangeOrder, Reservation, Command, IdempotencyKey):
            assert model.objects.count() == turn + 1, model
        assert reserved("USDT") == 60 * (turn + 1)


def test_one_key_with_two_bodies_at_once_is_one_order_and_a_refusal_for_the_other_body() -> None:
    account = funded_account(USDT="1000")
    results = run_together([lambda n=n: ask(account, "same", body=f"body-{n % 2}") for n in range(12)])
    placed = [result for result in results if isinstance(result, Placed)]
    refused = [result for result in results if isinstance(result, Problem)]
    assert (len(placed), len(refused)) == (6, 6), results
    assert {problem.code for problem in refused} == {"IDEMPOTENCY_KEY_REUSED"}
    assert Order.objects.count() == Reservation.objects.count() == 1


def test_a_halt_among_many_placements_outranks_or_denies_every_one() -> None:
    for _ in range(ROUNDS):
        account = funded_account(USDT="1000")
        freshen()
        acts = [lambda n=n, a=account: ask(a, f"{a.name}-{n}") for n in range(10)]
        acts.insert(5, lambda a=account: halt("account", a.name, reason="test", by=BY))
        results = run_together(acts)
        errors = [result for result in results if isinstance(result, Exception)]
        assert errors == []
        halted_at = results[5].last_halt_seq
        for order in Order.objects.filter(account=account):
            assert (order.status == "pending") == (order.gate_seq < halted_at), order.reason
