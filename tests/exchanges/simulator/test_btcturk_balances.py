"""BTCTurk's balances conserve exactly and survive the journal, whatever the stream of orders (no sockets)."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchanges.matching import Side
from exchanges.simulator.accounts import ZERO
from exchanges.simulator.btcturk_rules import Rejection, fee_of
from exchanges.simulator.btcturk_venue import BtcturkVenue
from exchanges.simulator.venue import OrderRequest, OrderType, Refused

D = Decimal
SYMBOLS = ("BTCTRY", "AAVETRY", "BTCUSDT")


def fresh(journal: list[dict[str, Any]]) -> BtcturkVenue:
    venue = BtcturkVenue(1, lambda entry: journal.append(json.loads(json.dumps(entry))))
    venue.set_frozen(True, 0)
    rich = {"BTC": D(3), "AAVE": D(40), "TRY": D(4_000_000), "USDT": D(90_000)}
    venue.add_account("one", "k1", "", rich, 0)
    venue.add_account("two", "k2", "", rich, 0, maker_fee=D("0.0017"), taker_fee=D("0.00033"), tax_rate=D("0.18"))
    for market in venue.markets.values():
        rules = market.rules
        spread = max(rules.tick, rules.start_price * D("0.0008") // rules.tick * rules.tick)
        venue.quote(rules.symbol, rules.start_price - spread, rules.start_price + spread, rules.depth_quantity / 50, 0)
    return venue


def check(venue: BtcturkVenue) -> None:
    held: dict[str, Decimal] = {}
    for account in venue.accounts.values():
        needs: dict[str, Decimal] = {}
        for order in venue.open_orders(account.name):
            rules = venue.pairs[order.symbol]
            asset = rules.quote if order.side is Side.BUY else rules.base
            needs[asset] = needs.get(asset, ZERO) + order.locked
            assert order.locked > 0
        for asset, balance in account.balances.items():
            assert balance.free >= 0
            assert balance.locked == needs.get(asset, ZERO)
            assert balance.free == balance.free.quantize(D("1e-16"))
            held[asset] = held.get(asset, ZERO) + balance.free + balance.locked
    pools = venue.pools
    for asset in {*held, *pools["market"], *pools["fees"], *pools["deposits"]}:
        everything = held.get(asset, ZERO) + pools["market"].get(asset, ZERO) + pools["fees"].get(asset, ZERO)
        assert everything == pools["deposits"].get(asset, ZERO), asset
    for account in venue.accounts.values():
        for trade in venue.executions(account.name, venue.pairs):
            assert trade.quote_quantity == trade.price * trade.quantity
            rate = venue.holder(account.name).maker_fee if trade.is_maker else venue.holder(account.name).taker_fee
            assert (trade.commission, trade.tax) == fee_of(
                trade.quote_quantity, rate, venue.holder(account.name).tax_rate
            )
            assert trade.commission >= 0 and trade.tax >= 0


def state(venue: BtcturkVenue) -> Any:
    entries = list(venue.snapshot())
    entries[1]["balances"].sort()
    return json.loads(json.dumps(entries))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["limit", "market", "stop", "stop market", "cancel", "print", "later"]),
        st.sampled_from(["one", "two"]),
        st.sampled_from(SYMBOLS),
        st.sampled_from([Side.BUY, Side.SELL]),
        st.integers(1, 400),
        st.integers(-12, 12),
    ),
    max_size=25,
)


def step(venue: BtcturkVenue, now: int, kind: str, name: str, symbol: str, side: Side, size: int, away: int) -> None:
    rules, market = venue.pairs[symbol], venue.markets[symbol]
    price = market.last + away * (market.last / 5000 // rules.tick * rules.tick)
    quantity = (rules.depth_quantity * size / 1000).quantize(rules.step)
    if kind == "print":
        venue.trade_print(symbol, price, quantity, side, now)
        return
    if kind == "later":
        venue.finish_cancels(now)
        return
    if kind == "cancel":
        orders = venue.open_orders(name, symbol)
        if orders:
            venue.ask_cancel(name, orders[size % len(orders)].order_id, now, size % 3 * 5)
        return
    market_like, stops = kind.endswith("market"), kind.startswith("stop")
    in_quote = market_like and side is Side.BUY
    wanted = OrderRequest(
        account=name,
        symbol=symbol,
        side=side,
        type=OrderType.STOP_LOSS_LIMIT if stops else OrderType.MARKET if market_like else OrderType.LIMIT,
        client_order_id="same" if size % 2 else None,
        quantity=None if in_quote else quantity,
        quote_quantity=(quantity * market.last).quantize(rules.tick) if in_quote else None,
        price=None if market_like else price,
        stop_price=market.last + abs(away + 1) * rules.tick * 100 * (1 if side is Side.BUY else -1) if stops else None,
    )
    venue.check(wanted)
    venue.place(wanted, now)


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(STEPS)
def test_balances_conserve_and_a_restart_meets_the_same_exchange(steps: list[tuple[Any, ...]]) -> None:
    journal: list[dict[str, Any]] = []
    venue = fresh(journal)
    for now, (kind, *rest) in enumerate(steps, 1):
        entries = len(journal)
        try:
            step(venue, now, kind, *rest)
        except (Refused, Rejection):
            assert len(journal) == entries
        check(venue)
    again = BtcturkVenue(1)
    again.restore(journal)
    assert state(again) == state(venue)
    assert set(again.canceling) == set(venue.canceling)


@given(
    st.decimals("0.00000001", "100000000", places=8),
    st.decimals("0", "0.01", places=6),
    st.decimals("0", "0.5", places=3),
    st.integers(2, 7),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_parts_never_cost_more_than_the_whole_was_reserved_for(
    quote: Decimal, rate: Decimal, tax: Decimal, parts: int
) -> None:
    fee, levied = fee_of(quote, rate, tax)
    assert fee >= 0 <= levied
    assert fee + levied <= quote * rate * (1 + tax) < fee + levied + D("1e-8")
    piece = quote / parts
    assert sum(sum(fee_of(piece, rate, tax)) for _ in range(parts)) <= quote * rate * (1 + tax) + D("1e-18")
