"""Trades are read again: what the books hold of them is compared, and what cannot be booked has an owner."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from exchanges.binance.adapter import BinanceAdapter
from exchanges.connections import adapter_for
from exchanges.freshness import freshness_of
from exchanges.host_clock import exchange_now_ms
from exchanges.models import AccountFreshness, Instrument
from exchanges.reports import Fee, TradeReport
from execution_project.common import clock
from orders import boot, reconciling_schedule
from orders.ingest import ingest
from orders.models import Break, ExchangeOrder, Order
from orders.reconciliation import trades
from positions.models import Fill, Holding, LedgerEntry, TradeCursor
from tests.engines import BY, Engine, drain, make_engine
from tests.integration.test_reconciliation import foreign, run
from tests.simulators import Simulator

pytestmark = pytest.mark.e2e
D = Decimal
CALLS = {
    "binance": {
        "orders": "GET /api/v3/openOrders",
        "trades": "GET /api/v3/myTrades",
        "balances": "GET /api/v3/account",
    },
    "btcturk": {
        "orders": "GET /api/v1/openOrders",
        "trades": "GET /api/v1/users/transactions/trade",
        "balances": "GET /api/v1/users/balances",
    },
}


@pytest.fixture(params=["binance", "btcturk"])
def venue(request: pytest.FixtureRequest, transactional_db: None, simulator: Simulator) -> Engine:
    """A seeded engine of each exchange."""
    return make_engine(simulator, exchange=request.param)


def resting(engine: Engine) -> ExchangeOrder:
    """A buy of 0.1 that works at the exchange."""
    engine.limit("BUY", "0.1", "59000.00")
    drain()
    return ExchangeOrder.objects.get()


def traded(engine: Engine, quantity: str = "0.04") -> TradeReport:
    """A trade of it that nobody here has heard of yet, as the exchange tells it."""
    engine.simulator.trade("BTCUSDT", "58990", quantity, "SELL", exchange=engine.account.exchange)
    told = adapter_for(engine.account).trades_from("BTCUSDT", None, now_ms=exchange_now_ms(engine.account))
    return told[-1]


def booked_as(engine: Engine, **changes: Any) -> TradeReport:
    """Have the trade in the books otherwise than the exchange tells it; returns the exchange's word."""
    resting(engine)
    trade = traded(engine)
    assert ingest(engine.account, [replace(trade, **changes)], by=BY).new_fills == 1
    return trade


def subject(trade: TradeReport) -> str:
    return f"{trade.symbol} {trade.exchange_order_id} {trade.trade_id}"


@pytest.mark.parametrize(
    ("changes", "kind", "severity", "difference"),
    [
        ({"price": D(59001)}, "price_mismatch", "warning", D(-1)),
        ({"price": D(58900)}, "price_mismatch", "blocking", D(100)),
        ({"quantity": D("0.05")}, "qty_mismatch", "warning", D("-0.01")),
        ({"fees": ()}, "fee_mismatch", "informational", None),
        ({"fees": (Fee("BNB", D("0.01")),)}, "fee_mismatch", "informational", None),
    ],
)
def test_a_fill_that_differs_from_its_trade_is_a_break(
    venue: Engine, changes: dict[str, Any], kind: str, severity: str, difference: Decimal | None
) -> None:
    trade = booked_as(venue, **changes)
    outcome = run(venue, "trades")
    assert [(row.what, row.became) for row in outcome.differences] == [(kind, "break")]
    assert outcome.succeeded, "it was compared, which is what freshness means"
    broken = Break.objects.get()
    assert (broken.kind, broken.severity, broken.status, broken.subject) == (kind, severity, "open", subject(trade))
    assert broken.order == Order.objects.get()
    if difference is not None:
        assert broken.difference == difference
    run(venue, "trades")
    assert Break.objects.get().id == broken.id, "the next reading sees the same one"
    assert Fill.objects.count() == 1, "a fill is never edited"


def test_a_fill_that_differs_ends_when_the_exchange_shows_it_as_booked(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    trade = booked_as(engine, price=D(58900), quantity=D("0.05"), fees=())
    run(engine, "trades")
    assert set(Break.objects.values_list("kind", flat=True)) == {"price_mismatch", "qty_mismatch", "fee_mismatch"}
    monkeypatch.setattr(trades, "TRADES_OVERLAP", timedelta(0))
    run(engine, "trades")
    assert not Break.objects.filter(status="resolved").exists(), "going past it ends nothing"
    later = replace(trade, price=D(58900), quantity=D("0.05"))
    monkeypatch.setattr(BinanceAdapter, "trades_between", lambda *_, **__: (later,))
    run(engine, "trades")
    assert dict(Break.objects.values_list("kind", "status")) == {
        "price_mismatch": "resolved",
        "qty_mismatch": "resolved",
        "fee_mismatch": "open",
    }
    assert freshness_of(engine.account).blocked_by == ""


def test_an_order_of_which_too_much_is_booked_is_a_break_that_ends_by_an_answer_alone(venue: Engine) -> None:
    booked_as(venue, quantity=D("0.05"))
    row = ExchangeOrder.objects.get()
    name = f"BTCUSDT {row.exchange_order_id}"
    first = run(venue, "orders")
    assert [(d.what, d.became) for d in first.differences] == [("qty_mismatch", "suspected")]
    run(venue, "orders")
    broken = Break.objects.get(subject=name)
    assert (broken.kind, broken.status, broken.difference) == ("qty_mismatch", "open", D("-0.01"))
    run(venue, "trades")
    assert Break.objects.filter(kind="qty_mismatch", status="open").count() == 2, "the order, and its trade"
    venue.request("DELETE", f"order/{row.order_id}")
    drain()
    run(venue, "orders")
    assert Break.objects.get(subject=name).status == "open", "the list shows it no more, which explains nothing"
    Break.objects.filter(subject=name).update(opened_at=clock.now() - timedelta(seconds=10))
    reconciling_schedule.watch_books()
    assert Break.objects.get(subject=name).severity == "blocking"
    ExchangeOrder.objects.update(booked_quantity=D("0.04"))
    run(venue, "orders")
    assert Break.objects.get(subject=name).status == "resolved"
    assert Break.objects.get(kind="qty_mismatch", status="open").subject != name


def test_trades_of_an_order_that_do_not_show_block_after_ten_seconds_until_they_come(venue: Engine) -> None:
    resting(venue)
    venue.simulator.fault("lagging_trades", call=CALLS[venue.account.exchange]["trades"], ms=600_000)
    venue.simulator.trade("BTCUSDT", "58990", "0.04", "SELL", exchange=venue.account.exchange)
    run(venue, "orders")
    assert ExchangeOrder.objects.get().unbooked_quantity == D("0.04")
    assert Break.objects.get().status == "suspected"
    Break.objects.update(opened_at=clock.now() - timedelta(seconds=10))
    reconciling_schedule.watch_books()
    run(venue, "orders", "trades")
    broken = Break.objects.get()
    assert (broken.kind, broken.status, broken.difference) == ("missing_fill", "open", D("0.04"))
    assert venue.limit("BUY", "0.01", "50000.00")[1]["code"] == "BREAK_OPEN"
    venue.simulator.call("DELETE", "/sim/faults")
    assert run(venue, "trades").new_fills == 1
    assert Break.objects.get().status == "resolved"
    assert venue.limit("BUY", "0.01", "50000.00")[0] == 202


def test_trades_whose_order_the_exchange_hides_block_after_ten_seconds(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.simulator.fault("not_found_for", call="GET /api/v3/order", ms=600_000)
    foreign(engine, type="MARKET", price=None, quantity="0.05")
    assert [row.became for row in run(engine, "trades").differences] == ["pending"]
    monkeypatch.setattr(trades, "BLOCKS_AFTER", timedelta(0))
    assert [row.became for row in run(engine, "trades").differences] == ["break"]
    broken = Break.objects.get()
    assert (broken.kind, broken.severity, broken.evidence["quantity"]) == ("missing_fill", "blocking", "0.05")
    engine.simulator.call("DELETE", "/sim/faults")
    assert run(engine, "trades").new_fills == 1
    assert Break.objects.get(kind="missing_fill").status == "resolved"


def test_a_trade_that_no_books_can_hold_is_a_break_and_the_others_are_booked(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trades, "BLOCKS_AFTER", timedelta(0))
    resting(engine)
    full = D("99999999999999999999.99")
    held = Holding.objects.get(account=engine.account, asset="BTC", strategy=None)
    Holding.objects.filter(pk=held.pk).update(quantity=full)
    traded(engine)
    foreign(engine, symbol="ETHUSDT", type="MARKET", price=None, quantity="1")
    outcome = run(engine, "trades")
    assert (outcome.new_fills, outcome.unfinished) == (1, {"trades"})
    broken = Break.objects.get(kind="missing_fill")
    assert (broken.status, broken.severity) == ("open", "blocking")
    assert "does not fit" in broken.observed
    Holding.objects.filter(pk=held.pk).update(quantity=held.quantity)
    assert run(engine, "trades").new_fills == 1
    assert Break.objects.get(kind="missing_fill").status == "resolved"


def test_a_fill_of_before_the_cut_over_is_no_orphan(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trades, "NOT_SHOWN_YET", timedelta(0))
    booked_as(engine)
    TradeCursor.objects.filter(instrument__symbol="BTCUSDT").update(opened_after_trade_id="9" * 12)
    engine.simulator.fault("lagging_trades", call=CALLS["binance"]["trades"], ms=600_000)
    for _ in range(2):
        run(engine, "trades")
    assert Break.objects.count() == 0


def unseen_fill(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fill in the books that the exchange does not show, older than what an ordinary reading covers."""
    booked_as(engine)
    monkeypatch.setattr(trades, "NOT_SHOWN_YET", timedelta(0))
    monkeypatch.setattr(trades, "TRADES_OVERLAP", timedelta(0))
    TradeCursor.objects.update(updated_at=clock.now())
    engine.simulator.fault("lagging_trades", call=CALLS[engine.account.exchange]["trades"], ms=600_000)


def test_a_fill_that_one_wide_reading_did_not_show_is_looked_for_a_second_time(
    venue: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    unseen_fill(venue, monkeypatch)
    run(venue, "trades")
    assert Break.objects.count() == 0, "an ordinary reading does not reach back to it"
    run(venue, "trades", since=clock.now() - timedelta(minutes=5))
    assert (Break.objects.get().kind, Break.objects.get().status) == ("orphan_fill", "suspected")
    run(venue, "trades")
    assert Break.objects.get().status == "open"
    assert venue.limit("BUY", "0.01", "50000.00")[1]["code"] == "BREAK_OPEN"


def test_a_suspicion_of_a_wide_reading_ends_by_the_next_one(venue: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    unseen_fill(venue, monkeypatch)
    run(venue, "trades", since=clock.now() - timedelta(minutes=5))
    assert Break.objects.get().status == "suspected"
    venue.simulator.call("DELETE", "/sim/faults")
    run(venue, "trades")
    assert Break.objects.count() == 0


def test_a_start_goes_on_until_a_fill_that_was_not_shown_was_looked_for_twice(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    unseen_fill(engine, monkeypatch)
    boot.boot()
    assert not boot.finish_boot(engine.account)
    assert Break.objects.get().status == "suspected"
    assert engine.limit("BUY", "0.01", "50000.00")[1]["code"] == "TRADING_HALTED"
    assert boot.finish_boot(engine.account)
    assert (Break.objects.get().kind, Break.objects.get().status) == ("orphan_fill", "open")
    assert engine.limit("BUY", "0.01", "50000.00")[1]["code"] == "BREAK_OPEN"


def test_a_start_does_not_wait_for_a_symbol_whose_trades_are_read_no_more(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    unseen_fill(engine, monkeypatch)
    boot.boot()
    assert not boot.finish_boot(engine.account)
    Instrument.objects.filter(symbol="BTCUSDT").update(status="DELISTED")
    assert boot.finish_boot(engine.account)


@pytest.mark.parametrize("part", ["orders", "trades", "balances"])
def test_a_failed_query_is_never_an_empty_answer(venue: Engine, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty list of orders, of trades, of balances would each be a break by the second reading."""
    monkeypatch.setattr(trades, "NOT_SHOWN_YET", timedelta(0))
    resting(venue)
    traded(venue)
    assert run(venue).succeeded
    before = freshness_of(venue.account)
    for fault in ({"kind": "status", "status": 503}, {"kind": "garbage"}):
        venue.simulator.fault(call=CALLS[venue.account.exchange][part], times=None, **fault)
        for _ in range(2):
            outcome = run(venue)
            assert set(outcome.failed) == {part}
            assert outcome.differences == []
        venue.simulator.call("DELETE", "/sim/faults")
    assert Break.objects.count() == 0
    assert Order.objects.get().status == "partially_filled"
    after = freshness_of(venue.account)
    stamps = {name: (getattr(before, f"{name}_at"), getattr(after, f"{name}_at")) for name in CALLS["binance"]}
    assert {name for name, (old, new) in stamps.items() if old == new} == {part}


def test_a_ledger_below_zero_shows_also_while_the_exchange_does_not_answer(venue: Engine) -> None:
    now = clock.now()
    legs = {"asset": "BTC", "kind": "fill", "reference": "x", "effective_at": now, "posted_at": now}
    LedgerEntry.objects.create(account=venue.account, book="exchange", amount=D("-10.5"), **legs)
    venue.simulator.fault("status", call=CALLS[venue.account.exchange]["balances"], times=None, status=503)
    assert set(run(venue, "balances").failed) == {"balances"}
    assert (Break.objects.get().kind, Break.objects.get().status) == ("negative_inventory", "open")
    LedgerEntry.objects.create(account=venue.account, book="exchange", amount=D("10.5"), **legs)
    run(venue, "balances")
    assert Break.objects.get().status == "resolved"


def test_a_part_that_was_not_compared_is_a_break_until_its_next_success(engine: Engine) -> None:
    AccountFreshness.objects.update(trades_at=clock.now() - timedelta(hours=1))
    engine.account.books_opened_at = clock.now() - timedelta(days=1)
    engine.account.save()
    assert reconciling_schedule.watch_books() == 1
    broken = Break.objects.get()
    assert (broken.kind, broken.subject, broken.status) == ("stale_recon", "trades", "open")
    assert engine.place()[1]["code"] == "RECONCILIATION_STALE"
    engine.simulator.fault("status", call=CALLS["binance"]["trades"], times=None, status=503)
    run(engine, "trades")
    assert Break.objects.get().status == "open"
    engine.simulator.call("DELETE", "/sim/faults")
    run(engine, "trades")
    assert Break.objects.get().status == "resolved"
