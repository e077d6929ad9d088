"""A paper account through the whole engine: gate, reservations, commands, unknown outcomes, reconciliation, kill."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection
from django.urls import reverse

from exchanges.absence_bounds import PAPER
from exchanges.freshness import PARTS
from exchanges.models import HostClock, PaperAccount, PaperOrder, PaperTrade
from exchanges.paper.engine import MODEL
from exchanges.paper.flows import set_terms
from execution_project.common import clock
from orders import following
from orders.absence import AbsenceEvidence
from orders.evidence import attempts_with_answers, differences
from orders.models import Attempt, Break, Command, Order
from orders.reconciliation import reconcile
from orders.sweeping import ring_account_data, ring_following, ring_paper_matching
from orders.tasks import follow, match_paper
from positions.models import Fill, Holding, LedgerEntry
from positions.paper_deposits import deposit
from risk.limits import tighten_or_set
from risk.models import Exposure, Reservation
from risk.trading_state import halt
from tests.commands import run
from tests.engines import BY, drain
from tests.paper_engines import PaperEngine, make_paper_engine
from tests.staff import signed_in

pytestmark = pytest.mark.e2e
D = Decimal


@pytest.fixture
def engine(transactional_db: None) -> PaperEngine:
    return make_paper_engine()


def agree(engine: PaperEngine) -> None:
    """Books and paper exchange are equal, part by part."""
    outcome = reconcile(engine.account, by=BY)
    assert outcome.succeeded
    assert [row.as_json() for row in outcome.differences] == []
    assert not Break.objects.exists()


def _newest_method() -> str:
    return Command.objects.filter(kind="replace").latest("created_at").method


def test_a_market_order_goes_the_whole_way_and_its_fills_name_the_model(engine: PaperEngine) -> None:
    document = engine.place(quantity="1.5")
    assert (document["status"], document["filled_quantity"]) == ("filled", "1.5")
    fills = list(Fill.objects.order_by("trade_id"))
    assert [(fill.price, fill.quantity, fill.source) for fill in fills] == [
        (D(60010), D(1), MODEL),
        (D(60020), D("0.5"), MODEL),
    ]
    assert set(PaperTrade.objects.values_list("model", flat=True)) == {MODEL}
    assert MODEL in Attempt.objects.get().response["body"]
    agree(engine)
    assert not Reservation.objects.filter(amount__gt=0).exists()
    _, listed = engine.request("GET", "fills")
    told = [*listed["fills"], *engine.order(document["id"])["fills"]]
    assert [fill["model"] for fill in told] == [MODEL] * 4
    explained = " ".join(run("explain_order", document["id"]).out.split())
    assert explained.count(f"made up by {MODEL}") == 2
    desk = signed_in("operations")
    for name, key in (("positions_fill", fills[0].pk), ("orders_order", document["id"])):
        page = desk.get(reverse(f"admin:{name}_change", args=[key])).content.decode()
        assert MODEL in page, name


def test_a_resting_order_fills_when_the_market_trades_there_and_settles(engine: PaperEngine) -> None:
    document = engine.limit("BUY", "1", "60000")
    assert document["status"] == "open"
    engine.trade("60000", "1.4", "SELL")
    assert ring_paper_matching() == 1
    drain()
    assert engine.order(document["id"])["filled_quantity"] == "0.4"
    engine.trade("59999", "0.1", "SELL")
    match_paper(engine.account.pk)
    assert engine.order(document["id"])["status"] == "filled"
    Order.objects.update(updated_at=clock.now() - timedelta(seconds=5))
    assert ring_following() == 1
    drain()
    assert engine.order(document["id"])["status"] == "settled"
    agree(engine)


def test_cancel_replace_amend_and_refusals(engine: PaperEngine) -> None:
    document = engine.limit("BUY", "1", "59000")
    status, answer = engine.request("PATCH", f"order/{document['id']}", {"price": "59500.00"})
    assert (status, answer["mode"], _newest_method()) == (202, "paper", "cancel_replace")
    drain()
    assert engine.order(document["id"])["price"] == "59500"
    status, answer = engine.request("PATCH", f"order/{document['id']}", {"quantity": "0.5"})
    assert (status, _newest_method()) == (202, "amend")
    drain()
    assert PaperOrder.objects.get(status="open").quantity == D("0.5")
    engine.request("DELETE", f"order/{document['id']}")
    drain()
    assert engine.order(document["id"])["status"] == "canceled"
    engine.show()
    refused = engine.place(type="LIMIT_MAKER", quantity="0.1", price="60010")
    assert (refused["status"], refused["reason"]) == ("rejected", "WOULD_MATCH")
    assert not PaperOrder.objects.filter(locked__gt=0).exists()
    agree(engine)


def test_a_lost_answer_is_unknown_and_found(engine: PaperEngine) -> None:
    engine.arm("lost_answer", "place")
    document = engine.place(quantity="0.1")
    assert document["status"] == "filled", "the probe found it"
    assert Attempt.objects.get().outcome == "unknown"
    assert PaperOrder.objects.count() == 1
    agree(engine)


def test_a_lost_request_is_proven_absent_in_rounds(engine: PaperEngine) -> None:
    engine.arm("lost_request", "place")
    document = engine.place(quantity="0.1")
    assert document["status"] == "submit_unknown"
    assert Reservation.objects.filter(amount__gt=0).exists()
    order = Order.objects.get()
    later = clock.ManualClock(clock.now())
    bounds = PAPER["binance"]
    with clock.using(later):
        later.advance(timedelta(seconds=6, milliseconds=bounds.quiet_ms))
        for _ in range(bounds.rounds):
            following.probe(order.id)
            later.advance(timedelta(milliseconds=bounds.round_gap_ms + 1))
    document = engine.order(str(order.id))
    assert (document["status"], document["reason"]) == ("rejected", "PROVEN_ABSENT")
    assert AbsenceEvidence.objects.count() == bounds.rounds
    assert not Reservation.objects.filter(amount__gt=0).exists()


@pytest.mark.parametrize(("kind", "status"), [("reject", "rejected"), ("busy", "filled"), ("throttled", "pending")])
def test_faults_on_demand(engine: PaperEngine, kind: str, status: str) -> None:
    engine.arm(kind, "place")
    assert engine.place(quantity="0.1")["status"] == status
    assert PaperAccount.objects.get().faults == []


def test_a_clock_that_is_off_and_a_late_arrival_are_refused_as_such(engine: PaperEngine) -> None:
    set_terms(engine.account, {"clock_offset_ms": 6000}, reason="x", by=BY)
    assert engine.place(quantity="0.1")["status"] == "pending"
    assert Attempt.objects.get().outcome == "clock"
    assert HostClock.objects.get().offset_ms == 6000, "sampled at once; nothing is stamped until the clocks agree"
    assert not PaperOrder.objects.exists()


def test_without_a_young_book_an_order_waits_instead_of_being_made_up(engine: PaperEngine) -> None:
    engine.show()
    with clock.using(clock.ManualClock(clock.now() + timedelta(seconds=3))):
        document = engine.place(quantity="0.1")
    assert document["status"] == "pending"
    assert Attempt.objects.get().outcome == "not_executed"
    assert not PaperOrder.objects.exists()


def test_lagging_reads_end_nothing(engine: PaperEngine) -> None:
    document = engine.limit("BUY", "0.2", "60000")
    set_terms(engine.account, {"read_lag_ms": 60_000}, reason="x", by=BY)
    follow(engine.account.pk)
    engine.trade("59000", "1", "SELL")
    follow(engine.account.pk)
    assert engine.order(document["id"])["status"] == "open"
    set_terms(engine.account, {"read_lag_ms": 0}, reason="x", by=BY)
    follow(engine.account.pk)
    assert engine.order(document["id"])["status"] == "filled"
    agree(engine)


def test_a_halt_with_cancels_ends_what_rests(engine: PaperEngine) -> None:
    document = engine.limit("SELL", "0.2", "61000")
    engine.request("POST", "stop", {"scope": {"account": engine.account.name}, "reason": "x", "cancel_orders": True})
    drain()
    assert engine.order(document["id"])["status"] == "canceled"
    status, refused = engine.request(
        "POST",
        "order",
        {"account": engine.account.name, "symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1"},
        **{"Idempotency-Key": "k"},
    )
    assert (status, refused["code"]) == (422, "TRADING_HALTED")


def test_deposits_are_flows_in_the_ledger_and_leave_no_break(engine: PaperEngine) -> None:
    deposit(engine.account, "USDT", D("500.5"), reason="more", by=BY)
    deposit(engine.account, "BTC", D(-1), reason="less", by=BY)
    ring_account_data()
    drain()
    agree(engine)
    assert {row.asset: row.quantity for row in Holding.objects.all()} == {"USDT": D("1000500.5"), "BTC": D(9)}
    booked = LedgerEntry.objects.filter(kind__in=["deposit", "withdrawal"], book="exchange").values_list(
        "asset", "amount"
    )
    assert set(booked) == {("USDT", D("500.5")), ("BTC", D(-1))}


def test_the_gate_holds_paper_accounts_to_the_same_freshness(engine: PaperEngine) -> None:
    with clock.using(clock.ManualClock(clock.now() + timedelta(seconds=91))):
        engine.show()
        status, document = engine.request(
            "POST",
            "order",
            {"account": engine.account.name, "symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1"},
            **{"Idempotency-Key": "k"},
        )
    assert status == 422
    assert "RECONCILIATION_STALE" in str(document)
    assert set(PARTS) == {"orders", "trades", "balances"}


def test_stored_answers_are_read_again_alike(engine: PaperEngine) -> None:
    engine.place(quantity="1.5")
    engine.arm("reject", "place")
    engine.place(quantity="0.1")
    attempts = list(attempts_with_answers())
    assert len(attempts) == 2
    assert [list(differences(attempt)) for attempt in attempts] == [[], []]


@pytest.mark.parametrize("kind", ["account"])
def test_btcturk_on_paper_buys_by_quote_and_cancels_by_promise(transactional_db: None, kind: str) -> None:
    engine = make_paper_engine("btcturk")
    document = engine.place(quote_quantity="6000")
    assert document["status"] == "filled"
    assert {fee["kind"] for fill in Fill.objects.all() for fee in fill.fees} == {"fee", "tax"}
    document = engine.limit("BUY", "0.1", "59000")
    assert document["status"] == "open"
    engine.request("DELETE", f"order/{document['id']}")
    drain()
    assert engine.order(document["id"])["status"] == "canceled"
    agree(engine)
    halt(kind, engine.account.name, reason="x", by=BY)


def test_paper_and_other_modes_never_mix(engine: PaperEngine) -> None:
    """Limits, exposure, reservations, positions and answers carry the mode; another mode's do not bind paper."""
    for mode in ("live", "sandbox"):
        tighten_or_set("max_order_notional", mode, "global", "", D(1), reason="x", by=BY)
    document = engine.limit("BUY", "0.1", "59000")
    assert (document["status"], document["mode"]) == ("open", "paper")
    assert set(Reservation.objects.values_list("mode", flat=True)) == {"paper"}
    assert set(Exposure.objects.values_list("mode", flat=True)) <= {"paper", "sandbox", "live"}
    engine.place(quantity="0.1")
    _, positions = engine.request("GET", "positions")
    assert {row["mode"] for row in positions["positions"]} == {"paper"}
    _, fills = engine.request("GET", "fills")
    assert {row["mode"] for row in fills["fills"]} == {"paper"}
    tighten_or_set("max_order_notional", "paper", "global", "", D(1), reason="x", by=BY)
    engine.show()
    status, refused = engine.request(
        "POST",
        "order",
        {"account": engine.account.name, "symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1"},
        **{"Idempotency-Key": "k"},
    )
    assert (status, refused["code"]) == (422, "MAX_ORDER_NOTIONAL")
    with pytest.raises(DatabaseError, match="are final"), connection.cursor() as cursor:
        cursor.execute("UPDATE exchanges_account SET mode = 'live', rest_url = 'https://api.binance.com'")
