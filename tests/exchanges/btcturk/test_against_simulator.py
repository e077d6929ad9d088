"""The adapter against the exchange simulator in its own process, over real sockets."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from exchanges.adapters import CancelInstruction, Credentials, PlaceInstruction
from exchanges.btcturk.adapter import BtcturkAdapter, NeedsExchangeOrderId
from exchanges.btcturk.client import BtcturkClient
from exchanges.btcturk.parsing import MAY_HAVE_TRIGGERED
from exchanges.filters import check_order
from exchanges.reports import OrderReport, Outcome, ReadFailed, ReportedStatus, TradeReport
from exchanges.reports import OutcomeKind as Kind
from tests.exchanges.btcturk.samples import CREDENTIALS
from tests.exchanges.btcturk.stamps import Stamps
from tests.exchanges.times import now
from tests.simulators import Simulator
from tests.waiting import wait_until

BTC, AAVE = "BTCTRY", "AAVETRY"
POST = "POST /api/v1/order"
ids = (f"ex{number:034d}" for number in count())


@pytest.fixture
def exchange(running: Simulator) -> Simulator:
    running.call("POST", "/sim/reset")
    running.call("POST", "/sim/market/freeze")
    running.call(
        "POST",
        "/sim/accounts",
        {
            "exchange": "btcturk",
            "name": "turk",
            "api_key": CREDENTIALS.key,
            "api_secret": CREDENTIALS.secret,
            "balances": {"TRY": "1000000", "BTC": "1", "AAVE": "10"},
            "maker_fee": "0.0005",
            "taker_fee": "0.001",
        },
    )
    running.call("POST", "/sim/btcturk", {"cancel_delay_ms": 0})
    running.call(
        "POST", f"/sim/market/{BTC}", {"bids": [["2990000", "1"]], "asks": [["3000000", "0.1"], ["3010000", "2"]]}
    )
    return running


stamps = Stamps()


@pytest.fixture
def adapter(exchange: Simulator) -> Iterator[BtcturkAdapter]:
    made = BtcturkAdapter(CREDENTIALS, exchange.url, stamp=stamps)
    yield made
    made.close()


def limit(price: str, quantity: str = "0.01", side: str = "BUY", symbol: str = BTC) -> PlaceInstruction:
    return PlaceInstruction(
        symbol, side, "LIMIT", next(ids), quantity=Decimal(quantity), price=Decimal(price), time_in_force="GTC"
    )


def market_buy(amount: str, symbol: str = BTC) -> PlaceInstruction:
    return PlaceInstruction(symbol, "BUY", "MARKET", next(ids), quote_quantity=Decimal(amount))


def place(adapter: BtcturkAdapter, instruction: PlaceInstruction, stamp_ms: int | None = None) -> Outcome:
    stamp = stamps(now()) if stamp_ms is None else stamp_ms
    return adapter.send(adapter.prepare_place(instruction, stamp, 5000), time.monotonic() + 5)


def cancel(adapter: BtcturkAdapter, order: OrderReport) -> Outcome:
    instruction = CancelInstruction(order.symbol, order.client_order_id, order.exchange_order_id)
    return adapter.send(adapter.prepare_cancel(instruction, stamps(now()), 5000), time.monotonic() + 5)


def query(
    adapter: BtcturkAdapter, instruction: PlaceInstruction, exchange_order_id: str | None = None
) -> OrderReport | None:
    return adapter.query_order(
        instruction.symbol,
        client_order_id=instruction.client_order_id,
        exchange_order_id=exchange_order_id,
        now_ms=now(),
        since_ms=now() - 60_000,
    )


def order_of(outcome: Outcome) -> OrderReport:
    assert outcome.kind is Kind.ACCEPTED, outcome
    (report,) = outcome.reports
    assert isinstance(report, OrderReport)
    return report


def failed(read: Callable[[], object]) -> Outcome:
    with pytest.raises(ReadFailed) as caught:
        read()
    return caught.value.outcome


def spent(trades: tuple[TradeReport, ...]) -> Decimal:
    return sum((trade.quote_quantity + sum(fee.amount for fee in trade.fees) for trade in trades), Decimal(0))


# Orders


def test_a_market_buy_spends_quote_with_fee_and_tax(adapter: BtcturkAdapter, exchange: Simulator) -> None:
    instruction = market_buy("600600")
    order = order_of(place(adapter, instruction))
    assert (order.status, order.cumulative_quantity, order.quantity) == (ReportedStatus.OPEN, 0, None)
    trades = adapter.order_trades(BTC, order.exchange_order_id, now_ms=now())
    assert len(trades) == 2
    assert Decimal(0) <= 600_600 - spent(trades) < Decimal("0.01")
    assert [[fee.kind for fee in trade.fees] for trade in trades] == [["fee", "tax"], ["fee", "tax"]]
    for trade in trades:
        fee, tax = (leg.amount for leg in trade.fees)
        assert abs(tax - fee / 5) < Decimal("1e-7")
        assert trade.client_order_id == instruction.client_order_id
    report = query(adapter, instruction, order.exchange_order_id)
    assert report is not None
    assert report.status in {ReportedStatus.FILLED, ReportedStatus.CANCELED}
    assert report.cumulative_quantity == sum(trade.quantity for trade in trades)
    held = exchange.balances("turk")
    assert held["BTC"] == 1 + report.cumulative_quantity
    assert held["TRY"] == 1_000_000 - spent(trades)


def test_a_market_sell_sells_base(adapter: BtcturkAdapter, exchange: Simulator) -> None:
    instruction = PlaceInstruction(BTC, "SELL", "MARKET", next(ids), quantity=Decimal("0.25"))
    order = order_of(place(adapter, instruction))
    (trade,) = adapter.order_trades(BTC, order.exchange_order_id, now_ms=now())
    assert (trade.side, trade.quantity, trade.price) == ("SELL", Decimal("0.25"), Decimal(2990000))
    received = trade.quote_quantity - sum(fee.amount for fee in trade.fees)
    assert exchange.balances("turk")["TRY"] == 1_000_000 + received


def test_a_market_order_that_finds_too_little_ends_with_what_it_got(
    adapter: BtcturkAdapter, exchange: Simulator
) -> None:
    exchange.call("POST", f"/sim/market/{BTC}", {"bids": [["2990000", "0.1"]], "asks": []})
    instruction = PlaceInstruction(BTC, "SELL", "MARKET", next(ids), quantity=Decimal("0.25"))
    order = order_of(place(adapter, instruction))
    report = query(adapter, instruction, order.exchange_order_id)
    assert report is not None
    assert (report.status.is_end, report.cumulative_quantity) == (True, Decimal("0.1"))


def test_a_resting_order_is_filled_in_part_and_canceled(adapter: BtcturkAdapter, exchange: Simulator) -> None:
    instruction = limit("2900000")
    order = order_of(place(adapter, instruction))
    (shown,) = adapter.open_orders(BTC, now_ms=now())
    assert (shown.client_order_id, shown.status, shown.price) == (
        instruction.client_order_id,
        ReportedStatus.OPEN,
        Decimal(2900000),
    )
    exchange.trade(BTC, "2900000", "0.004", "SELL")
    report = query(adapter, instruction)
    assert report is not None
    assert (report.status, report.cumulative_quantity) == (ReportedStatus.PARTIALLY_FILLED, Decimal("0.004"))

    outcome = cancel(adapter, order)
    assert (outcome.kind, outcome.reports) == (Kind.ACCEPTED, ())
    ended = query(adapter, instruction, order.exchange_order_id)
    assert ended is not None
    assert (ended.status, ended.cumulative_quantity) == (ReportedStatus.CANCELED, Decimal("0.004"))
    assert adapter.open_orders(None, now_ms=now()) == ()
    assert cancel(adapter, order).kind is Kind.ACCEPTED  # repeating is harmless
    found = query(adapter, instruction)  # by the client id, now in the history
    assert found is not None
    assert dataclasses.replace(found, source="") == dataclasses.replace(ended, source="")


def test_an_accepted_cancel_is_a_promise_that_a_fill_may_overtake(adapter: BtcturkAdapter, exchange: Simulator) -> None:
    exchange.call("POST", "/sim/btcturk", {"cancel_delay_ms": 300})
    instruction = limit("2900000")
    order = order_of(place(adapter, instruction))
    assert cancel(adapter, order).kind is Kind.ACCEPTED
    still = query(adapter, instruction, order.exchange_order_id)
    assert still is not None
    assert still.status is ReportedStatus.OPEN
    exchange.trade(BTC, "2900000", "0.003", "SELL")

    def ended() -> bool:
        report = query(adapter, instruction, order.exchange_order_id)
        assert report is not None
        return report.status is ReportedStatus.CANCELED and report.cumulative_quantity == Decimal("0.003")

    wait_until(ended, 30, "the cancel takes effect")
    (trade,) = adapter.order_trades(BTC, order.exchange_order_id, now_ms=now())
    assert trade.quantity == Decimal("0.003")


def test_a_cancel_by_client_id_goes_by_way_of_a_look_up(adapter: BtcturkAdapter) -> None:
    instruction = limit("2900000")
    order_of(place(adapter, instruction))
    with pytest.raises(NeedsExchangeOrderId):
        adapter.prepare_cancel(CancelInstruction(BTC, instruction.client_order_id), now(), 5000)
    found = query(adapter, instruction)
    assert found is not None
    assert cancel(adapter, found).kind is Kind.ACCEPTED
    assert adapter.open_orders(BTC, now_ms=now()) == ()


def test_cancels_that_are_refused(adapter: BtcturkAdapter, exchange: Simulator) -> None:
    order = order_of(place(adapter, limit("2900000")))
    outcome = cancel(adapter, dataclasses.replace(order, exchange_order_id="1"))
    assert (outcome.kind, outcome.reason) == (Kind.REFUSED, "not_open")
    exchange.call("POST", "/sim/btcturk", {"pairs": {BTC: {"cancel_blocked": True}}})
    outcome = cancel(adapter, order)
    assert (outcome.kind, outcome.reason) == (Kind.REFUSED, "cancel_restricted")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"quantity": Decimal("0.9")}, "insufficient_funds"),
        ({"price": Decimal("2900000.5")}, "precision"),
        ({"quantity": Decimal("0.000000001")}, "precision"),
        ({"quantity": Decimal("0.00003")}, "filter"),
        ({"price": Decimal("1")}, "filter"),
        ({"symbol": "NOSUCH"}, "symbol"),
    ],
)
def test_refusals(adapter: BtcturkAdapter, exchange: Simulator, changes: dict[str, Any], reason: str) -> None:
    for legacy in (False, True):
        exchange.call("POST", "/sim/btcturk", {"legacy_codes": legacy})
        outcome = place(adapter, dataclasses.replace(limit("2900000"), **changes))
        assert (outcome.kind, outcome.reason) == (Kind.REFUSED, reason), outcome


def test_market_orders_may_vanish(adapter: BtcturkAdapter, exchange: Simulator) -> None:
    exchange.call("POST", "/sim/btcturk", {"pairs": {BTC: {"order_methods": ["LIMIT"]}}})
    outcome = place(adapter, market_buy("1000"))
    assert (outcome.kind, outcome.reason) == (Kind.REFUSED, "unsupported")
    (pair,) = adapter.instruments((BTC,))
    assert (pair.order_types, pair.quote_quantity_allowed) == (("LIMIT",), False)


def test_the_wire_label_is_the_right_one_and_no_key(adapter: BtcturkAdapter, exchange: Simulator) -> None:
    instruction = limit("2900000")
    order_of(place(adapter, instruction))
    assert exchange.posted() == {instruction.client_order_id: 1}
    order_of(place(adapter, instruction))  # the exchange takes it for another order
    assert failed(lambda: query(adapter, instruction)).reason == "ambiguous"


def test_foreign_stops_are_read_before_and_after_they_trigger(adapter: BtcturkAdapter, exchange: Simulator) -> None:
    instruction = limit("3100000")
    other = BtcturkClient(CREDENTIALS, exchange.url)
    stop_order = {
        "newOrderClientId": instruction.client_order_id,
        "orderMethod": "stopLimit",
        "orderType": "buy",
        "pairSymbol": BTC,
        "price": "3100000",
        "quantity": "0.01",
        "stopPrice": "3050000",
    }
    assert other.private("POST", "/api/v1/order", stop_order.items(), stamps(now())).status == 200
    other.close()
    (stop,) = adapter.open_orders(BTC, now_ms=now())
    assert (stop.type, stop.status) == ("STOP_LOSS_LIMIT", ReportedStatus.OPEN)
    exchange.book(BTC, "3055000", "3060000")
    successor = query(adapter, instruction)
    assert successor is not None
    assert (successor.type, successor.client_order_id) == ("LIMIT", instruction.client_order_id)
    old = query(adapter, instruction, stop.exchange_order_id)
    assert old is not None
    assert (old.status, old.reason) == (ReportedStatus.CANCELED, MAY_HAVE_TRIGGERED)


# Unknown outcomes


@pytest.mark.parametrize(
    ("fault", "reason", "executed"),
    [
        ({"kind": "drop_after"}, "connection_lost", True),
        ({"kind": "drop_after", "reset": True}, "connection_lost", True),
        ({"kind": "drop_before"}, "connection_lost", False),
        ({"kind": "hang"}, "server_error", True),
        ({"kind": "hang", "execute": False}, "server_error", False),
        ({"kind": "status", "status": 401, "execute": True}, "unauthorised", True),
        ({"kind": "status", "status": 401}, "unauthorised", False),
        ({"kind": "status", "status": 400, "msg": "INTERNAL_ERROR", "execute": True}, "server_error", True),
        ({"kind": "status", "status": 503, "msg": "SYSTEM_UNDER_MAINTENANCE"}, "maintenance", False),
        ({"kind": "garbage", "body": ""}, "unparsable", True),
        ({"kind": "garbage"}, "unparsable", True),
    ],
)
def test_lost_answers_are_unknown_and_a_search_tells(
    adapter: BtcturkAdapter, exchange: Simulator, fault: dict[str, Any], reason: str, executed: bool
) -> None:
    exchange.call("POST", "/sim/faults", {"call": POST, "times": 1, **fault})
    instruction = limit("2900000")
    outcome = place(adapter, instruction)
    assert (outcome.kind, outcome.reason, outcome.reports) == (Kind.UNKNOWN, reason, ()), outcome
    assert (query(adapter, instruction) is not None) is executed
    assert exchange.posted() == {instruction.client_order_id: 1}


def test_a_late_execution_is_not_there_and_then_it_is(adapter: BtcturkAdapter, exchange: Simulator) -> None:
    exchange.fault("late_execution", POST, ms=300)
    instruction = limit("2900000")
    assert place(adapter, instruction).kind is Kind.UNKNOWN
    assert query(adapter, instruction) is None
    wait_until(lambda: query(adapter, instruction), 30, "the order appears")


def test_a_filled_order_is_found_by_the_lists_that_already_show_it(
    adapter: BtcturkAdapter, exchange: Simulator
) -> None:
    exchange.fault("drop_after", POST)
    instruction = limit("3010000")
    assert place(adapter, instruction).kind is Kind.UNKNOWN
    exchange.fault("not_found_for", "*", ms=60_000)
    report = query(adapter, instruction)
    if report is not None:  # only its trades show it
        assert report.status is ReportedStatus.UNRECOGNISED
        assert report.cumulative_quantity == Decimal("0.01")
    exchange.call("DELETE", "/sim/faults")
    exchange.fault("lagging_trades", "*", ms=60_000)
    shown = query(adapter, instruction)
    assert shown is not None
    assert (shown.status, shown.cumulative_quantity) == (ReportedStatus.FILLED, Decimal("0.01"))
    assert adapter.order_trades(BTC, shown.exchange_order_id, now_ms=now()) == ()


def test_late_trades_of_a_market_order_leave_its_own_figure(adapter: BtcturkAdapter, exchange: Simulator) -> None:
    exchange.fault("lagging_trades", "*", ms=60_000)
    instruction = market_buy("600600")
    order = order_of(place(adapter, instruction))
    early = query(adapter, instruction, order.exchange_order_id)
    exchange.call("DELETE", "/sim/faults")
    exact = query(adapter, instruction, order.exchange_order_id)
    assert early is not None
    assert exact is not None
    assert 0 <= exact.cumulative_quantity - early.cumulative_quantity < Decimal("1e-7")


def test_a_failed_list_fails_the_search(adapter: BtcturkAdapter, exchange: Simulator) -> None:
    for call in ("GET /api/v1/openOrders", "GET /api/v1/allOrders", "GET /api/v1/users/transactions/trade"):
        exchange.fault("status", call, status=503, msg="INTERNAL_ERROR")
        assert failed(lambda: query(adapter, limit("1"))).kind is Kind.UNKNOWN


# Keys, stamps, limits


@pytest.mark.parametrize(("shape", "kind"), [("empty", Kind.AUTH), ("body", Kind.CLOCK)])
def test_a_stamp_is_taken_once(adapter: BtcturkAdapter, exchange: Simulator, shape: str, kind: Kind) -> None:
    exchange.call("POST", "/sim/btcturk", {"auth_answer": shape})
    stamp = stamps(now())
    first = limit("2900000")
    order_of(place(adapter, first, stamp))
    outcome = place(adapter, limit("2900000"), stamp)
    assert (outcome.kind, outcome.reason) == (Kind.UNKNOWN, "unauthorised")
    repeating = BtcturkAdapter(CREDENTIALS, exchange.url, stamp=lambda _: stamp)
    assert failed(lambda: repeating.balances(now_ms=now())).kind is kind
    repeating.close()


def test_reads_and_writes_share_one_growing_sequence(adapter: BtcturkAdapter, exchange: Simulator) -> None:
    exchange.call("POST", "/sim/btcturk", {"stamps": "increasing"})
    instruction = limit("2900000")
    order = order_of(place(adapter, instruction))
    frozen = now()
    for _ in range(5):
        assert adapter.open_orders(BTC, now_ms=frozen)
    assert cancel(adapter, order).kind is Kind.ACCEPTED


@pytest.mark.parametrize("shape", ["empty", "body"])
def test_a_stale_stamp_is_a_matter_of_the_clock(adapter: BtcturkAdapter, exchange: Simulator, shape: str) -> None:
    exchange.call("POST", "/sim/btcturk", {"auth_answer": shape})
    stale = BtcturkAdapter(CREDENTIALS, exchange.url)
    assert failed(lambda: stale.balances(now_ms=now() - 7000)).kind is Kind.CLOCK
    stale.close()


@pytest.mark.parametrize(
    "credentials",
    [
        Credentials("nobody", CREDENTIALS.secret),
        Credentials(CREDENTIALS.key, "d3Jvbmc="),
    ],
)
def test_wrong_keys(exchange: Simulator, credentials: Credentials) -> None:
    stranger = BtcturkAdapter(credentials, exchange.url, stamp=stamps)
    assert failed(lambda: stranger.balances(now_ms=now())).kind is Kind.AUTH
    assert place(stranger, limit("2900000")).kind is Kind.UNKNOWN
    stranger.close()


def test_limits_hold_back_with_the_given_time(adapter: BtcturkAdapter, exchange: Simulator) -> None:
    exchange.call("POST", "/sim/btcturk", {"limits": {"order": [[1, 60]]}})
    order_of(place(adapter, limit("2900000")))
    outcome = place(adapter, limit("2900000"))
    assert outcome.kind is Kind.THROTTLED
    assert 0 < (outcome.throttled_for_ms or 0) <= 60_000
    exchange.fault("rate_limit", "*", retry_after=7)
    assert failed(lambda: adapter.balances(now_ms=now())).throttled_for_ms == 7000


def test_the_firewall_stops_the_key(adapter: BtcturkAdapter, exchange: Simulator) -> None:
    exchange.fault("ban", "*", retry_after=60)
    outcome = place(adapter, limit("2900000"))
    assert (outcome.kind, outcome.reason) == (Kind.AUTH, "firewall")


# Lists and market data


def test_trades_of_a_time_and_by_cursor(adapter: BtcturkAdapter) -> None:
    began = now() - 1000
    order_of(place(adapter, market_buy("600600")))
    order_of(place(adapter, PlaceInstruction(BTC, "SELL", "MARKET", next(ids), quantity=Decimal("0.1"))))
    everything = adapter.trades_between(BTC, began, now() + 1000, now_ms=now())
    assert [trade.side for trade in everything] == ["BUY", "BUY", "SELL"]
    assert adapter.trades_from(BTC, None, now_ms=now()) == everything
    assert adapter.trades_from(BTC, None, now_ms=now(), since_ms=began) == everything
    assert everything[1] in adapter.trades_from(BTC, everything[1].trade_id, now_ms=now())
    assert adapter.trades_between(AAVE, began, now() + 1000, now_ms=now()) == ()


def swept(adapter: BtcturkAdapter, exchange: Simulator, levels: int) -> OrderReport:
    """An order that traded with ``levels`` others at once."""
    asks = [[f"{6000 + n}.00", "0.1"] for n in range(levels)]
    exchange.call("POST", f"/sim/market/{AAVE}", {"bids": [], "asks": asks})
    return order_of(place(adapter, limit("6300.00", str(Decimal(levels) / 10), symbol=AAVE)))


def test_nearly_as_many_trades_as_an_answer_holds(adapter: BtcturkAdapter, exchange: Simulator) -> None:
    began = now() - 1000
    order = swept(adapter, exchange, 190)
    assert len(adapter.order_trades(AAVE, order.exchange_order_id, now_ms=now())) == 190
    assert len(adapter.trades_between(AAVE, began, now() + 1000, now_ms=now())) == 190


def test_more_trades_at_once_than_an_answer_holds_are_never_a_short_list(
    adapter: BtcturkAdapter, exchange: Simulator
) -> None:
    order = swept(adapter, exchange, 210)
    assert failed(lambda: adapter.order_trades(AAVE, order.exchange_order_id, now_ms=now())).reason == "cut_off"


def test_more_trades_than_an_answer_holds(adapter: BtcturkAdapter, exchange: Simulator) -> None:
    exchange.call("POST", f"/sim/market/{AAVE}", {"bids": [], "asks": []})
    order = order_of(place(adapter, limit("6000.00", "2.1", symbol=AAVE)))
    for _ in range(210):
        exchange.trade(AAVE, "6000.00", "0.01", "SELL")
    trades = adapter.order_trades(AAVE, order.exchange_order_id, now_ms=now())
    assert len(trades) == 210
    report = query(adapter, limit("6000.00", symbol=AAVE), order.exchange_order_id)
    assert report is not None
    assert report.cumulative_quantity == sum(trade.quantity for trade in trades)


def test_history_in_pages(adapter: BtcturkAdapter, exchange: Simulator) -> None:
    since = now()
    for number in range(60):
        body = {"account": "turk", "symbol": BTC, "side": "BUY", "type": "LIMIT", "price": "2900000"}
        exchange.call("POST", "/sim/orders", {**body, "quantity": "0.0001", "client_order_id": f"foreign-{number}"})
    reports = adapter.order_history(BTC, since_ms=since, now_ms=now())
    assert [report.client_order_id for report in reports] == [f"foreign-{n}" for n in range(60)]


@pytest.mark.parametrize("comma", [False, True])
def test_balances_move_and_lock(adapter: BtcturkAdapter, exchange: Simulator, comma: bool) -> None:
    exchange.call("POST", "/sim/btcturk", {"comma_balances": comma})
    order_of(place(adapter, limit("2900000")))
    found = {each.asset: (each.free, each.locked) for each in adapter.balances(now_ms=now())}
    assert found["BTC"] == (1, 0)
    locked = Decimal(29_000) * (1 + Decimal("0.0012"))
    assert found["TRY"] == (1_000_000 - locked, locked)


def test_instruments_quotes_and_clock(adapter: BtcturkAdapter) -> None:
    integer, fraction = adapter.instruments((BTC, AAVE))
    assert (integer.quote_precision, integer.filters["PRICE_FILTER"]["tickSize"]) == (0, "1")
    assert (fraction.quote_precision, fraction.filters["PRICE_FILTER"]["tickSize"]) == (2, "0.01")
    assert {each.symbol for each in adapter.instruments()} > {BTC, AAVE}
    (quote,) = adapter.quotes((BTC,))
    assert (quote.bid, quote.ask) == (Decimal(2990000), Decimal(3000000))
    assert [each.symbol for each in adapter.quotes((AAVE, BTC))] == [AAVE, BTC]
    assert failed(lambda: adapter.quotes(("NOSUCH",))).reason == "symbol"
    sample = adapter.server_time()
    assert abs(sample.offset_ms) <= sample.round_trip_ms + 5


@pytest.mark.parametrize(
    ("price", "quantity", "accepted"),
    [
        ("2900000", "0.0001", True),
        ("2900000.1", "0.0001", False),
        ("2900000", "0.00003446", True),  # 99.934
        ("2900000", "0.00003445", False),  # 99.905, the minimum is 99.91
        ("2900000", "0.000034461", False),
        ("10000000", "0.0001", True),
        ("10000001", "0.0001", False),
    ],
)
def test_the_filters_say_what_the_exchange_says(
    adapter: BtcturkAdapter, price: str, quantity: str, accepted: bool
) -> None:
    (pair,) = adapter.instruments((BTC,))
    breaches = check_order(
        pair.filters,
        type_="LIMIT",
        quantity=Decimal(quantity),
        quote_quantity=None,
        price=Decimal(price),
        base_precision=pair.base_precision,
        quote_precision=pair.quote_precision,
        reference_price=None,
    )
    assert (not breaches) is accepted, breaches
    outcome = place(adapter, limit(price, quantity))
    assert (outcome.kind is Kind.ACCEPTED) is accepted, outcome
