"""All streams of the installation, kept by one asyncio process: which there must be, and where their hints go.

What is booked, and how an account is looked at again, is the caller's affair (``Handlers``): this package knows nothing
of orders. Handlers run on threads and may block; a hint whose handler meets a lost database waits for its return.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from websockets.exceptions import InvalidStatus, WebSocketException

from exchanges import rate_budget
from exchanges.adapters import CallWindow, Cost
from exchanges.btcturk.limits import wait_ms
from exchanges.connections import host_of, refuse_wrong_host, refuse_wrong_url
from exchanges.credentials import credentials_of
from exchanges.host_clock import exchange_now_ms
from exchanges.models import Account, Exchange, Instrument, Mode, StreamKind
from exchanges.paper.feed import Print, note_prints
from exchanges.paper.public import public_markets
from exchanges.quotes import Levels20, store_books
from exchanges.reports import PublicTrade, Report
from exchanges.streams import binance, bounds, btcturk
from exchanges.streams.books import BookTalk, ConfirmedBook
from exchanges.streams.bounds import Bounds
from exchanges.streams.lanes import OUTAGES, Lanes
from exchanges.streams.leading import Leadership
from exchanges.streams.link import Condition, Link
from exchanges.streams.states import Key, known_conditions, write_conditions
from exchanges.streams.talk import BalancesMoved, Hint, Look, NotNow, Refused, Reports, Talk, UnknownOnce
from execution_project.common import clock

log = logging.getLogger(__name__)

REPORT_LANES = 4
MOST_WAITING = 10_000
"""Hints that wait for the database; beyond them the account is looked at instead."""
MOST_SYMBOLS = 200
LEAD_EVERY_S = 0.5
SUBSCRIBE_S = 5.0
"""How long a change of subscriptions may take."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 2.0
FAREWELL_S = 2.0
"""How long hints that were heard before the end may take to be handled."""

# docs/binance.md §7: connecting and subscribing weigh 2 each. docs/btcturk.md §6: 15 attempts in a minute.
CONNECT_COSTS = {
    Exchange.BINANCE.value: Cost(weight=4),
    Exchange.BTCTURK.value: Cost(weight=0, windows=(CallWindow("btcturk_websocket_60s", 60, 15),)),
}


@dataclass(frozen=True, slots=True)
class Handlers:
    """What the streams' owner does with what they say; each is called on a thread."""

    ingest: Callable[[Account, Sequence[Report]], object]
    """Book reports. Safe to repeat."""
    resync: Callable[[Account, str], object]
    """Have the account compared with the exchange over REST, with the reason: something may have been missed."""
    follow: Callable[[Account, str], object]
    """Have the account's working orders looked at over REST, with the reason: an event tells too little."""
    balances: Callable[[Account], object]
    """The account's balances are not what they were."""
    traded: Callable[[str, str], Collection[str]]
    """Symbols of (exchange, mode) whose books are wanted."""


@dataclass(frozen=True, slots=True)
class AllBounds:
    """Times of each kind of stream, by exchange, and how often the fleet itself looks and writes (seconds)."""

    private: dict[str, Bounds]
    market: dict[str, Bounds]
    look_every: float = 2.0
    """For accounts and instruments that have come, changed or gone."""
    write_every: float = 2.0
    """Conditions for health pages."""
    books_every: float = 1.0


PRODUCTION = AllBounds(
    private={Exchange.BINANCE.value: bounds.BINANCE_PRIVATE, Exchange.BTCTURK.value: bounds.BTCTURK_PRIVATE},
    market={Exchange.BINANCE.value: bounds.BINANCE_MARKET, Exchange.BTCTURK.value: bounds.BTCTURK_MARKET},
)


def accounts_with_streams() -> list[Account]:
    """Accounts with open books and a stream URL."""
    return list(
        Account.objects.filter(books_opened_at__isnull=False).exclude(ws_url="").exclude(mode=Mode.PAPER).order_by("id")
    )


def _identity(account: Account) -> tuple[Any, ...]:
    """What an account's streams are made of: another value means another connection."""
    sealed = (bytes(account.api_key_sealed), bytes(account.api_secret_sealed))
    return (account.pk, account.rest_url, account.ws_url, *sealed)


def _admitted(account: Account) -> None:
    """Take what a connection costs from the budget that all processes share. Raises ``NotNow``."""
    refused = rate_budget.take(host_of(account), account.name, CONNECT_COSTS[account.exchange])
    if refused is not None:
        raise NotNow(refused.reason, max((refused.not_before - clock.now()).total_seconds(), 0.0))


def _note_throttling(account: Account, error: Exception) -> None:
    """What a refused connection says about limits holds for every process."""
    if not isinstance(error, InvalidStatus) or error.response.status_code not in {418, 429}:
        return
    status = error.response.status_code
    headers = {name.lower(): value for name, value in error.response.headers.raw_items()}
    wait = wait_ms(headers)
    if wait is None:
        wait = 120_000 if status == 418 else 60_000  # docs/binance.md §6
    rate_budget.pause(host_of(account), wait, reason=f"HTTP {status} from {account.ws_url}", banned=status == 418)


class Outlet:
    """The hints of one account on their way to the handlers: in order, batched, and patient with the database."""

    def __init__(self, account: Account, handlers: Handlers, lanes: Lanes) -> None:
        self._account = account
        self._handlers = handlers
        self._lanes = lanes
        self._lane = f"reports-{account.pk % REPORT_LANES}"
        self._waiting: list[Hint] = []
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def put(self, hint: Hint) -> None:
        """Take a hint from the loop; never blocks."""
        if len(self._waiting) >= MOST_WAITING:
            self._waiting = [Look("more events than could be handled", gap=True)]
        self._waiting.append(hint)
        self._idle.clear()
        self._news.set()

    async def drained(self) -> None:
        """Until nothing waits."""
        await self._idle.wait()

    async def run(self) -> None:
        """Handle hints until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            hints, self._waiting = self._waiting, []
            await self._handle(hints)
            if not self._waiting:
                self._idle.set()

    async def _handle(self, hints: list[Hint]) -> None:
        reports = [report for hint in hints if isinstance(hint, Reports) for report in hint.reports]
        looks = [hint for hint in hints if isinstance(hint, Look)]
        if reports and not await self._patiently(self._handlers.ingest, self._account, reports):
            looks.append(Look("events that could not be booked", gap=True))
        if gaps := [look for look in looks if look.gap]:
            await self._patiently(self._handlers.resync, self._account, gaps[-1].reason)
        elif looks:
            await self._patiently(self._handlers.follow, self._account, looks[-1].reason)
        if any(isinstance(hint, BalancesMoved) for hint in hints):
            await self._patiently(self._handlers.balances, self._account)

    async def _patiently(self, handler: Callable[..., object], *arguments: Any) -> bool:
        """Call a handler, again and again while the database is away; False when it fails for another reason."""
        failures = 0
        while True:
            try:
                await self._lanes.call(self._lane, handler, *arguments)
            except OUTAGES as error:
                if not failures:
                    log.error("account %s: events wait for the database: %s", self._account.name, error)
                await asyncio.sleep(min(FIRST_PAUSE_S * 2**failures, LONGEST_PAUSE_S))
                failures = min(failures + 1, 16)
            except Exception:  # one event that cannot be handled must not stop those behind it
                log.exception("account %s: events could not be handled", self._account.name)
                return False
            else:
                return True


class _Kept:
    """One stream that is being kept: its link and the tasks around it."""

    def __init__(self, identity: tuple[Any, ...], exchange: str) -> None:
        self.identity = identity
        self.exchange = exchange
        # A hanging exchange must not hold up the other one's connections.
        self._admission = f"admission-{exchange}"
        self.link: Link
        self.tasks: list[asyncio.Task[None]] = []

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class PrivateStream(_Kept):
    """One account's private stream."""

    def __init__(
        self,
        account: Account,
        handlers: Handlers,
        lanes: Lanes,
        times: Bounds,
        condition: Condition | None,
        unknown: UnknownOnce,
    ) -> None:
        super().__init__(_identity(account), account.exchange)
        self._account = account
        self._lanes = lanes
        self._unknown = unknown
        self._nonces = 0
        self.outlet = Outlet(account, handlers, lanes)
        self.link = Link(
            account.name,
            times,
            self._start,
            connected=self._connected,
            failed=self._failed,
            condition=condition,
        )
        self.tasks = [asyncio.create_task(self.link.run()), asyncio.create_task(self.outlet.run())]

    async def end(self) -> None:
        """Stop listening, and let what was heard be handled."""
        self.tasks[0].cancel()
        await asyncio.gather(self.tasks[0], return_exceptions=True)
        with suppress(TimeoutError):
            await asyncio.wait_for(self.outlet.drained(), FAREWELL_S)
        await super().end()

    def _connected(self, gap: bool) -> None:
        # Subscribed first, looked at second: what happens in between is seen at least once.
        if gap:
            self.outlet.put(Look("the private stream has come up", gap=True))

    async def _failed(self, error: Exception) -> None:
        if isinstance(error, Refused):
            self._nonces += 1
        await self._lanes.call(self._admission, _note_throttling, self._account, error)

    async def _start(self) -> Talk:
        credentials, stamp_ms = await self._lanes.call(self._admission, self._prepare)
        if self.exchange == Exchange.BTCTURK:
            nonce = btcturk.NONCES[self._nonces % len(btcturk.NONCES)]
            return btcturk.BtcturkPrivate(
                self._account.ws_url, credentials, stamp_ms, nonce=nonce, emit=self.outlet.put, unknown=self._unknown
            )
        return binance.BinancePrivate(
            self._account.ws_url, credentials, stamp_ms, emit=self.outlet.put, unknown=self._unknown
        )

    def _prepare(self) -> tuple[Any, int]:
        refuse_wrong_host(self._account)
        _admitted(self._account)
        return credentials_of(self._account), exchange_now_ms(self._account)


class MarketStream(_Kept):
    """The books of one market: an exchange as it shows itself to accounts of one mode."""

    def __init__(
        self, account: Account, lanes: Lanes, times: Bounds, condition: Condition | None, unknown: UnknownOnce
    ) -> None:
        super().__init__(market_identity(account), account.exchange)
        self.instruments: dict[str, int] = {}
        self.traded: frozenset[str] = frozenset()
        self._account = account
        self._lanes = lanes
        self._unknown = unknown
        self._written: dict[str, datetime] = {}
        self._prints: deque[PublicTrade] = deque(maxlen=MOST_WAITING)
        self.link = Link(
            f"{account.exchange}:{account.mode}",
            times,
            self._start,
            connected=lambda gap: None,
            failed=self._failed,
            condition=condition,
        )
        self.tasks = [asyncio.create_task(self.link.run())]

    async def want(self, instruments: dict[str, int], traded: frozenset[str] = frozenset()) -> None:
        """The instruments (symbol to id) whose books are wanted from now on, and those of which also the trades."""
        self.instruments, self.traded = instruments, traded
        talk = self.link.talk
        if not isinstance(talk, BookTalk):
            return
        try:
            async with asyncio.timeout(SUBSCRIBE_S):
                await talk.want(instruments, traded)
        except (Refused, TimeoutError, WebSocketException):
            # What is subscribed to is not known any more: the next connection starts from what is wanted.
            talk.over.set()
            raise

    async def store(self) -> None:
        """Write the trades that were heard since, then every book that was confirmed since it was last written."""
        await self._store_prints()
        talk = self.link.talk
        if not isinstance(talk, BookTalk):
            return
        news = [
            book
            for book in talk.confirmed()
            if book.depth.symbol in self.instruments and self._written.get(book.depth.symbol) != book.confirmed_at
        ]
        if news:
            await self._lanes.call("books", store_books, [self._row(book) for book in news])
            self._written.update({book.depth.symbol: book.confirmed_at for book in news})

    async def _store_prints(self) -> None:
        """Trades that could not be written stay, for as long as there are not too many."""
        heard = list(self._prints)
        known = [
            Print(
                self.instruments[each.symbol], each.price, each.quantity, each.aggressor, each.traded_at, each.trade_id
            )
            for each in heard
            if each.symbol in self.instruments
        ]
        if known:
            await self._lanes.call("books", note_prints, known)
        for each in heard:
            if self._prints and self._prints[0] is each:
                self._prints.popleft()

    def _row(self, book: ConfirmedBook) -> Levels20:
        depth = book.depth
        return Levels20(self.instruments[depth.symbol], depth.bids, depth.asks, book.confirmed_at)

    async def _failed(self, error: Exception) -> None:
        await self._lanes.call(self._admission, _note_throttling, self._account, error)

    async def _start(self) -> Talk:
        url = await self._lanes.call(self._admission, self._prepare)
        if self.exchange == Exchange.BTCTURK:
            return btcturk.BtcturkMarket(
                url, self.instruments, self.traded, unknown=self._unknown, emit=self._prints.append
            )
        return binance.BinanceMarket(
            url, self.instruments, self.traded, unknown=self._unknown, emit=self._prints.append
        )

    def _prepare(self) -> str:
        url = market_url(self._account)
        refuse_wrong_url(self._account, url)
        _admitted(self._account)
        return url


def market_url(account: Account) -> str:
    """Where the market streams of the account's exchange are."""
    return account.ws_url if account.exchange == Exchange.BTCTURK else binance.market_url(account.ws_url)


def market_identity(account: Account) -> tuple[Any, ...]:
    """What a market stream is made of."""
    return (account.exchange, account.mode, account.rest_url, market_url(account))


@dataclass(frozen=True, slots=True)
class WantedMarket:
    """The account that speaks for a market, the instruments (symbol to id) whose books are wanted, and the symbols of
    those whose public trades are, because paper accounts trade on them."""

    account: Account
    instruments: dict[str, int]
    traded: frozenset[str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What there must be: accounts and markets."""

    accounts: list[Account]
    markets: dict[str, WantedMarket]


class Fleet:
    """Keeps every stream that there must be, for as long as this process leads."""

    def __init__(self, handlers: Handlers, *, times: AllBounds = PRODUCTION) -> None:
        self._handlers = handlers
        self._times = times
        self._lanes = Lanes()
        self._unknown = UnknownOnce()
        self._streams: dict[Key, _Kept] = {}
        self._known: dict[Key, Condition] = {}
        self._failing: set[str] = set()
        self._looked = False

    async def run(self, stop: asyncio.Event) -> None:
        """Lead and keep the streams until ``stop`` is set; stand by while another process leads."""
        leadership = Leadership()
        loops: list[asyncio.Task[None]] = []
        try:
            while not stop.is_set():
                leads = await self._holds(leadership)
                if leads and not loops:
                    self._known = await self._until_it_works("states", known_conditions)
                    loops = [
                        asyncio.create_task(self._forever("accounts", self._look, self._times.look_every)),
                        asyncio.create_task(self._forever("books", self._store_books, self._times.books_every)),
                        asyncio.create_task(self._forever("states", self._write_states, self._times.write_every)),
                    ]
                elif leads is False and loops:
                    log.warning("another process keeps the streams now")
                    await self._end(loops)
                    self._streams.clear()
                    self._looked = False
                    loops = []
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LEAD_EVERY_S)
        finally:
            await self._end(loops)
            if loops:
                await self._last_words()
            await asyncio.to_thread(self._lanes.close)

    async def _holds(self, leadership: Leadership) -> bool | None:
        """Whether this process leads; None while the database is away, which ends no stream."""
        try:
            held = await self._lanes.call("leader", leadership.holds)
        except Exception as error:  # noqa: BLE001  the process outlives every outage
            self._complain("leader", error)
            return None
        self._failing.discard("leader")
        return held

    async def _until_it_works(self, name: str, function: Callable[[], dict[Key, Condition]]) -> dict[Key, Condition]:
        while True:
            try:
                return await self._lanes.call("look", function)
            except OUTAGES as error:
                self._complain(name, error)
                await asyncio.sleep(LONGEST_PAUSE_S)

    async def _forever(self, name: str, step: Callable[[], Awaitable[None]], every_s: float) -> None:
        while True:
            try:
                await step()
                self._failing.discard(name)
            except Exception as error:  # noqa: BLE001  a step that fails is tried again
                self._complain(name, error)
            await asyncio.sleep(every_s)

    def _complain(self, name: str, error: Exception) -> None:
        """Say what fails, once until it works again."""
        if name not in self._failing:
            self._failing.add(name)
            known = isinstance(error, (*OUTAGES, WebSocketException, Refused, TimeoutError))
            log.error("streams: %s: %s: %s", name, type(error).__name__, error, exc_info=None if known else error)

    # -- which streams -------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Start what is missing, end what is not wanted, and change what is subscribed to."""
        wanted = await self._lanes.call("look", self._wanted)
        accounts = {(StreamKind.PRIVATE.value, account.name): account for account in wanted.accounts}
        markets = {(StreamKind.MARKET.value, name): market for name, market in wanted.markets.items()}
        identities = {key: _identity(account) for key, account in accounts.items()}
        identities |= {key: market_identity(market.account) for key, market in markets.items()}
        for key in [key for key, kept in self._streams.items() if identities.get(key) != kept.identity]:
            kept = self._streams.pop(key)
            self._known[key] = kept.link.refresh()
            await kept.end()
        for key, account in accounts.items():
            if key not in self._streams:
                times = self._times.private[account.exchange]
                condition = self._known.pop(key, None)
                self._streams[key] = PrivateStream(
                    account, self._handlers, self._lanes, times, condition, self._unknown
                )
        for key, market in markets.items():
            if key not in self._streams:
                times = self._times.market[market.account.exchange]
                stream = MarketStream(market.account, self._lanes, times, self._known.pop(key, None), self._unknown)
                stream.instruments, stream.traded = market.instruments, market.traded
                self._streams[key] = stream
        self._looked = True
        for key, market in markets.items():
            kept = self._streams[key]
            if isinstance(kept, MarketStream):
                await kept.want(market.instruments, market.traded)

    def _wanted(self) -> Wanted:
        accounts = accounts_with_streams()
        markets: dict[str, WantedMarket] = {}
        for account in [*accounts, *public_markets()]:
            name = f"{account.exchange}:{account.mode}"
            if name in markets:
                continue
            symbols = sorted(self._handlers.traded(account.exchange, account.mode))
            if len(symbols) > MOST_SYMBOLS:
                log.warning("%s: books of %d of %d instruments are kept", name, MOST_SYMBOLS, len(symbols))
            rows = Instrument.objects.filter(
                exchange=account.exchange, mode=account.mode, is_trading=True, symbol__in=symbols[:MOST_SYMBOLS]
            )
            instruments = dict(rows.values_list("symbol", "pk"))
            if instruments:
                markets[name] = WantedMarket(account, instruments, self._traded_on_paper(account) & instruments.keys())
        return Wanted(accounts, markets)

    def _traded_on_paper(self, account: Account) -> frozenset[str]:
        """Symbols of paper accounts that this market feeds."""
        if account.mode != settings.EXEC_PAPER_MARKET:
            return frozenset()
        return frozenset(self._handlers.traded(account.exchange, Mode.PAPER))

    # -- what is written -----------------------------------------------------------------------------------------

    async def _store_books(self) -> None:
        for kept in list(self._streams.values()):
            if isinstance(kept, MarketStream):
                await kept.store()

    async def _write_states(self) -> None:
        if not self._looked:
            return
        conditions = {key: (kept.exchange, kept.link.refresh()) for key, kept in self._streams.items()}
        await self._lanes.call("look", write_conditions, conditions)

    async def _end(self, loops: list[asyncio.Task[None]]) -> None:
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        await asyncio.gather(*(kept.end() for kept in self._streams.values()))

    async def _last_words(self) -> None:
        """Say that the streams are down, unless nobody listens any more."""
        with suppress(Exception):
            await self._write_states()
