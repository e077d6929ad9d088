"""Balances conserve exactly, whatever the stream of orders (no sockets: the venue itself)."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchanges.matching import SelfTrade, Side, TimeInForce
from exchanges.simulator import filters
from exchanges.simulator.accounts import ZERO, up
from exchanges.simulator.binance_events import account_position, execution_report
from exchanges.simulator.venue import BalanceEvent, OrderRequest, OrderType, Refused, Venue

D = Decimal
ACCOUNTS = ("one", "two", "bnb")
SYMBOLS = ("BTCUSDT", "ETHBTC")


def fresh(journal: list[dict[str, Any]]) -> Venue:
    venue = Venue(1, lambda entry: journal.append(json.loads(json.dumps(entry))))
    venue.set_frozen(True, 0)
    rich = {"BTC": D(5), "ETH": D(60), "USDT": D(250_000)}
    venue.add_account("one", "k1", "s", rich, 0)
    venue.add_account("two", "k2", "s", rich, 0, maker_fee=D("-0.0001"), taker_fee=D("0.00035"))
    venue.add_account("bnb", "k3", "s", {**rich, "BNB": D("0.05")}, 0, bnb_fees=True)
    for market in venue.markets.values():
        # A wide, thin market, so that orders meet each other and run out of depth.
        tick, last = market.rules.tick, market.rules.start_price
        venue.quote(
            market.rules.symbol,
            last * D("0.9992") // tick * tick,
            last * D("1.0008") // tick * tick,
            market.rules.depth_quantity / 50,
            0,
        )
    return venue


def check(venue: Venue) -> None:
    held: dict[str, Decimal] = {}
    for account in venue.accounts.values():
        needs: dict[str, Decimal] = {}
        for order in venue.open_orders(account.name):
            rules = venue.markets[order.symbol].rules
            buys = order.side is Side.BUY
            asset = rules.quote if buys else rules.base
            needs[asset] = needs.get(asset, ZERO) + (up(order.price * order.leaves) if buys else order.leaves)
        for asset, balance in account.balances.items():
            assert balance.free >= 0
            assert balance.locked == needs.get(asset, ZERO)
            assert balance.free == balance.free.quantize(D("1e-8"))
            held[asset] = held.get(asset, ZERO) + balance.free + balance.locked
    pools = venue.pools
    for asset in {*held, *pools["market"], *pools["fees"], *pools["deposits"]}:
        everything = held.get(asset, ZERO) + pools["market"].get(asset, ZERO) + pools["fees"].get(asset, ZERO)
        assert everything == pools["deposits"].get(asset, ZERO), asset


def place(venue: Venue, step: dict[str, Any], now: int) -> None:
    market = venue.markets[step["symbol"]]
    rules, kind = market.rules, step["type"]
    around = market.last * (1 + D(step["offset"]) / 10_000) // rules.tick * rules.tick
    price = None if kind is OrderType.MARKET else around
    stop = market.last * (1 + D(step["stop"]) / 10_000) // rules.tick * rules.tick if kind.has_trigger else None
    lots = (rules.depth_quantity * step["size"] / 100) // rules.step * rules.step
    by_quote = kind is OrderType.MARKET and step["by_quote"]
    wanted = OrderRequest(
        account=step["account"],
        symbol=step["symbol"],
        side=step["side"],
        type=kind,
        time_in_force=step["tif"] if kind is OrderType.LIMIT else TimeInForce.GTC,
        quantity=None if by_quote else lots,
        quote_quantity=(lots * market.last).quantize(D("1e-8")) if by_quote else None,
        price=price,
        stop_price=stop,
        self_trade=step["self_trade"],
    )
    failed = filters.check(
        rules,
        wanted.side,
        price=price,
        quantity=wanted.quantity,
        quote_quantity=wanted.quote_quantity,
        stop_price=stop,
        reference=market.last,
    )
    if failed is None:
        venue.place(wanted, now)


ORDERS = st.fixed_dictionaries(
    {
        "do": st.just("place"),
        "account": st.sampled_from(ACCOUNTS),
        "symbol": st.sampled_from(SYMBOLS),
        "side": st.sampled_from(Side),
        "type": st.sampled_from(OrderType),
        "tif": st.sampled_from(TimeInForce),
        "offset": st.integers(-12, 12),
        "stop": st.integers(-30, 30),
        "size": st.integers(1, 90),
        "by_quote": st.booleans(),
        "self_trade": st.sampled_from(SelfTrade),
    }
)
MARKET = st.fixed_dictionaries(
    {
        "do": st.sampled_from(["tick", "print", "cancel", "cancel_all", "move", "amend"]),
        "account": st.sampled_from(ACCOUNTS),
        "symbol": st.sampled_from(SYMBOLS),
        "side": st.sampled_from(Side),
        "offset": st.integers(-20, 20),
        "size": st.integers(1, 300),
    }
)


def act(venue: Venue, step: dict[str, Any], now: int) -> None:
    market = venue.markets[step["symbol"]]
    rules = market.rules
    price = market.last * (1 + D(step["offset"]) / 10_000) // rules.tick * rules.tick
    quantity = rules.depth_quantity * step["size"] / 100 // rules.step * rules.step or rules.step
    match step["do"]:
        case "tick":
            venue.tick(now)
        case "print":
            venue.trade_print(step["symbol"], price, quantity, step["side"], now)
        case "move":
            venue.quote(step["symbol"], price, price + rules.tick, quantity, now)
        case "amend":
            for order in venue.open_orders(step["account"], step["symbol"])[:1]:
                lower = order.quantity * step["size"] / 300 // rules.step * rules.step or rules.step
                name = order.client_order_id if step["offset"] % 2 else f"amended-{now}"
                venue.amend(step["account"], step["symbol"], lower, now, new_client_id=name, order_id=order.order_id)
        case "cancel_all":
            venue.cancel_all(step["account"], step["symbol"], now)
        case "cancel":
            orders = venue.orders(step["account"], step["symbol"])
            if orders:
                chosen = orders[step["size"] % len(orders)]
                venue.cancel(step["account"], step["symbol"], now, order_id=chosen.order_id)
        case _:
            place(venue, step, now)


def state(venue: Venue) -> list[Any]:
    return json.loads(json.dumps(list(venue.snapshot())))  # type: ignore[no-any-return]


def tell_the_same_story(venue: Venue, reports: list[dict[str, Any]]) -> None:
    """The events of an order add up to what it is; execution ids count up per symbol."""
    last: dict[tuple[str, int], dict[str, Any]] = {}
    numbers: dict[str, int] = {}
    filled: dict[tuple[str, int], Decimal] = {}
    for report in reports:
        key = (report["s"], report["i"])
        assert report["I"] == numbers.get(report["s"], 0) + 1
        numbers[report["s"]] = report["I"]
        assert (report["x"] == "NEW" and report["z"] == "0.00000000") or key in last
        filled[key] = filled.get(key, ZERO) + D(report["l"])
        assert filled[key] == D(report["z"])
        last[key] = report
    for market in venue.markets.values():
        for order in market.orders.values():
            shown = last[order.symbol, order.order_id]
            assert (shown["X"], D(shown["q"]), D(shown["z"]), D(shown["Z"])) == (
                order.status.value,
                order.quantity,
                order.executed,
                order.quote_executed,
            )
            assert shown["w"] == (order.status.is_open and order.working_time >= 0)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(ORDERS, ORDERS, MARKET), min_size=10, max_size=50))
def test_no_stream_of_orders_makes_or_loses_money(steps: list[dict[str, Any]]) -> None:
    journal: list[dict[str, Any]] = []
    venue = fresh(journal)
    reports: list[dict[str, Any]] = []
    positions: dict[tuple[str, str], tuple[str, str]] = {}

    def position(event: BalanceEvent) -> None:
        for row in account_position(event, 1)["B"]:
            positions[event.account.name, row["a"]] = row["f"], row["l"]

    venue.listeners.append(lambda event: reports.append(execution_report(event, 1)))
    venue.balance_listeners.append(position)
    for now, step in enumerate(steps, start=1):
        try:
            act(venue, step, now)
        except Refused:
            pass
        check(venue)
    for market in venue.markets.values():
        bid, ask = market.book.best_bid(), market.book.best_ask()
        assert bid is None or ask is None or bid < ask
        for order in market.orders.values():
            trades = market.trades.get(order.order_id, [])
            assert sum((trade.quantity for trade in trades), ZERO) == order.executed <= order.quantity
            assert sum((trade.quote_quantity for trade in trades), ZERO) == order.quote_executed
            if not order.status.is_open:
                assert order.locked == 0
    tell_the_same_story(venue, reports)
    for (name, asset), shown in positions.items():
        balance = venue.accounts[name].balance(asset)
        assert shown == (f"{balance.free:.8f}", f"{balance.locked:.8f}")
    again = Venue(1)
    again.restore(journal)
    check(again)
    assert state(again)[:1] == state(venue)[:1]
    assert sorted(map(repr, state(again)[2:])) == sorted(map(repr, state(venue)[2:]))
    assert again.accounts == venue.accounts
