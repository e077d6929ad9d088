"""Rehearsal on a recorded market: orders are placed, sent, filled and booked by the engine's own code, in one thread.

The clock is the recording's: it jumps from event to event, and whatever sleeps lets the market move on. Queues are
emptied right where they are filled. With the same file, seed and plan the same trades come out, each time. It needs a
database of its own, for it makes an account and a market (``orders/management/commands/replay_market.py`` sees to it).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils.module_loading import import_string
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from exchanges.accounts import add_account
from exchanges.capabilities import CAPABILITIES
from exchanges.models import Account, Instrument, Mode, PaperOrder, PublicPrint
from exchanges.paper.feed import what_the_market_did
from exchanges.paper.flows import set_terms
from exchanges.paper.pit import OPEN
from exchanges.paper.recording import Event, Header, Kind
from exchanges.quotes import Levels20, Price, store_books, store_quotes
from execution_project.common import clock
from execution_project.common.actors import Actor, engine
from execution_project.common.money import plain, round_down, round_up
from execution_project.common.problems import Problem
from execution_project.common.rights import EVERYTHING
from orders.canceling import request_cancel
from orders.following import settle_account
from orders.ingest import ingest
from orders.models import Order
from orders.placing import OrderRequest, place
from orders.reconciliation import reconcile
from orders.sweeping import ring_due_commands
from positions.models import Fill
from positions.opening import open_books
from positions.paper_deposits import deposit
from risk.limits import tighten_or_set

BY = Actor("command:replay_market", "rehearsal", rights=EVERYTHING)
NAME = "rehearsal"
RECONCILE_EVERY = timedelta(seconds=15)
FUNDS = Decimal(1_000_000)
ORDER_LIMIT = Decimal(10_000_000)
# Passes the steps on one by one, for whoever wants to see how far it is.
Watch = Callable[[Sequence["Planned"]], Iterator["Planned"]]


class RecordedClock(clock.ManualClock):
    """The recording's time. Whoever sleeps on it lets the market move on meanwhile."""

    def __init__(self, start: datetime, moved: Callable[[datetime], None]) -> None:
        super().__init__(start)
        self._moved = moved

    def advance(self, by: timedelta) -> None:
        """Move forward; what the market did until then happens first, each at its own time."""
        until = self.now() + by
        self._moved(until)
        self.to(until)

    def to(self, moment: datetime) -> None:
        """Move forward without anything happening in between; never back."""
        if moment > self.now():
            super().advance(moment - self.now())


@dataclass(frozen=True, slots=True)
class Trade:
    """One line of what a rehearsal comes to; ``order``: number of the order in the plan, from 1."""

    at: datetime
    order: int
    side: str
    price: Decimal
    quantity: Decimal
    fees: str

    def as_json(self) -> list[str]:
        """Plain values."""
        return [clock.rfc3339(self.at), str(self.order), self.side, plain(self.price), plain(self.quantity), self.fees]


@dataclass(slots=True)
class Result:
    """What a rehearsal came to; ``seconds`` of the machine's own time for all of it."""

    orders: int = 0
    events: int = 0
    seconds: float = 0.0
    trades: list[Trade] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Planned:
    """One thing to do: place an order, or cancel what was placed as number ``cancels``. ``distance``: of the limit from
    the best price of the own side, as a fraction; ``size``: as a fraction of what is shown there."""

    at: datetime
    symbol: str
    side: str
    type: str
    distance: Decimal
    size: Decimal
    cancels: int | None = None


def seeded_plan(header: Header, end: datetime, count: int, seed: int) -> list[Planned]:
    """``count`` orders spread over the recording by chance: a third at the market, the others near the best price, of
    which every second is canceled later. The same for the same seed."""
    chance = random.Random(seed)  # noqa: S311  repeatable on purpose
    begin = header.start + timedelta(seconds=5)
    span = max((end - begin).total_seconds(), 1)
    moments = sorted(chance.randrange(int(span * 1000)) for _ in range(count))
    plan: list[Planned] = []
    for number, moment in enumerate(moments, 1):
        at = begin + timedelta(milliseconds=moment)
        symbol = chance.choice(sorted(header.instruments))
        side = chance.choice(["BUY", "SELL"])
        kind = chance.choice(["MARKET", "LIMIT", "LIMIT"])
        distance = Decimal(chance.randrange(-2, 6)) / 10_000
        size = Decimal(chance.randrange(1, 100)) / 100
        plan.append(Planned(at, symbol, side, kind, distance, size))
        if kind == "LIMIT" and chance.random() < 0.5:
            later = min(at + timedelta(milliseconds=chance.randrange(500, 60_000)), end)
            plan.append(Planned(later, symbol, side, "CANCEL", distance, size, cancels=number))
    return sorted(plan, key=lambda step: (step.at, step.cancels or 0))


@contextmanager
def _unhurried_disk() -> Iterator[None]:
    """What a rehearsal writes is thrown away: its commits need not wait for the disk."""
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET synchronous_commit")


class Rehearsal:
    """One run over one recording."""

    def __init__(self, header: Header, events: Iterator[Event], *, seed: int = 1) -> None:
        self._header = header
        self._events = events
        self._next: Event | None = next(events, None)
        self._seed = seed
        self.result = Result()
        self._clock = RecordedClock(header.start, self._market_moves)
        self._reconciled = header.start
        self._orders: dict[int, UUID] = {}
        self._numbered = 0
        self._books: dict[str, tuple[Any, Any]] = {}
        self._busy = False

    def run(self, plan: Sequence[Planned], watch: Watch = iter) -> Result:
        """Do what the plan says as time passes, then let the recording run out."""
        began = time.monotonic()
        with clock.using(self._clock), _unhurried_disk():
            self._set_up()
            for step in watch(plan):
                self._pass_until(step.at)
                self._do(step)
                self._drain()
            while self._next is not None:
                self._pass_until(self._next.at)
            self._pass_until(self._clock.now() + timedelta(seconds=5))
            settle_account(self._account)
            self._drain()
        self._tell()
        self.result.seconds = time.monotonic() - began
        return self.result

    # -- the world -----------------------------------------------------------------------------------------------

    def _set_up(self) -> None:
        """Account, pairs, money, open books: all at the recording's first moment."""
        header = self._header
        self._instruments: dict[str, Instrument] = {}
        for symbol, facts in sorted(header.instruments.items()):
            self._instruments[symbol] = Instrument.objects.create(
                exchange=header.exchange, mode=Mode.PAPER, symbol=symbol, synced_at=header.start, **facts
            )
        self._account = add_account(NAME, exchange=header.exchange, mode=Mode.PAPER, by=BY)
        set_terms(self._account, {"seed": self._seed}, reason="rehearsal", by=BY)
        assets = {a for row in self._instruments.values() for a in (row.base_asset, row.quote_asset)}
        for asset in sorted(assets):
            deposit(self._account, asset, FUNDS, reason="rehearsal", by=BY)
        tighten_or_set("max_order_notional", Mode.PAPER, "account", NAME, ORDER_LIMIT, reason="rehearsal", by=BY)
        open_books(self._account, by=BY)
        self._account = Account.objects.get(name=NAME)

    def _pass_until(self, moment: datetime) -> None:
        self._clock.advance(max(moment - self._clock.now(), timedelta(0)))
        if self._clock.now() - self._reconciled >= RECONCILE_EVERY:
            self._reconciled = self._clock.now()
            reconcile(self._account, parts=("orders", "trades", "balances"), by=engine("reconciler", "rehearsal"))
            settle_account(self._account)

    def _market_moves(self, until: datetime) -> None:
        """Everything that the recording has until then, at its own times."""
        if self._busy:
            return
        self._busy = True
        try:
            while self._next is not None and self._next.at <= until:
                event = self._next
                self._next = next(self._events, None)
                self._clock.to(event.at)
                self._show(event)
        finally:
            self._busy = False

    def _show(self, event: Event) -> None:
        self.result.events += 1
        instrument = self._instruments[event.symbol]
        if event.kind is Kind.DEPTH:
            self._books[event.symbol] = (event.bids, event.asks)
            store_books([Levels20(instrument.pk, event.bids, event.asks, event.at)])
        elif event.kind is Kind.QUOTE:
            bid, ask = (side[0][0] if side else None for side in (event.bids, event.asks))
            store_quotes([Price(instrument.pk, bid, ask, event.at)])
        else:
            PublicPrint.objects.create(
                instrument=instrument,
                price=event.price,
                quantity=event.quantity,
                aggressor=event.aggressor,
                traded_at=event.at,
            )
        if PaperOrder.objects.filter(instrument=instrument, status__in=OPEN).exists():
            reports = what_the_market_did(self._account)
            if reports:
                ingest(self._account, reports, by=engine("paper", "the market moved"))

    # -- the plan ------------------------------------------------------------------------------------------------

    def _do(self, step: Planned) -> None:
        if step.cancels is not None:
            if step.cancels in self._orders:
                request_cancel(self._orders[step.cancels], by=BY, reason="the plan")
            return
        bids, asks = self._books.get(step.symbol, ((), ()))
        own, other = (bids, asks) if step.side == "BUY" else (asks, bids)
        if own and other:
            self._place(step, own[0], other[0])
        else:
            self._numbered += 1

    def _place(self, step: Planned, own: tuple[Decimal, Decimal], other: tuple[Decimal, Decimal]) -> None:
        """Place by the engine's own door; a request that can never be an order is counted and left."""
        quantity = round_up(other[1] * step.size, Decimal("0.00000001"))
        sizes: dict[str, Any] = {"quantity": quantity}
        if step.type == "LIMIT":
            away = 1 - step.distance if step.side == "BUY" else 1 + step.distance
            sizes |= {"price": own[0] * away, "time_in_force": "GTC"}
        elif step.side == "BUY" and "BUY" in CAPABILITIES[self._header.exchange].quote_quantity_only_sides:
            sizes = {"quote_quantity": round_down(quantity * other[0], Decimal(1))}
        request = OrderRequest(
            account=NAME, symbol=step.symbol, side=step.side, type=step.type, round=True, valid_for=None, **sizes
        )
        self._numbered += 1
        try:
            placed = place(request, idempotency_key=str(self._numbered), body_hash="", account=self._account, by=BY)
        except Problem as problem:
            self.result.refused[problem.code] = self.result.refused.get(problem.code, 0) + 1
            return
        self._orders[self._numbered] = placed.order.id

    def _drain(self) -> None:
        """Run what is queued or due, in order, here and now."""
        ring_due_commands()
        while (row := OrmQ.objects.order_by("id").first()) is not None:
            row.delete()
            package = SignedPackage.loads(row.payload)
            import_string(package["func"])(*package["args"])

    def _tell(self) -> None:
        numbers: dict[UUID | None, int] = {order_id: number for number, order_id in self._orders.items()}
        for fill in sorted(Fill.objects.filter(account=self._account), key=lambda fill: int(fill.trade_id)):
            fees = " ".join(f"{fee['amount']} {fee['asset']}" for fee in fill.fees)
            trade = Trade(fill.traded_at, numbers[fill.order_id], fill.side, fill.price, fill.quantity, fees)
            self.result.trades.append(trade)
        self.result.orders = len(self._orders)
        for status in Order.objects.filter(account=self._account).values_list("status", flat=True):
            self.result.statuses[status] = self.result.statuses.get(status, 0) + 1
