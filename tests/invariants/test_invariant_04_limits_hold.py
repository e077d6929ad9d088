"""Invariant 4: no accepted order takes position and reservations, valued by its decision's inputs, over a limit.

Real threads with connections of their own (docs/risk-controls.md, proof). ``PROOF_ROUNDS`` repeats them more often.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from django.db import OperationalError, connection
from hypothesis import given, settings
from hypothesis import strategies as st

from exchanges.models import Account, AccountFreshness, Balance, Quote
from execution_project.common import clock
from execution_project.common.locking import ordered
from orders import placing
from orders.canceling import request_cancel
from orders.models import ExchangeOrder, Order
from orders.placing import OrderRequest, Placed, place
from orders.reserving import set_reservation
from risk.gate import Verdict
from risk.limits import tighten_or_set
from risk.models import Decision, Exposure, Limit, Reservation
from risk.trading_state import halt
from risk.usage import usage_of
from tests.factories import BY, HoldingFactory, InstrumentFactory, QuoteFactory, funded_account, whole_order
from tests.threads import Other, blocked, run_together
from tests.waiting import wait_until

ROUNDS = int(os.environ.get("PROOF_ROUNDS", "20"))
D = Decimal
KEYS = count()
threaded = pytest.mark.django_db(transaction=True)


def ask(account: Account, quantity: str = "0.001", symbol: str = "BTCUSDT", side: str = "BUY") -> Placed:
    """A limit order at 60 000; ten thousandths of a coin are worth 60.005 by the mid."""
    request = OrderRequest(account.name, symbol, side, "LIMIT", D(quantity), price=D("60000"), time_in_force="GTC")
    return place(request, idempotency_key=f"key-{next(KEYS)}", body_hash="body", account=account, by=BY)


def limit(control: str, value: str, kind: str = "global", key: str = "") -> Limit:
    return tighten_or_set(control, "sandbox", kind, key, D(value), reason="test", by=BY)


def freshen() -> None:
    now = clock.now()
    Quote.objects.update(confirmed_at=now)
    Balance.objects.update(as_of=now)
    AccountFreshness.objects.update(orders_at=now, trades_at=now, balances_at=now)


def account_with(**funds: str) -> Account:
    """A funded account of its own, with BTCUSDT and ETHUSDT at 60 000 / 60 010."""
    account = funded_account(**(funds or {"USDT": "1000000"}))
    QuoteFactory(instrument=InstrumentFactory(base_asset="ETH"))
    freshen()
    return account


def statuses(results: list[Placed | Exception]) -> Counter[str]:
    errors = [result for result in results if isinstance(result, Exception)]
    assert errors == []
    return Counter(result.order.status for result in results if isinstance(result, Placed))


def exposure(**where: str) -> Decimal:
    return sum(Reservation.objects.filter(**where).values_list("exposure", flat=True), D(0))


# ------------------------------------------------------------------------------------------------------- T1, T2, T3


@threaded
@pytest.mark.parametrize("control", ["max_working_orders", "max_asset_exposure"])
def test_invariant_04_of_many_orders_for_few_slots_exactly_as_many_pass(control: str) -> None:
    for _ in range(ROUNDS):
        account = account_with()
        limit(control, "3" if control == "max_working_orders" else "180.015", "account", account.name)
        results = run_together([lambda a=account: ask(a) for _ in range(6)])
        assert statuses(results) == {"pending": 3, "denied": 3}
        assert Reservation.objects.filter(account_name=account.name).count() == 3


@threaded
def test_invariant_04_mixed_sizes_of_many_accounts_stay_within_the_limit() -> None:
    account, other = account_with(), account_with()
    limit("max_asset_exposure", "1000000", "asset", "BTC")
    for turn in range(1, ROUNDS + 1):
        freshen()
        before, cap = exposure(), D(300 * turn)
        Limit.objects.create(
            control="max_asset_exposure", mode="sandbox", scope_kind="asset", scope_key="BTC", version=turn + 1,
            value=cap, reason="the next round", set_by="test", set_at=clock.now(),
        )  # fmt: skip
        acts = [lambda n=n, a=a: ask(a, f"0.00{n}") for n in (1, 2, 3) for a in (account, other)]
        results = run_together(acts)
        assert statuses(results)["pending"] >= 1
        assert before < exposure() <= cap
        # What was denied did not fit, and there is no more room since.
        denied = [r.decision.notional for r in results if isinstance(r, Placed) and not r.decision.accepted]
        assert all(exposure() + notional > cap for notional in denied)


@threaded
def test_invariant_04_two_symbols_together_do_not_pass_the_cap_of_the_book() -> None:
    for _ in range(ROUNDS):
        account = account_with()
        limit("max_gross_exposure", "60.01", "account", account.name)
        results = run_together([lambda a=account, s=s: ask(a, symbol=s) for s in ("BTCUSDT", "ETHUSDT")])
        assert statuses(results) == {"pending": 1, "denied": 1}


# ---------------------------------------------------------------------------------------------------- T7, T8, T9, T12


@threaded
def test_invariant_04_a_process_that_dies_while_it_reserves_leaves_nothing() -> None:
    account = account_with()
    limit("max_working_orders", "1", "account", account.name)
    pids: list[int] = []
    reserved = threading.Event()

    def reserve_and_hang() -> None:
        with ordered() as locks:
            locks.exposure(Exposure, "sandbox")
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                pids.append(cursor.fetchone()[0])
            order = whole_order(account=account)
            assert Reservation.objects.filter(order_id=order.id).exists()
            reserved.set()
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(30)")

    dying = Other(reserve_and_hang)
    assert reserved.wait(30)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pids[0]])
    wait_until(lambda: dying.ended, 30, "the session to end")
    assert isinstance(dying.error, OperationalError)
    assert not Reservation.objects.exists()
    assert ask(account).order.status == "pending"
    assert ask(account).order.status == "denied"


@threaded
def test_invariant_04_orders_limits_halts_and_cancels_together_end_without_a_deadlock() -> None:
    for turn in range(ROUNDS):
        account = account_with()
        pending = ask(account).order
        acts: list[Callable[[], object]] = [
            lambda a=account: ask(a),
            lambda a=account: limit("max_working_orders", "100", "account", a.name),
            lambda a=account: ask(a, symbol="ETHUSDT"),
            lambda t=turn: limit("max_gross_exposure", str(10**6 - t)),
            lambda o=pending: request_cancel(o.id, reason="test", by=BY),
            lambda a=account: halt("account", a.name, reason="test", by=BY),
            lambda: usage_of("sandbox"),
        ]
        assert [result for result in run_together(acts) if isinstance(result, Exception)] == []


@threaded
def test_invariant_04_nothing_is_approved_by_an_old_limit_after_the_new_one_commits() -> None:
    for _ in range(ROUNDS):
        account = account_with()
        old = limit("max_asset_exposure", "1000", "account", account.name)
        acts: list[Callable[[], object]] = [lambda a=account: ask(a) for _ in range(5)]
        acts.insert(2, lambda a=account: limit("max_asset_exposure", "120.01", "account", a.name))
        results = run_together(acts)
        assert [result for result in results if isinstance(result, Exception)] == []
        new = results[2]
        assert isinstance(new, Limit)
        for decision in Decision.objects.filter(account_name=account.name, accepted=True):
            seen = next(row for row in decision.results if row["control"] == "max_asset_exposure")
            if seen["inputs"]["limit_version"] == old.version:
                assert decision.decided_at < new.set_at
            else:
                assert D(seen["observed"]) <= D("120.01")


@threaded
def test_invariant_04_a_limit_waits_for_the_decision_that_read_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    account = account_with()
    old = limit("max_asset_exposure", "1000", "account", account.name)
    decide, tightening, early = placing.decide, [], []

    def decide_while_it_is_tightened(*args: Any, **options: Any) -> Verdict:
        tightening.append(Other(lambda: limit("max_asset_exposure", "1", "account", account.name)))
        wait_until(lambda: blocked() or tightening[0].ended, 30, "the new limit to wait, or to be there too early")
        early.append(tightening[0].ended)
        return decide(*args, **options)

    monkeypatch.setattr(placing, "decide", decide_while_it_is_tightened)
    decision = ask(account).decision
    assert isinstance(tightening[0].join(), Limit)
    [seen] = [row for row in decision.results if row["control"] == "max_asset_exposure"]
    assert (decision.accepted, seen["inputs"]["limit_version"]) == (True, old.version)
    assert early == [False]


@threaded
def test_invariant_04_of_many_at_once_exactly_as_many_pass_as_the_rate_allows() -> None:
    for turn in range(ROUNDS):
        account = account_with()
        limit("max_order_rate_60s", "10", "account", account.name)
        results = run_together([lambda a=account: ask(a) for _ in range(50 if turn == 0 else 16)])
        assert statuses(results)["pending"] == 10
        denied = Decision.objects.filter(account_name=account.name, accepted=False)
        assert {row["code"] for d in denied for row in d.results if row["outcome"] == "breach"} == {"ORDER_RATE"}


# ------------------------------------------------------------------------------------------- T11, and facts over limits

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("buy"), st.sampled_from(["BTCUSDT", "ETHUSDT"]), st.integers(1, 5)),
        st.tuples(st.just("sell"), st.sampled_from(["BTCUSDT", "ETHUSDT"]), st.integers(1, 5)),
        st.tuples(st.just("cancel"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("end"), st.integers(0, 9), st.just(0)),
    ),
    min_size=4,
    max_size=8,
)
UNIT = D("60.005")


@pytest.mark.django_db
@settings(max_examples=ROUNDS, deadline=None)
@given(steps=STEPS, per_asset=st.integers(1, 8), book=st.integers(1, 12), slots=st.integers(1, 4))
def test_invariant_04_the_gate_accepts_what_a_model_of_one_thread_accepts(
    steps: list[tuple[str, str | int, int]], per_asset: int, book: int, slots: int
) -> None:
    account = account_with(USDT="600", BTC="0.003", ETH="0.003")
    held = {"BTCUSDT": 3, "ETHUSDT": 3}
    mark = D("60005")
    limit("max_asset_exposure", str(D("0.003") * mark + per_asset * UNIT), "account", account.name)
    limit("max_gross_exposure", str(D("0.006") * mark + book * UNIT), "account", account.name)
    limit("max_working_orders", str(slots), "account", account.name)
    live: dict[Order, tuple[str, str, int]] = {}
    for kind, what, size in steps:
        freshen()
        if kind in {"buy", "sell"}:
            symbol = str(what)
            bought = {s: sum(n for side, at, n in live.values() if side == "buy" and at == s) for s in held}
            sold = sum(n for side, at, n in live.values() if side == "sell" and at == symbol)
            fits = {
                "buy": bought[symbol] + size <= per_asset
                and sum(bought.values()) + size <= book
                and len(live) + 1 <= slots
                and (sum(bought.values()) + size) * 60 <= 600,
                "sell": sold + size <= held[symbol],  # no cap holds up an exit
            }[kind]
            order = ask(account, f"0.00{size}", symbol, kind.upper()).order
            assert (order.status == "pending") is fits, (steps, kind, what, size, order.reason)
            if fits:
                live[order] = (kind, symbol, size)
        elif live:
            order = list(live)[int(what) % len(live)]
            del live[order]
            if kind == "cancel":
                request_cancel(order.id, reason="test", by=BY)
            else:
                row = ExchangeOrder.objects.get(order=order)
                row.end_proof = "reported:canceled"
                row.save()
                set_reservation(order, row)
    counted = Reservation.objects.filter(account_name=account.name, live=True)
    assert counted.count() == len(live)
    assert exposure(account_name=account.name) == UNIT * sum(n for side, _, n in live.values() if side == "buy")


@pytest.mark.django_db
def test_invariant_04_facts_go_beyond_a_limit_and_then_nothing_increases() -> None:
    account = account_with(USDT="1000", BTC="1")
    limit("max_asset_exposure", "60005", "account", account.name)
    denied = ask(account)
    assert (denied.order.status, denied.order.reason) == ("denied", "MAX_ASSET_EXPOSURE")
    HoldingFactory(account=account, asset="ETH", quantity=D(2))  # a late fill: booked all the same
    usage = next(u for u in usage_of("sandbox") if u.limit.control == "max_asset_exposure")
    assert (usage.subject, usage.headroom) == ("ETH", -60005)
    assert ask(account, symbol="ETHUSDT").order.reason == "MAX_ASSET_EXPOSURE"
    assert ask(account, "1", side="SELL").order.status == "pending"


@pytest.mark.django_db
def test_invariant_04_an_order_of_unknown_outcome_counts_in_full() -> None:
    account = account_with()
    limit("max_asset_exposure", "60000", "account", account.name)
    order = whole_order(account=account, status="submit_unknown", quantity=D("0.999"))
    assert ask(account, "0.001").order.reason == "MAX_ASSET_EXPOSURE"
    ExchangeOrder.objects.filter(order=order).update(end_proof="absent:2")
    set_reservation(order, ExchangeOrder.objects.get(order=order))
    assert ask(account, "0.001").order.status == "pending"


@pytest.mark.django_db
def test_invariant_04_the_windows_slide(monkeypatch: pytest.MonkeyPatch) -> None:
    account = account_with()
    limit("max_order_rate_1s", "1")
    limit("max_turnover_1m", "120.01")
    start = clock.now()

    def at(seconds: str) -> str:
        monkeypatch.setattr(clock, "now", lambda: start + timedelta(microseconds=int(D(seconds) * 10**6)))
        order = ask(account).order
        return str(order.reason or order.status)

    # Half open: what was decided exactly a window ago, denied or not, no longer counts.
    assert [at("0.5"), at("0.9"), at("1.4"), at("2.4")] == ["pending", "ORDER_RATE", "ORDER_RATE", "pending"]
    assert at("4") == "MAX_TURNOVER"
