"""Rehearsal on a recorded market: orders are placed, sent, filled and booked by the engine's own code, in one thread.

The clock is the recording's: it jumps from event to event, and whatever sleeps lets the market move on. Queues are
emptied right where they are filled. With the same file, seed and plan the same trades come out, each time. It needs a
database of its own, for it makes an account and a market (``orders/management/commands/replay_market.py`` sees to it).
"""

from __future__ import annotations

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
from django_q.signing import SignedPackage

from exchanges.accounts import add_account
from exchanges.capabilities import CAPABILITIES
from exchanges.models import Account, Instrument, Mode, PaperOrder, PublicPrint
from exchanges.paper.feed import what_the_market_did
from exchanges.paper.flows import set_terms
from exchanges.paper.pit import OPEN
from exchanges.paper.recording import Event, Header, Kind
from exchanges.quotes import Levels20, Price, store_books, store_quotes
from exchanges.reports import ReadFailed
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
from orders.rehearsal_plan import Planned
from orders.sweeping import ring_due_commands
from positions.models import Fill
from positions.opening import open_books
from positions.paper_deposits import deposit
from risk.limits import tighten_or_set

BY = Actor("command:replay_market", "rehearsal", rights=EVERYTHING)
NAME = "rehearsal"
BALANCES_EVERY = timedelta(seconds=15)
ORDERS_EVERY = timedelta(seconds=30)
"""As the ticker has them (``EXEC_TICKS``); trades of a pair are read as often as there, too, every five minutes."""
_ON_SCHEDULE = {"orders.tasks.refresh_balances"}
"""Rung after every fill; here they are compared by the schedule alone, for the gate knows what was booked since."""
SHOWN_AT_ONCE = 500
FUNDS = Decimal(1_000_000)
ORDER_LIMIT = Decimal(10_000_000)
_TAKE = """
WITH taken AS (DELETE FROM django_q_ormq RETURNING id, payload)
SELECT (SELECT array_agg(payload ORDER BY id) FROM taken), EXISTS (SELECT 1 FROM orders_command WHERE status = 'queued')
"""
# Passes the steps on one by one, for whoever wants to see how far it is.
Watch = Callable[[Sequence[Planned]], Iterator[Planned]]


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
        self._balances_at = self._orders_at = header.start
        self._orders: dict[int, UUID] = {}
        self._numbered = 0
        self._books: dict[str, tuple[Any, Any]] = {}
        self._busy = False
        # Pairs with an open paper order; None while that is to be asked.
        self._open: set[str] | None = None
        self._in_task = self._left_queued = False

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
                self._pass_until(max(self._next.at, self._clock.now() + timedelta(seconds=1)))
            self._pass_until(self._clock.now() + timedelta(seconds=5))
            while self._settle():
                pass
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
        now = self._clock.now()
        if now - self._balances_at < BALANCES_EVERY:
            return
        self._balances_at = now
        parts = ["trades", "balances"]
        if now - self._orders_at >= ORDERS_EVERY:
            self._orders_at = now
            parts.append("orders")
        reconcile(self._account, parts=parts, by=engine("reconciler", "rehearsal"), only_due=True)
        self._settle()

    def _settle(self) -> int:
        try:
            return settle_account(self._account)
        except ReadFailed:  # no budget: the next round asks again
            return 0

    def _market_moves(self, until: datetime) -> None:
        """Everything that the recording has until then, at its own times.

        What no open order can meet is kept back and written together.
        """
        if self._busy or self._next is None or self._next.at > until:
            return
        self._busy = True
        if self._in_task:
            # It may place or end an order before and after every moment that it lets pass.
            self._open = None
        try:
            waiting: list[Event] = []
            while self._next is not None and self._next.at <= until:
                event = self._next
                self._next = next(self._events, None)
                self._clock.to(event.at)
                waiting.append(event)
                meets = event.symbol in self._with_open_orders()
                if meets or len(waiting) == SHOWN_AT_ONCE:
                    self._show(waiting)
                    waiting = []
                if meets:
                    self._meet()
            self._show(waiting)
        finally:
            self._busy = False

    def _with_open_orders(self) -> set[str]:
        if self._open is None:
            open_orders = PaperOrder.objects.filter(account=self._account, status__in=OPEN)
            self._open = set(open_orders.values_list("instrument__symbol", flat=True).distinct())
        return self._open

    def _show(self, events: Sequence[Event]) -> None:
        """Write what the market did, in its order."""
        self.result.events += len(events)
        books: list[Levels20] = []
        quotes: list[Price] = []
        prints: list[PublicPrint] = []
        for event in events:
            instrument = self._instruments[event.symbol]
            if event.kind is Kind.DEPTH:
                self._books[event.symbol] = (event.bids, event.asks)
                books.append(Levels20(instrument.pk, event.bids, event.asks, event.at))
            elif event.kind is Kind.QUOTE:
                bid, ask = (side[0][0] if side else None for side in (event.bids, event.asks))
                quotes.append(Price(instrument.pk, bid, ask, event.at))
            else:
                prints.append(
                    PublicPrint(
                        instrument=instrument,
                        price=event.price,
                        quantity=event.quantity,
                        aggressor=event.aggressor,
                        traded_at=event.at,
                    )
                )
        store_quotes(quotes)
        store_books(books)
        if prints:
            PublicPrint.objects.bulk_create(prints)

    def _meet(self) -> None:
        """Let the open orders meet what was shown."""
        reports = what_the_market_did(self._account)
        if reports:
            self._open = None
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
        if self._left_queued:
            ring_due_commands()
        while payloads := self._taken_from_queue():
            for payload in payloads:
                package = SignedPackage.loads(payload)
                if package["func"] in _ON_SCHEDULE:
                    continue
                self._in_task = True
                import_string(package["func"])(*package["args"])
                self._in_task, self._open = False, None

    def _taken_from_queue(self) -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute(_TAKE)
            payloads, self._left_queued = cursor.fetchone()
        return payloads or []

    def _tell(self) -> None:
        numbers: dict[UUID | None, int] = {order_id: number for number, order_id in self._orders.items()}
        for fill in sorted(Fill.objects.filter(account=self._account), key=lambda fill: int(fill.trade_id)):
            fees = " ".join(f"{fee['amount']} {fee['asset']}" for fee in fill.fees)
            trade = Trade(fill.traded_at, numbers[fill.order_id], fill.side, fill.price, fill.quantity, fees)
            self.result.trades.append(trade)
        self.result.orders = len(self._orders)
        for status in Order.objects.filter(account=self._account).values_list("status", flat=True):
            self.result.statuses[status] = self.result.statuses.get(status, 0) + 1
