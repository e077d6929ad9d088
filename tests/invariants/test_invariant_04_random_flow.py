"""Invariant 4 over random books and random parallel flow, against an oracle that shares no code with the gate.

Every round runs its acts in real threads: placements, replaces, cancels, words of the exchange, fills, late ones too,
and foreign orders that are adopted. ``PROOF_ROUNDS`` raises the examples.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from django.db.models import Sum
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from exchanges.models import Account, AccountFreshness, Balance, Quote
from exchanges.reports import OrderReport, Report, ReportedStatus
from execution_project.common import clock, installation
from execution_project.common.locking import ordered
from orders.adopting import adopt
from orders.canceling import request_cancel
from orders.ingest import ingest
from orders.models import Command, ExchangeOrder, ReplaceMethod
from orders.placing import OrderRequest, place, rehearse
from orders.replacing import request_replace
from positions.models import Fill, Holding, PostingKind
from positions.posting import Movement, post
from risk.models import Decision, Reservation
from tests.emptying import empty_database
from tests.factories import (
    BY,
    AccountFactory,
    AccountFreshnessFactory,
    BalanceFactory,
    InstrumentFactory,
    LimitFactory,
    QuoteFactory,
    StrategyFactory,
    order_report,
    trade_report,
)
from tests.invariants.desk_oracle import Asked, Desk, Known, Where, same_funds
from tests.threads import run_together

D = Decimal
KEYS = count()
EXAMPLES = int(os.environ.get("PROOF_ROUNDS", "6"))

ACCOUNTS = {"a0": "binance", "a1": "binance", "a2": "btcturk"}
STRATEGIES = ("", "s0", "s1")
PAIRS = {
    "binance": (("BTCUSDT", "BTC"), ("ETHUSDT", "ETH"), ("BTCUSDT", "BTC")),
    "btcturk": (("BTCUSDT", "BTC"), ("ETHUSDT", "ETH"), ("BTCTRY", "BTC")),
}
STEP = {"BTC": D("0.001"), "ETH": D("0.02")}  # about 60 of the reporting currency
UNIT = D(60)
MARK = {"BTC": D(60005), "ETH": D("3000.25")}  # at the first of these levels of prices
LEVELS = (D(60000), D(54000), D(66000))
FOR_BOOKS = ("global", "exchange:binance", "exchange:btcturk", "account:a0", "account:a2", "strategy:s0")
FOR_ORDERS = (*FOR_BOOKS, "symbol:BTCUSDT", "symbol:ETHUSDT")
MAY_BE_SET = {
    "max_order_notional": FOR_ORDERS,
    "max_asset_exposure": (*FOR_BOOKS, "asset:BTC", "asset:ETH"),
    "max_gross_exposure": FOR_BOOKS,
    "max_working_orders": FOR_ORDERS,
    "max_turnover_1h": FOR_ORDERS,
}


@dataclass(frozen=True, slots=True)
class Step:
    """One act: on the pair of an account, or on the ``nth`` order that it fits."""

    kind: str
    account: str = "a0"
    pair: int = 0
    size: int = 1
    how: str = "at bid"
    strategy: str = ""
    nth: int = 0


@dataclass
class World:
    """The rows of one example, beside what the oracle knows of them."""

    desk: Desk
    accounts: dict[str, Account]
    level: Decimal = LEVELS[0]
    at_exchange: set[UUID] = field(default_factory=set)
    left_alone: set[UUID] = field(default_factory=set)  # a cancel or a replace of it is under way
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    trades: int = 0

    def price(self, symbol: str) -> Decimal:
        """The best bid now."""
        return self.level / 20 if symbol == "ETHUSDT" else self.level * 40 if symbol == "BTCTRY" else self.level

    def freshen(self, level: Decimal) -> None:
        """New prices, that no pause of this machine makes old, and books that were compared just now."""
        self.level, now = level, clock.now()
        for symbol in ("BTCUSDT", "ETHUSDT", "BTCTRY"):
            bid = self.price(symbol)
            Quote.objects.filter(instrument__symbol=symbol).update(bid=bid, ask=bid + bid / 6000)
        self.desk.marks = {asset: self.price(f"{asset}USDT") * D(12001) / D(12000) for asset in STEP}
        Quote.objects.update(confirmed_at=now + timedelta(seconds=30))
        AccountFreshness.objects.update(orders_at=now, trades_at=now, balances_at=now)
        held = Holding.objects.values_list("account_id", "asset").annotate(total=Sum("quantity"))
        for account_id, asset, total in held:
            Balance.objects.filter(account_id=account_id, asset=asset).update(free=total, as_of=now)
        Balance.objects.update(as_of=now)


def new_world(held: Sequence[int], limits: Sequence[tuple[str, str, int]]) -> World:
    """An emptied database with three accounts at two exchanges; limits count from what is held."""
    empty_database()
    installation.prefix.cache_clear()
    for name in STRATEGIES[1:]:
        StrategyFactory(name=name)
    filters = InstrumentFactory.build().filters
    filters["PRICE_FILTER"] |= {"maxPrice": "10000000"}
    for exchange in PAIRS:
        for base, quote in (("BTC", "USDT"), ("ETH", "USDT"), ("BTC", "TRY"), ("USDT", "TRY")):
            listed = InstrumentFactory(exchange=exchange, base_asset=base, quote_asset=quote, filters=filters)
            QuoteFactory(instrument=listed, bid=D(40), ask=D(50))
    accounts: dict[str, Account] = {}
    books: dict[Where, Decimal] = {}
    sizes = iter(held)
    for name, exchange in ACCOUNTS.items():
        AccountFactory(name=name, exchange=exchange, foreign_orders="adopt")
        account = accounts[name] = Account.objects.get(name=name)
        AccountFreshnessFactory(account=account)
        LimitFactory(scope_key=name)
        funds = {"USDT": D(10**6), "TRY": D(10**8)} | {asset: next(sizes) * STEP[asset] for asset in STEP}
        for asset, quantity in funds.items():
            BalanceFactory(account=account, asset=asset, free=quantity)
        # Facts, not bare rows: a fill that overtakes an earlier one has the holding folded anew from its facts.
        began = clock.now() - timedelta(hours=1)
        brought = [
            Movement(PostingKind.DEPOSIT, asset, quantity, "start", value=quantity, effective_at=began)
            for asset, quantity in funds.items()
            if quantity
        ]
        with ordered() as locks:
            post(locks, account, brought, by=BY)
        books |= {Where(exchange, name, "", "", asset): funds[asset] for asset in STEP}
    world = World(Desk(books, []), accounts)
    for control, scope, units in limits:
        room, (kind, _, key) = UNIT * units, scope.partition(":")
        if control.endswith("exposure"):
            held_here = (quantity * MARK[where.asset] for where, quantity in books.items() if where.within(scope))
            room += sum(held_here, D(0))
        value = D(units) if control == "max_working_orders" else room
        LimitFactory.create(control=control, scope_kind=kind, scope_key=key, value=value, version=2)
        world.desk.limits.append((control, scope, value))
    return world


# --------------------------------------------------------------------------------------------------------- what is done


def exchange_id(order_id: UUID) -> str:
    """What the exchange calls an order."""
    return f"x{order_id.hex}"


Plan = tuple[Callable[[], Any], Callable[[Any], None]]


def asked_by(decision: Decision, where: Where, side: str, quantity: Decimal, price: Decimal | None) -> Asked:
    """What was asked for, valued by the prices that the decision says it saw."""
    seen, rate = decision.inputs["price"], decision.inputs["reporting_price"]
    bid, ask = D(seen["bid"]), D(seen["ask"])
    if side == "BUY":
        unit = ask * D("1.005") if price is None else max(price, (bid + ask) / 2)
    else:
        unit = max(price or bid, bid)
    worth = quantity * unit * (D(rate["ask"]) if rate else 1)
    codes = frozenset(row["code"] for row in decision.results if row["outcome"] == "breach")
    assert decision.accepted is not bool(codes)
    return Asked(decision.gate_seq, decision.order_id, where, side, quantity, worth, codes)


def placement(world: World, step: Step) -> tuple[OrderRequest, Where]:
    """The request of a step that places."""
    exchange = ACCOUNTS[step.account]
    symbol, asset = PAIRS[exchange][step.pair]
    market = step.how == "market" and exchange == "binance"
    bid = world.price(symbol)
    price = None if market else bid + bid / 50 if step.how == "above" else bid
    side = "SELL" if step.kind == "sell" else "BUY"
    strategy = step.strategy if side == "BUY" else ""
    request = OrderRequest(
        *(step.account, symbol, side, "MARKET" if market else "LIMIT"),
        quantity=step.size * STEP[asset],
        price=price,
        time_in_force=None if market else "GTC",
        strategy=strategy or None,
    )
    return request, Where(exchange, step.account, strategy, symbol, asset)


def plan_place(world: World, step: Step) -> Plan:
    request, where = placement(world, step)
    assert request.quantity is not None
    quantity, key = request.quantity, f"key-{next(KEYS)}"
    account = world.accounts[step.account]

    def settle(placed: Any) -> None:
        asked = asked_by(placed.decision, where, request.side, quantity, request.price)
        known = Known(where, request.side, quantity, asked.worth / quantity) if asked.accepted else None
        world.desk.note(asked, known)

    return lambda: place(request, idempotency_key=key, body_hash="body", account=account, by=BY), settle


def plan_replace(world: World, step: Step, order_id: UUID) -> Plan | None:
    known, row = world.desk.orders[order_id], ExchangeOrder.objects.get(order_id=order_id, generation=0)
    bid = world.price(known.where.symbol)
    price, total = (bid + bid / 50 if step.how == "above" else bid), step.size * STEP[known.where.asset]
    seen = max(known.booked, known.told)
    if row.price is None or known.side == "SELL" or not seen < min(known.quantity, total):
        return None
    if (price, total) == (row.price, known.quantity):
        return None

    def settle(replacing: Any) -> None:
        left = total - known.booked
        seen = asked_by(replacing.decision, known.where, "BUY", left, price)
        asked = Asked(
            *(seen.number, order_id, known.where, "BUY", left, seen.worth, seen.codes), replaces=True, own=known.worth
        )
        if replacing.command is None:
            world.desk.note(asked, None)
            return
        world.left_alone.add(order_id)
        amended = replacing.command.method == ReplaceMethod.AMEND
        becomes = Known(
            *(known.where, "BUY", known.quantity, known.unit, known.booked, known.told),
            becoming=D(0) if amended else seen.worth,
        )
        world.desk.note(asked, becomes)

    return lambda: request_replace(order_id, quantity=total, price=price, by=BY), settle


def plan_word(world: World, step: Step, order_id: UUID) -> Plan | None:
    """The exchange says something of an order, or a trade of it comes: in time, late, or beyond all that was said."""
    known, row = world.desk.orders[order_id], ExchangeOrder.objects.get(order_id=order_id, generation=0)
    account, number = world.accounts[known.where.account], next(world.numbers)
    size = step.size * STEP[known.where.asset]
    left = known.quantity - max(known.booked, known.told)
    batch: list[Report] = []
    if step.kind == "late":
        # A sale that brings more than was there would be in suspense: not what this is about.
        traded, told, ended = (size if known.side == "BUY" else min(size, known.open_quantity)), D(0), False
        if not traded:
            return None
    elif known.ended or left <= 0:
        return None
    else:
        part = min(size, left)
        traded = part if step.kind == "fill" else D(0)
        told = max(known.told, known.booked + traded) + (D(0) if step.kind == "fill" else part * (step.nth % 2))
        ended = step.kind == "end"
        status = ReportedStatus.CANCELED if ended else ReportedStatus.PARTIALLY_FILLED
        batch.append(order_report(row, status, str(told), exchange_order_id=exchange_id(order_id)))
    if traded:
        price = row.price or world.price(known.where.symbol)
        named: dict[str, Any] = {"symbol": known.where.symbol, "exchange_order_id": exchange_id(order_id)}
        batch.append(trade_report(f"t{number}", str(traded), str(price), side=known.side, **named))

    def settle(_: Any) -> None:
        world.desk.orders[order_id] = known.heard(traded=traded, told=told, ended=ended)
        world.trades += bool(traded)

    return lambda: ingest(account, batch, by=BY), settle


def plan_foreign(world: World, step: Step) -> Plan:
    """An order of another program is found: all of it traded, a part, or nothing yet."""
    where = placement(world, step)[1]
    account, number, price = world.accounts[step.account], next(world.numbers), world.price(where.symbol)
    quantity = 3 * step.size * STEP[where.asset]
    traded = quantity * (step.nth % 3) / 2
    status = (ReportedStatus.OPEN, ReportedStatus.PARTIALLY_FILLED, ReportedStatus.FILLED)[step.nth % 3]
    named: dict[str, Any] = {"symbol": where.symbol, "exchange_order_id": f"f{number}"}
    report = OrderReport(
        *(where.symbol, f"f{number}", f"foreign-{number}", "BUY", "LIMIT", status, price, quantity, traded, None),
        as_of=clock.now(),
        source="test",
    )
    trades = [trade_report(f"f{number}", str(traded), str(price), **named)] if traded else []

    def settle(adopted: Any) -> None:
        unit = price / 40 if where.symbol == "BTCTRY" else price
        found = Known(Where(where.exchange, where.account, "", where.symbol, where.asset), "BUY", quantity, unit)
        world.desk.orders[adopted[0].id] = found.heard(traded=traded, told=traded)
        world.left_alone.add(adopted[0].id)
        world.trades += len(trades)

    return lambda: adopt(account, report, trades, by=BY), settle


def plan_cancel(world: World, order_id: UUID) -> Plan:
    """Of one that was not sent: its end. Of one at the exchange: a wish, which ends nothing."""

    def settle(_: Any) -> None:
        if order_id in world.at_exchange:
            world.left_alone.add(order_id)
        else:
            world.desk.orders[order_id] = world.desk.orders[order_id].heard(ended=True)

    return lambda: request_cancel(order_id, by=BY, reason="test"), settle


def plan_of(world: World, step: Step, taken: set[UUID]) -> Plan | None:
    """What a step comes to, None when there is no order for it; every order is touched once a round."""
    if step.kind in {"buy", "sell"}:
        return plan_place(world, step)
    if step.kind == "foreign":
        return plan_foreign(world, step)
    fit = [key for key, known in world.desk.orders.items() if key not in taken | world.left_alone]
    if step.kind == "cancel":
        fit = [key for key in fit if not world.desk.orders[key].ended]
    else:
        fit = [key for key in fit if key in world.at_exchange]
    if step.kind == "replace":
        fit = [key for key in fit if not world.desk.orders[key].ended]
    if not fit:
        return None
    order_id = fit[step.nth % len(fit)]
    plan = (
        plan_cancel(world, order_id)
        if step.kind == "cancel"
        else plan_replace(world, step, order_id)
        if step.kind == "replace"
        else plan_word(world, step, order_id)
    )
    if plan is not None:
        taken.add(order_id)
    return plan


# ------------------------------------------------------------------------------------------------------- what must hold


def run_round(world: World, steps: Sequence[Step]) -> None:
    """All acts at once; then every decision is held against the oracle, and the books against the facts."""
    taken: set[UUID] = set()
    world.desk.open_round()
    first = len(world.desk.decided)
    plans = [plan for step in steps if (plan := plan_of(world, step, taken)) is not None]
    if not plans:
        return
    results = run_together([act for act, _ in plans])
    assert [result for result in results if isinstance(result, Exception)] == []
    for (_, settle), result in zip(plans, results, strict=True):
        settle(result)
    for asked in world.desk.decided[first:]:
        world.desk.check(asked)
    facts_are_booked(world)


def facts_are_booked(world: World) -> None:
    """Every trade is in the books, whatever limit it broke, and reservations are what may still come."""
    for where, before in world.desk.books.items():
        own = [known for known in world.desk.orders.values() if same_funds(known.where, where)]
        held = Holding.objects.filter(account__name=where.account, asset=where.asset).aggregate(total=Sum("quantity"))
        assert (held["total"] or 0) == before + sum((known.bought for known in own), D(0))
        kept = Reservation.objects.filter(account_name=where.account, gained_asset=where.asset)
        assert (kept.aggregate(total=Sum("exposure"))["total"] or 0) == sum((known.worth for known in own), D(0))


def send_what_was_accepted(world: World, keep: int) -> None:
    """As the sender leaves orders that the exchange took; every third or so stays in its queue."""
    rows = ExchangeOrder.objects.filter(order__status="pending").select_related("order__account", "order__instrument")
    for number, row in enumerate(rows.order_by("order_id")):
        if (number + keep) % 3:
            Command.objects.filter(order=row.order).update(status="done")
            said = order_report(row, ReportedStatus.OPEN, exchange_order_id=exchange_id(row.order_id))
            ingest(row.order.account, [said], by=BY)
            world.at_exchange.add(row.order_id)


def ask_everywhere(world: World) -> int:
    """At rest the gate answers every small buy just as the oracle does; returns how many met facts over a limit."""
    world.desk.open_round()
    over = 0
    for name, exchange in ACCOUNTS.items():
        for pair in range(2 if exchange == "binance" else 3):
            request, where = placement(world, Step("buy", name, pair, strategy="s0"))
            assert request.quantity is not None
            decision = rehearse(request, account=world.accounts[name], by=BY).decision
            asked = asked_by(decision, where, "BUY", request.quantity, request.price)
            world.desk.check(asked)
            over += world.desk.is_over(asked)
            assert not (world.desk.is_over(asked) and asked.accepted)
    return over


STEPS = st.builds(
    Step,
    kind=st.sampled_from(
        ["buy"] * 7 + ["sell", "sell", "replace", "replace", "cancel", "fill", "fill", "tell", "end", "late", "foreign"]
    ),
    account=st.sampled_from(sorted(ACCOUNTS)),
    pair=st.integers(0, 2),
    size=st.integers(1, 5),
    how=st.sampled_from(["at bid", "above", "market"]),
    strategy=st.sampled_from(STRATEGIES),
    nth=st.integers(0, 9),
)
OPENING = [Step("buy", "a0"), Step("buy", "a0", 1, strategy="s0"), Step("buy", "a1"), Step("buy", "a2", 2, size=2)]
ROUNDS = st.lists(
    st.tuples(st.sampled_from(LEVELS), st.lists(STEPS, min_size=3, max_size=6)), min_size=2, max_size=3
).map(lambda rounds: [(LEVELS[0], OPENING), *rounds])
LIMITS = st.lists(
    st.one_of(
        [
            st.tuples(st.just(control), st.sampled_from(scopes), st.integers(1, 12))
            for control, scopes in MAY_BE_SET.items()
        ]
    ),
    min_size=2,
    max_size=6,
    unique_by=lambda row: row[:2],
)
BUY, FOREIGN = Step("buy", "a2", 2), Step("foreign", "a2", 2, size=2, nth=2)
TIGHT = [("max_asset_exposure", "asset:BTC", 4), ("max_gross_exposure", "global", 9)]
BEYOND = [
    (LEVELS[0], [BUY, BUY, BUY]),
    (LEVELS[0], [Step("late", size=5), FOREIGN, BUY, Step("buy", "a1", 1)]),
    (LEVELS[0], [BUY, Step("sell", "a2", 2), Step("replace", size=5), Step("end", nth=1), BUY]),
]
# One of two live orders is being replaced: it is one order still, and a third one finds its place.
REPLACED = [(LEVELS[0], [Step("buy"), Step("buy")]), (LEVELS[0], [Step("replace", size=4)]), (LEVELS[0], [Step("buy")])]


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(120 + 4 * EXAMPLES)
@settings(max_examples=EXAMPLES, phases=(Phase.explicit, Phase.generate))  # threads make no example smaller
@given(held=st.lists(st.integers(0, 5), min_size=6, max_size=6), limits=LIMITS, rounds=ROUNDS)
@example(held=[2] * 6, limits=TIGHT, rounds=BEYOND)
@example(held=[0] * 6, limits=[("max_working_orders", "account:a0", 3)], rounds=REPLACED)
def test_invariant_04_no_accepted_order_breaks_a_limit_whatever_happens_beside_it(
    held: list[int], limits: list[tuple[str, str, int]], rounds: list[tuple[Decimal, list[Step]]]
) -> None:
    world = new_world(held, limits)
    over = 0
    for number, (level, steps) in enumerate(rounds):
        world.freshen(level)
        run_round(world, steps)
        send_what_was_accepted(world, number)
        world.freshen(level)
        over += ask_everywhere(world)
    assert over or rounds is not BEYOND, "facts were to go over a limit here"
    assert Fill.objects.count() == world.trades
