"""Replacements, amendments, stops, history and every kind of key against the simulator, over real sockets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from exchanges.adapters import AmendInstruction, CancelInstruction, Credentials, PlaceInstruction, ReplaceInstruction
from exchanges.binance.adapter import BinanceAdapter
from exchanges.http.transport import Timeouts
from exchanges.reports import OrderReport, Outcome, ReplaceOutcome, ReportedStatus
from exchanges.reports import OutcomeKind as Kind
from tests.exchanges.simulator.conftest import KEY, SECRET, Simulator
from tests.exchanges.times import now, soon

BTC = "BTCUSDT"
FIRST, SECOND = "ex" + "0" * 33 + "1", "ex" + "0" * 33 + "2"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    started = Simulator(tmp_path_factory.mktemp("simulator"), "--frozen", "--short-bounds")
    yield started
    assert started.stop() == 0


@pytest.fixture
def simulator(running: Simulator) -> Simulator:
    running.sim("POST", "reset")
    running.account()
    running.book([["59999.00", "1"]], [["60000.00", "0.3"], ["60010.00", "5"]])
    return running


@pytest.fixture
def adapter(simulator: Simulator) -> Iterator[BinanceAdapter]:
    made = BinanceAdapter(Credentials(KEY, SECRET), simulator.url, timeouts=Timeouts(read=2.0))
    yield made
    made.close()


def limit(client_order_id: str = FIRST, price: str = "59000.00", quantity: str = "0.5") -> PlaceInstruction:
    return PlaceInstruction(
        BTC, "BUY", "LIMIT", client_order_id, quantity=Decimal(quantity), price=Decimal(price), time_in_force="GTC"
    )


def place(adapter: BinanceAdapter, instruction: PlaceInstruction) -> Outcome:
    return adapter.send(adapter.prepare_place(instruction, now(), 5000), soon())


def replace(adapter: BinanceAdapter, instruction: PlaceInstruction | None = None) -> ReplaceOutcome:
    wanted = ReplaceInstruction(CancelInstruction(BTC, FIRST), instruction or limit(SECOND, "58000.00"))
    return adapter.send_replace(adapter.prepare_replace(wanted, now(), 5000), soon())


def query(adapter: BinanceAdapter, client_order_id: str) -> OrderReport | None:
    return adapter.query_order(BTC, client_order_id=client_order_id, exchange_order_id=None, now_ms=now())


def status_of(adapter: BinanceAdapter, client_order_id: str) -> ReportedStatus | None:
    report = query(adapter, client_order_id)
    return None if report is None else report.status


def kinds(outcome: ReplaceOutcome) -> tuple[Kind, str, Kind, str]:
    return outcome.cancel.kind, outcome.cancel.reason, outcome.place.kind, outcome.place.reason


def sell_into(simulator: Simulator, quantity: str) -> None:
    body = {"price": "59000.00", "quantity": quantity, "aggressor": "SELL"}
    simulator.sim("POST", "market/BTCUSDT/trade", body)


def test_a_replacement(adapter: BinanceAdapter) -> None:
    place(adapter, limit())
    outcome = replace(adapter)
    assert kinds(outcome) == (Kind.ACCEPTED, "", Kind.ACCEPTED, "")
    assert status_of(adapter, FIRST) is ReportedStatus.CANCELED
    assert status_of(adapter, SECOND) is ReportedStatus.OPEN


@pytest.mark.parametrize(("filled", "reason"), [("0.2", "cancel_restricted"), ("0.5", "not_open")])
def test_an_order_that_was_filled_meanwhile_is_not_replaced(
    simulator: Simulator, adapter: BinanceAdapter, filled: str, reason: str
) -> None:
    place(adapter, limit())
    sell_into(simulator, filled)
    assert kinds(replace(adapter)) == (Kind.REFUSED, reason, Kind.NOT_EXECUTED, "not_attempted")
    assert query(adapter, SECOND) is None
    assert simulator.counter(SECOND) == (1, 0)


@pytest.mark.parametrize(("filled", "reason"), [("0.2", "cancel_restricted"), (None, "not_open")])
def test_a_fill_that_overtakes_a_replacement(
    simulator: Simulator, adapter: BinanceAdapter, filled: str | None, reason: str
) -> None:
    place(adapter, limit())
    simulator.fault("fill_on_cancel", "POST /api/v3/order/cancelReplace", quantity=filled)
    assert kinds(replace(adapter)) == (Kind.REFUSED, reason, Kind.NOT_EXECUTED, "not_attempted")
    assert query(adapter, SECOND) is None


def test_a_replacement_that_cannot_be_paid_leaves_nothing(adapter: BinanceAdapter) -> None:
    place(adapter, limit())
    outcome = replace(adapter, limit(SECOND, "58000.00", "100"))
    assert kinds(outcome) == (Kind.ACCEPTED, "", Kind.REFUSED, "insufficient_funds")
    assert outcome.cancel.evidence.http_status == 409
    assert adapter.open_orders(BTC, now_ms=now()) == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"quantity": Decimal("0.000001")}, "filter"), ({"price": Decimal("58000.001")}, "filter")],
)
def test_a_replacement_that_breaks_a_filter_touches_nothing(
    adapter: BinanceAdapter, changes: dict[str, Any], reason: str
) -> None:
    place(adapter, limit())
    outcome = replace(adapter, dataclasses.replace(limit(SECOND, "58000.00"), **changes))
    assert kinds(outcome) == (Kind.NOT_EXECUTED, "not_attempted", Kind.REFUSED, reason)
    assert status_of(adapter, FIRST) is ReportedStatus.OPEN


def test_a_replacement_over_the_order_limit_touches_nothing(simulator: Simulator, adapter: BinanceAdapter) -> None:
    place(adapter, limit())
    simulator.sim("POST", "limits", {"orders_10s": 0})
    outcome = replace(adapter)
    assert kinds(outcome) == (Kind.THROTTLED, "order_limit", Kind.THROTTLED, "order_limit")
    assert outcome.place.throttled_for_ms is not None
    assert status_of(adapter, FIRST) is ReportedStatus.OPEN


@pytest.mark.parametrize(
    ("fault", "executed"),
    [({"kind": "drop_after"}, 1), ({"kind": "drop_before"}, 0), ({"kind": "status", "execute": True}, 1)],
)
def test_a_replacement_without_an_answer_proves_nothing(
    simulator: Simulator, adapter: BinanceAdapter, fault: dict[str, Any], executed: int
) -> None:
    place(adapter, limit())
    simulator.fault(fault.pop("kind"), "POST /api/v3/order/cancelReplace", **fault)
    outcome = replace(adapter)
    assert {outcome.cancel.kind, outcome.place.kind} == {Kind.UNKNOWN}
    assert simulator.counter(SECOND) == (1, executed)


def test_an_amendment_keeps_its_place_and_name(simulator: Simulator, adapter: BinanceAdapter) -> None:
    place(adapter, limit())
    sell_into(simulator, "0.1")
    wanted = AmendInstruction(BTC, FIRST, None, Decimal("0.3"))
    outcome = adapter.send(adapter.prepare_amend(wanted, now(), 5000), soon())
    (report,) = outcome.reports
    assert isinstance(report, OrderReport)
    assert (report.client_order_id, report.quantity, report.status) == (
        FIRST,
        Decimal("0.3"),
        ReportedStatus.PARTIALLY_FILLED,
    )
    again = adapter.send(adapter.prepare_amend(wanted, now(), 5000), soon())
    assert (again.kind, again.reason) == (Kind.REFUSED, "no_change")
    more = dataclasses.replace(wanted, new_quantity=Decimal("0.4"), exchange_order_id=report.exchange_order_id)
    assert adapter.send(adapter.prepare_amend(more, now(), 5000), soon()).reason == "unsupported"
    gone = dataclasses.replace(wanted, client_order_id=SECOND)
    assert adapter.send(adapter.prepare_amend(gone, now(), 5000), soon()).reason == "not_open"


def test_post_only_and_stop_orders(simulator: Simulator, adapter: BinanceAdapter) -> None:
    maker = PlaceInstruction(BTC, "BUY", "LIMIT_MAKER", FIRST, quantity=Decimal("0.1"), price=Decimal("60000.00"))
    assert place(adapter, maker).reason == "would_match"
    stop = PlaceInstruction(
        BTC,
        "SELL",
        "STOP_LOSS_LIMIT",
        SECOND,
        quantity=Decimal("0.1"),
        price=Decimal("58000.00"),
        time_in_force="GTC",
        stop_price=Decimal("59000.00"),
    )
    assert place(adapter, dataclasses.replace(stop, stop_price=Decimal("60500.00"))).reason == "would_trigger"
    accepted = place(adapter, stop)
    assert accepted.kind is Kind.ACCEPTED, accepted
    assert status_of(adapter, SECOND) is ReportedStatus.OPEN
    sell_into(simulator, "0.01")
    assert status_of(adapter, SECOND) is ReportedStatus.FILLED


def test_history_by_time_and_by_id_and_trades_by_time(simulator: Simulator, adapter: BinanceAdapter) -> None:
    began = now()
    for number in range(3):
        place(adapter, limit(f"history-{number}", "50000.00", "0.01"))
    place(adapter, PlaceInstruction(BTC, "BUY", "MARKET", "taker", quantity=Decimal("0.4")))
    ended = now()
    by_time = adapter.order_history(BTC, start_ms=began, end_ms=ended, now_ms=now())
    assert [order.client_order_id for order in by_time] == ["history-0", "history-1", "history-2", "taker"]
    assert adapter.order_history(BTC, from_order_id=by_time[2].exchange_order_id, now_ms=now()) == by_time[2:]
    trades = adapter.trades_between(BTC, began, ended, now_ms=now())
    assert [trade.quantity for trade in trades] == [Decimal("0.3"), Decimal("0.1")]
    assert adapter.trades_between(BTC, ended + 1, ended + 2, now_ms=now()) == ()
    assert trades == adapter.trades_from(BTC, "0", now_ms=now())


def test_the_smaller_reads(adapter: BinanceAdapter) -> None:
    depth = adapter.depth(BTC)
    assert (depth.bids, depth.asks[0]) == (((Decimal(59999), Decimal(1)),), (Decimal(60000), Decimal("0.3")))
    report = adapter.commission(BTC, now_ms=now())
    assert (report.standard.taker, report.discount_asset) == (Decimal("0.001"), None)
    place(adapter, limit())
    assert [(each.window_ms, each.count) for each in adapter.order_counts(now_ms=now())][1] == (86_400_000, 1)


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_private_keys(simulator: Simulator, kind: str) -> None:
    key = Ed25519PrivateKey.generate() if kind == "ed25519" else rsa.generate_private_key(65537, 2048)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    body = {"name": kind, "api_key": f"key-{kind}", "public_key": public, "balances": {"USDT": "1000"}}
    simulator.sim("POST", "accounts", body)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode().replace("\n", "\r\n")
    adapter = BinanceAdapter(Credentials(f"key-{kind}", private), simulator.url)
    outcome = place(adapter, limit(quantity="0.01"))
    balances = adapter.balances(now_ms=now())
    adapter.close()
    assert outcome.kind is Kind.ACCEPTED
    assert [(each.asset, each.locked) for each in balances] == [("USDT", Decimal(590))]
    assert not any(line in repr(outcome) for line in private.splitlines() if "-----" not in line)
