"""Both sides are compared: what the exchange has and the books lack is booked or adopted, the rest is a break."""

from __future__ import annotations

import io
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command

from exchanges.freshness import freshness_of
from exchanges.models import Account, Instrument
from exchanges.syncing import sync_instruments
from execution_project.common import clock, fault_hooks
from execution_project.common.actors import Actor
from execution_project.common.models import Chore, Event
from execution_project.common.problems import Problem
from orders import boot, reconciling_schedule, sweeping
from orders.models import Break, ExchangeOrder, Order
from orders.reconciliation import Reconciliation, explained, reconcile, trades
from positions.models import Fill, LedgerEntry, TradeCursor
from risk.models import Reservation, TradingState
from tests.engines import BY, Engine, drain, holdings, make_engine, reserved
from tests.simulators import Simulator

pytestmark = pytest.mark.e2e
D = Decimal


@pytest.fixture(params=["binance", "btcturk"])
def venue(request: pytest.FixtureRequest, transactional_db: None, simulator: Simulator) -> Engine:
    """A seeded engine of each exchange."""
    return make_engine(simulator, exchange=request.param)


def foreign(engine: Engine, **body: Any) -> Any:
    """An order placed by another program."""
    path = "/sim/orders" if engine.account.exchange == "binance" else "/sim/orders?exchange=btcturk"
    whole = {
        "account": engine.account.name,
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "quantity": "0.1",
        "price": "59000.00",
        "client_order_id": "web-1",
        **body,
    }
    if whole["type"] == "LIMIT" and engine.account.exchange == "binance":
        whole.setdefault("time_in_force", "GTC")
    return engine.simulator.call("POST", path, {key: value for key, value in whole.items() if value is not None})


def run(engine: Engine, *parts: str, **options: Any) -> Reconciliation:
    account = Account.objects.get(pk=engine.account.pk)
    return reconcile(account, by=BY, **({"parts": parts} if parts else {}), **options)


def policy(engine: Engine, value: str) -> None:
    Account.objects.filter(pk=engine.account.pk).update(foreign_orders=value)


def assert_books_equal_the_exchange(engine: Engine) -> None:
    truth = engine.simulator.balances(engine.account.name)
    assert holdings(engine) == truth
    run(engine, "balances")
    assert not Break.objects.filter(kind="balance_mismatch").exists()


def test_nothing_differs_after_own_orders(venue: Engine) -> None:
    venue.limit("BUY", "0.01", "50000.00")
    venue.limit("BUY", "0.01", "60010.00")
    drain()
    outcome = run(venue)
    assert outcome.succeeded
    assert outcome.differences == []
    assert Break.objects.count() == 0


# -------------------------------------------------------------------------------------------------------------- orders


def test_a_working_foreign_order_is_adopted_and_counted(venue: Engine) -> None:
    foreign(venue)
    outcome = run(venue, "orders")
    assert [(row.what, row.became) for row in outcome.differences] == [("external order", "adopted")]
    order = Order.objects.get()
    assert (order.origin, order.status, order.decision_id) == ("external", "open", None)
    assert (order.quantity, order.price) == (D("0.1"), D("59000"))
    assert reserved(venue)["USDT"] >= D("5900")
    broken = Break.objects.get()
    assert (broken.kind, broken.severity, broken.status, broken.order) == ("unknown_order", "warning", "open", order)
    assert Event.objects.filter(kind="break.opened").count() == 1
    assert run(venue, "orders").differences == []
    assert venue.order(str(order.id))["origin"] == "external"


def test_an_adopted_order_is_canceled_and_settled_like_any_other(venue: Engine) -> None:
    foreign(venue)
    run(venue, "orders")
    order = Order.objects.get()
    venue.simulator.trade("BTCUSDT", "58990", "0.04", "SELL", exchange=venue.account.exchange)
    status, _ = venue.request("DELETE", f"order/{order.id}")
    assert status == 202
    drain()
    Order.objects.update(updated_at=clock.now() - timedelta(seconds=3))
    sweeping.ring_following()
    drain()
    document = venue.order(str(order.id))
    assert (document["status"], document["ended_as"]) == ("settled", "canceled")
    assert document["filled_quantity"] == "0.04"
    assert reserved(venue) == {}
    assert_books_equal_the_exchange(venue)


@pytest.mark.parametrize(("chosen", "breaks", "state"), [("adopt", 0, None), ("alert", 1, None), ("halt", 1, "HALTED")])
def test_the_accounts_policy_decides_what_a_foreign_order_leads_to(
    engine: Engine, chosen: str, breaks: int, state: str | None
) -> None:
    policy(engine, chosen)
    foreign(engine)
    run(engine, "orders")
    assert Order.objects.get().origin == "external"
    assert Break.objects.count() == breaks
    halted = TradingState.objects.filter(scope_kind="account", scope_key=engine.account.name).first()
    assert (halted.state if halted else None) == state
    if state:
        status, problem = engine.place()
        assert (status, problem["code"]) == (422, "TRADING_HALTED")


def test_an_order_of_ours_without_a_row_is_adopted_under_its_own_ids(engine: Engine) -> None:
    engine.limit("BUY", "0.01", "50000.00")
    drain()
    forgotten = ExchangeOrder.objects.get()
    prefix = forgotten.client_order_id[:2]
    lost = f"{prefix}{'0198c0de000070008000000000000001'}00"
    foreign(engine, client_order_id=lost)
    run(engine, "orders")
    order = Order.objects.get(origin="adopted")
    assert order.id.hex == "0198c0de000070008000000000000001"
    assert order.exchange_orders.get().client_order_id == lost
    assert (Break.objects.get().kind, Break.objects.get().severity) == ("adopted_order", "informational")


def test_a_failed_query_is_no_empty_list(engine: Engine) -> None:
    engine.limit("BUY", "0.01", "50000.00")
    drain()
    before = freshness_of(engine.account)
    for call in ("GET /api/v3/openOrders", "GET /api/v3/myTrades", "GET /api/v3/account"):
        engine.simulator.fault("status", call=call, times=20, status=503, code=-1000, msg="down")
    outcome = run(engine)
    assert set(outcome.failed) == {"orders", "trades", "balances"}
    assert outcome.differences == []
    assert not outcome.succeeded
    assert Order.objects.get().status == "open"
    after = freshness_of(engine.account)
    assert (after.orders_at, after.trades_at, after.balances_at) == (
        before.orders_at,
        before.trades_at,
        before.balances_at,
    )


def test_an_exchange_that_lists_one_symbol_only_is_asked_symbol_by_symbol(venue: Engine) -> None:
    foreign(venue)
    call = "GET /api/v3/openOrders" if venue.account.exchange == "binance" else "GET /api/v1/openOrders"
    venue.simulator.fault("status", call=call, status=400, code=-1102, msg="Mandatory parameter 'symbol' was not sent.")
    outcome = run(venue, "orders")
    assert outcome.succeeded
    assert [row.became for row in outcome.differences] == ["adopted"]


def test_success_renews_freshness_by_the_time_of_asking(engine: Engine) -> None:
    before = clock.now()
    run(engine)
    fresh = freshness_of(engine.account)
    assert all(at is not None and at >= before for at in (fresh.orders_at, fresh.trades_at, fresh.balances_at))


def test_an_order_that_ended_unseen_ends_by_its_own_evidence(venue: Engine) -> None:
    _, order = venue.limit("BUY", "0.1", "59000.00")
    drain()
    venue.simulator.trade("BTCUSDT", "58990", "0.1", "SELL", exchange=venue.account.exchange)
    outcome = run(venue, "orders")
    assert outcome.new_fills == 1
    assert venue.order(order["id"])["status"] == "filled"


def test_a_list_that_lags_behind_ends_nothing(engine: Engine) -> None:
    """A just-placed order that no read shows yet is neither ended nor a break at first sight."""
    engine.simulator.fault("not_found_for", call="*", ms=60_000)
    _, order = engine.limit("BUY", "0.01", "50000.00")
    drain("submit-binance")
    assert engine.order(order["id"])["status"] == "open"
    outcome = run(engine, "orders")
    assert [(row.what, row.became) for row in outcome.differences] == [("missing_at_venue", "suspected")]
    assert engine.order(order["id"])["status"] == "open"
    run(engine, "orders")
    assert Break.objects.get().status == "open"
    assert reserved(engine)["USDT"] > 0
    engine.simulator.call("DELETE", "/sim/faults")
    run(engine, "orders")
    ended = Break.objects.get()
    assert (ended.status, ended.resolved_by) == ("resolved", BY.name)
    assert "explained" in ended.evidence


# -------------------------------------------------------------------------------------------------------------- trades


def test_a_foreign_market_order_is_found_by_its_trades_and_booked_once(venue: Engine) -> None:
    size = {"quantity": "0.05"} if venue.account.exchange == "binance" else {"quantity": None, "quote_quantity": "3000"}
    foreign(venue, type="MARKET", price=None, **size)
    outcome = run(venue, "trades")
    assert outcome.new_fills == 1
    assert ("external order", "adopted") in [(row.what, row.became) for row in outcome.differences]
    order = Order.objects.get()
    assert (order.origin, order.status) == ("external", "filled")
    assert run(venue, "trades").differences == []
    assert Fill.objects.count() == 1
    assert reserved(venue) == {}
    assert_books_equal_the_exchange(venue)


def test_fills_that_nobody_followed_are_booked(venue: Engine) -> None:
    _, order = venue.limit("BUY", "0.1", "59000.00")
    drain()
    for _ in range(3):
        venue.simulator.trade("BTCUSDT", "58990", "0.02", "SELL", exchange=venue.account.exchange)
    outcome = run(venue, "trades")
    assert outcome.new_fills == 3
    assert {row.became for row in outcome.differences} == {"ingested"}
    document = venue.order(order["id"])
    assert (document["status"], document["filled_quantity"]) == ("partially_filled", "0.06")


def test_trades_whose_order_is_not_shown_wait_and_then_speak_for_themselves(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.simulator.fault("not_found_for", call="GET /api/v3/order", ms=600_000)
    foreign(engine, type="MARKET", price=None, quantity="0.05")
    read_at = TradeCursor.objects.get(instrument__symbol="BTCUSDT").updated_at
    outcome = run(engine, "trades")
    assert [row.became for row in outcome.differences] == ["pending"]
    assert (outcome.unfinished, Fill.objects.count()) == ({"trades"}, 0)
    assert TradeCursor.objects.get(instrument__symbol="BTCUSDT").updated_at == read_at
    monkeypatch.setattr(trades, "NOT_SHOWN_YET", timedelta(0))
    assert run(engine, "trades").new_fills == 1
    assert (Order.objects.get().status, Order.objects.get().quantity) == ("filled", D("0.05"))


def test_an_order_of_a_pair_that_is_not_known_here_blocks_until_it_is(engine: Engine) -> None:
    TradeCursor.objects.filter(instrument__symbol="BNBUSDT").delete()
    Instrument.objects.filter(symbol="BNBUSDT").delete()
    foreign(engine, symbol="BNBUSDT", price="500.00", quantity="1")
    run(engine, "orders")
    broken = Break.objects.get()
    assert (broken.kind, broken.severity, broken.subject) == ("missing_fill", "blocking", "BNBUSDT 1")
    assert Order.objects.count() == 0
    sync_instruments(engine.account)
    run(engine)
    assert Order.objects.get().origin == "external"
    assert Break.objects.get(kind="missing_fill").status == "resolved"


def test_trades_before_the_cut_over_stay_in_the_opening_balance(simulator: Simulator, transactional_db: None) -> None:
    from positions.opening import open_books

    engine = make_engine(simulator)
    foreign(engine, type="MARKET", price=None, quantity="0.05")
    # Open the books again as if it were the first time, with that trade in the past.
    Account.objects.filter(pk=engine.account.pk).update(books_opened_at=None)
    TradeCursor.objects.all().delete()
    open_books(Account.objects.get(pk=engine.account.pk), by=BY)
    assert run(engine, "trades").differences == []
    foreign(engine, type="MARKET", price=None, quantity="0.02", client_order_id="web-2")
    assert run(engine, "trades").new_fills == 1


def test_trades_that_show_late_are_booked_by_the_overlap(engine: Engine) -> None:
    engine.simulator.fault("lagging_trades", call="GET /api/v3/myTrades", ms=600_000)
    foreign(engine, type="MARKET", price=None, quantity="0.05")
    assert run(engine, "trades").new_fills == 0
    engine.simulator.call("DELETE", "/sim/faults")
    assert run(engine, "trades").new_fills == 1


def test_symbols_of_held_assets_are_read_and_only_those_due(engine: Engine) -> None:
    run(engine, "trades")
    foreign(engine, symbol="ETHUSDT", type="MARKET", price=None, quantity="1")
    assert run(engine, "trades", only_due=True).new_fills == 0
    TradeCursor.objects.filter(instrument__symbol="ETHUSDT").update(updated_at=clock.now() - timedelta(minutes=6))
    assert run(engine, "trades", only_due=True).new_fills == 1


def test_a_round_out_of_time_is_unfinished_and_goes_on_where_it_stopped(engine: Engine) -> None:
    TradeCursor.objects.update(updated_at=clock.now() - timedelta(minutes=10))
    before = freshness_of(engine.account).trades_at
    outcome = run(engine, "trades", within=timedelta(0))
    assert (outcome.unfinished, outcome.succeeded) == ({"trades"}, False)
    assert freshness_of(engine.account).trades_at == before
    assert run(engine, "trades").succeeded


def test_a_fill_that_the_exchange_does_not_show_blocks(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.place(quantity="0.01")
    drain()
    fill = Fill.objects.get()
    engine.simulator.fault("lagging_trades", call="GET /api/v3/myTrades", ms=600_000)
    run(engine, "trades")
    assert Break.objects.count() == 0, "a young one may be missing"
    monkeypatch.setattr(trades, "NOT_SHOWN_YET", timedelta(0))
    run(engine, "trades")
    assert Break.objects.get().status == "suspected"
    run(engine, "trades")
    broken = Break.objects.get()
    assert (broken.kind, broken.severity, broken.difference) == ("orphan_fill", "blocking", -fill.quantity)
    status, problem = engine.place(quantity="0.01")
    assert (status, problem["code"]) == (422, "BREAK_OPEN")
    status, _ = engine.place(side="SELL", quantity="0.01")
    assert status == 202, "what reduces passes"
    engine.simulator.call("DELETE", "/sim/faults")
    run(engine, "trades")
    assert engine.place(quantity="0.01")[0] == 202


def test_a_fill_that_is_not_shown_blocks_also_when_the_reading_has_gone_past_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.place(quantity="0.01")
    drain()
    engine.simulator.fault("lagging_trades", call="GET /api/v3/myTrades", ms=600_000)
    monkeypatch.setattr(trades, "NOT_SHOWN_YET", timedelta(0))
    for _ in range(2):
        run(engine, "trades")
    monkeypatch.setattr(trades, "TRADES_OVERLAP", timedelta(0))
    run(engine, "trades")
    assert (Break.objects.get().kind, Break.objects.get().status) == ("orphan_fill", "open")
    engine.simulator.call("DELETE", "/sim/faults")
    run(engine, "trades", since=clock.now() - timedelta(minutes=1))
    assert Break.objects.get().status == "resolved"


def test_what_is_not_booked_of_an_order_is_missing_also_when_it_has_ended(engine: Engine) -> None:
    engine.limit("BUY", "0.01", "60010.00")
    drain()
    row = ExchangeOrder.objects.get()
    assert row.end_proof
    ExchangeOrder.objects.update(cumulative_quantity=row.booked_quantity + D("0.01"))
    reconciling_schedule.watch_books()
    Break.objects.update(opened_at=clock.now() - timedelta(seconds=10))
    reconciling_schedule.watch_books()
    engine.simulator.fault("lagging_trades", call="GET /api/v3/myTrades", ms=600_000)
    run(engine)
    broken = Break.objects.get()
    assert (broken.kind, broken.status, broken.severity) == ("missing_fill", "open", "blocking")
    assert (broken.difference, broken.order_id) == (D("0.01"), row.order_id)
    engine.simulator.call("DELETE", "/sim/faults")
    run(engine, "orders")
    ended = Break.objects.get()
    assert (ended.status, ended.evidence["explained"]["booked"]) == ("resolved", {row.client_order_id: "0.01"})


def test_what_was_read_of_a_long_time_is_kept(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    long_ago = clock.now() - timedelta(days=5)
    chosen = TradeCursor.objects.filter(instrument__symbol="BTCUSDT")
    TradeCursor.objects.exclude(instrument__symbol="BTCUSDT").update(updated_at=clock.now())
    chosen.update(updated_at=long_ago)
    reached: list[str] = []

    def reach(name: str) -> None:
        reached.append(name)
        if reached.count("reconcile_trades_read") == 3:
            raise SystemExit(1)

    monkeypatch.setattr(fault_hooks, "reach", reach)
    with pytest.raises(SystemExit):
        run(engine, "trades", only_due=True)
    kept = chosen.get().updated_at - long_ago
    assert timedelta(days=1, hours=23) < kept < timedelta(days=2)
    monkeypatch.undo()
    assert run(engine, "trades", only_due=True).succeeded
    assert clock.now() - chosen.get().updated_at < timedelta(minutes=1)


def test_a_start_reads_the_trades_of_the_last_day_again_and_goes_on_where_it_stopped(venue: Engine) -> None:
    before = TradeCursor.objects.get(instrument__symbol="BTCUSDT").updated_at
    boot.boot()
    boot.boot()
    cursor = TradeCursor.objects.get(instrument__symbol="BTCUSDT")
    assert cursor.updated_at == before - timedelta(days=1)
    assert boot.finish_boot(Account.objects.get())
    cursor.refresh_from_db()
    assert cursor.updated_at > before


def test_a_reading_of_a_clock_that_ran_ahead_does_not_count(engine: Engine) -> None:
    run(engine, "trades")
    TradeCursor.objects.update(updated_at=clock.now() + timedelta(hours=3))
    foreign(engine, type="MARKET", price=None, quantity="0.05")
    assert run(engine, "trades", only_due=True).new_fills == 1
    assert TradeCursor.objects.get(instrument__symbol="BTCUSDT").updated_at <= clock.now()


# ------------------------------------------------------------------------------------------------------------ balances


def deposit(engine: Engine, **amounts: str) -> None:
    engine.simulator.call("POST", f"/sim/accounts/{engine.account.name}/deposit", {"balances": amounts})


def test_an_unexplained_balance_is_a_break_after_two_rounds_and_blocks_in_the_end(venue: Engine) -> None:
    deposit(venue, USDT="500")
    first = run(venue, "balances")
    assert [(row.what, row.became) for row in first.differences] == [("balance_mismatch", "suspected")]
    deposit(venue, USDT="1")
    run(venue, "balances")
    assert Break.objects.get().status == "suspected", "another difference begins anew"
    run(venue, "balances")
    broken = Break.objects.get()
    assert (broken.status, broken.severity, broken.difference) == ("open", "warning", D("501"))
    Break.objects.update(opened_at=clock.now() - timedelta(minutes=5))
    run(venue, "balances")
    assert Break.objects.get().severity == "blocking"
    assert freshness_of(venue.account).blocked_by == "balance_mismatch USDT"


def test_a_break_ends_by_itself_only_when_facts_explain_it_exactly(venue: Engine) -> None:
    size = {"quantity": "0.05"} if venue.account.exchange == "binance" else {"quantity": None, "quote_quantity": "3000"}
    foreign(venue, type="MARKET", price=None, **size)
    for _ in range(2):
        run(venue, "balances")
    assert set(Break.objects.values_list("subject", "status")) == {("BTC", "open"), ("USDT", "open")}
    run(venue, "trades")
    run(venue, "balances")
    mismatches = Break.objects.filter(kind="balance_mismatch")
    assert set(mismatches.values_list("status", flat=True)) == {"resolved"}
    assert Event.objects.filter(kind="break.resolved", evidence__kind="balance_mismatch").count() == 2


def test_a_ledger_below_zero_blocks_at_once(engine: Engine) -> None:
    now = clock.now()
    legs = {"asset": "BTC", "kind": "fill", "reference": "x", "effective_at": now, "posted_at": now}
    LedgerEntry.objects.create(account=engine.account, book="exchange", amount=D("-10.5"), **legs)
    run(engine, "balances")
    broken = Break.objects.get(kind="negative_inventory")
    assert (broken.status, broken.severity, broken.observed) == ("open", "blocking", "-0.5")


def test_own_fills_around_the_question_are_no_difference(venue: Engine) -> None:
    venue.limit("BUY", "0.01", "60010.00")
    drain()
    assert run(venue, "balances").differences == []


@pytest.mark.parametrize(
    ("difference", "recent", "expected"),
    [
        ("0", ["1", "2"], True),
        ("-2", ["1", "2"], True),
        ("-3", ["1", "2"], True),
        ("-1", ["1", "2"], False),
        ("2", ["1", "-2"], True),
        ("1", ["1", "-2"], True),
        ("0.000000000000000001", [], False),
    ],
)
def test_only_the_last_moves_may_be_missing_in_a_balance(difference: str, recent: list[str], expected: bool) -> None:
    assert explained(D(difference), [D(move) for move in recent]) is expected


# ------------------------------------------------------------------------------------------------------------- dry run


def test_a_dry_run_says_all_and_stores_nothing(venue: Engine) -> None:
    _, order = venue.limit("BUY", "0.1", "59000.00")
    drain()
    venue.simulator.trade("BTCUSDT", "58990", "0.02", "SELL", exchange=venue.account.exchange)
    foreign(venue, price="58000.00")
    deposit(venue, ETH="3")
    models = (Order, ExchangeOrder, Fill, Break, LedgerEntry, Reservation, Event, TradeCursor)
    TradeCursor.objects.filter(instrument__symbol__startswith="ETH").delete()
    before = [model.objects.count() for model in models]
    fresh = freshness_of(venue.account).orders_at
    outcome = run(venue, dry_run=True)
    assert {row.what for row in outcome.differences} >= {"order", "unknown order", "balance_mismatch", "missing fill"}
    assert {row.became for row in outcome.differences} == {"seen"}
    assert [model.objects.count() for model in models] == before
    assert venue.order(order["id"])["filled_quantity"] == "0"
    assert freshness_of(venue.account).orders_at == fresh


# ------------------------------------------------------------------------------------------------------------ schedule


def succeeded(engine: Engine, *names: str) -> bool:
    """Whether the chores of these names were done without an error."""
    rows = Chore.objects.filter(name__in=[f"{name}:{engine.account.pk}" for name in names], succeeded_at__isnull=False)
    return rows.count() == len(names)


def test_the_ticker_rings_and_housekeeping_reconciles(engine: Engine) -> None:
    foreign(engine)
    foreign(engine, type="MARKET", price=None, quantity="0.05", client_order_id="web-2")
    TradeCursor.objects.update(updated_at=clock.now() - timedelta(minutes=6))
    assert reconciling_schedule.ring_order_reconciliations() == 1
    assert reconciling_schedule.ring_order_reconciliations() == 0, "it is under way"
    assert reconciling_schedule.ring_trade_reconciliations() == 1
    drain("housekeeping")
    assert Order.objects.filter(origin="external").count() == 2
    assert succeeded(engine, "reconcile-orders", "reconcile-trades")


def test_a_gap_of_a_stream_compares_everything_at_once(engine: Engine) -> None:
    foreign(engine, type="MARKET", price=None, quantity="0.05")
    reconciling_schedule.resync(engine.account)
    drain("housekeeping")
    assert Order.objects.get().origin == "external"
    assert succeeded(engine, "reconcile-orders", "reconcile-all", "balances")


def test_a_balance_that_differs_has_the_trades_read_at_once(engine: Engine) -> None:
    foreign(engine, type="MARKET", price=None, quantity="0.05")
    sweeping.ring_account_data()
    drain("housekeeping")
    assert Fill.objects.count() == 1
    sweeping.ring_account_data()
    drain("housekeeping")
    assert not Break.objects.filter(kind="balance_mismatch").exists()


def test_a_failed_round_says_so_in_its_chore(engine: Engine) -> None:
    engine.simulator.fault("status", call="GET /api/v3/openOrders", times=20, status=503, code=-1000, msg="down")
    reconciling_schedule.ring_order_reconciliations()
    drain("housekeeping")
    chore = Chore.objects.get(name=f"reconcile-orders:{engine.account.pk}")
    assert (chore.succeeded_at, "NotReconciled" in chore.error) == (None, True)


def test_closed_books_are_not_reconciled(engine: Engine) -> None:
    Account.objects.update(books_opened_at=None)
    assert reconciling_schedule.ring_order_reconciliations() == 0
    reconciling_schedule.resync(Account.objects.get())
    assert drain("housekeeping") == 0
    with pytest.raises(Problem) as problem:
        run(engine)
    assert problem.value.code == "BOOKS_NOT_OPEN"
    Account.objects.update(books_opened_at=clock.now())
    with pytest.raises(Problem) as problem:
        run(engine, "fees")
    assert problem.value.code == "INVALID_PARAMETER"
    with pytest.raises(Problem) as problem:
        reconcile(Account.objects.get(), by=Actor("user:nobody", ""))
    assert problem.value.code == "MISSING_RIGHT"


def test_an_adopted_order_can_be_explained(engine: Engine) -> None:
    foreign(engine)
    run(engine, "orders")
    out = io.StringIO()
    call_command("explain_order", str(Order.objects.get().id), stdout=out)
    assert "external" in out.getvalue()
