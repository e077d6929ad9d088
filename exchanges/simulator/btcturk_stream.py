"""BTCTurk's websocket: greeting, login, private events, public channels, silence and losses (docs/btcturk.md §6).

Every frame is a two-element array of a type number and an object.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

from aiohttp import WSMsgType, web

from exchanges.matching import Level, Side
from exchanges.simulator import btcturk_signatures as signatures
from exchanges.simulator import btcturk_views as views
from exchanges.simulator.accounts import ZERO
from exchanges.simulator.btcturk import BtcturkFace
from exchanges.simulator.btcturk_rules import PairRules
from exchanges.simulator.btcturk_venue import BtcturkVenue, TurkAccount, TurkOrder, TurkTrade
from exchanges.simulator.clock import Clock
from exchanges.simulator.faults import Fault, Faults
from exchanges.simulator.streaming import Out, Stream
from exchanges.simulator.venue import BalanceEvent, OrderEvent, PublicTrade, Status

Json = dict[str, Any]

PATHS = ("/", "/ws")
PING_SECONDS = 15.0
SNAPSHOT_MS = 1000
"""Full books and tickers come at most once in so long."""
METHODS = {"limit": 0, "market": 1, "stoplimit": 2, "stopmarket": 3}
CHANGED, NEW, REMOVED = 0, 1, 3
"""What a row of a book difference says (CP)."""


class Connection(Stream):
    """One client: who it has logged in as and what it has joined."""

    def __init__(self, streams: Streams, identity: int, remote: str) -> None:
        super().__init__(identity, _frame(991, {"type": 991, "current": "6.0.0", "min": "2.3.0"}))
        self.remote = remote
        self.account: TurkAccount | None = None
        self.joined: dict[tuple[str, str], int] = {}
        """Channel and event to the time of the last snapshot (epoch ms)."""
        self.books: dict[str, tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]] = {}
        """The book as the differences of a pair have told it so far."""
        self._streams = streams

    def send(self, number: int, body: Json) -> None:
        """Send one frame after those already waiting."""
        self.put(Out(_frame(number, body)))

    def deliver(self, number: int, body: Json, fault: Fault | None) -> None:
        """Send one event, or let it go wrong the way the fault says."""
        self.put_event(_frame(number, body), fault)

    def view(self) -> Json:
        """The connection as the control API shows it."""
        return {
            "id": self.id,
            "account": self.account.name if self.account is not None else None,
            "joined": [f"{channel}:{event}" for channel, event in self.joined],
        }

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type is WSMsgType.TEXT:
                self._streams.hear(self, message.data)
            elif message.type is WSMsgType.PING and not self.mute:
                await self._socket.pong(message.data)

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_SECONDS)
            if not self.mute:
                await self._socket.ping(b"btcturk")


class Streams:
    """All connections, and what they are told."""

    def __init__(self, face: BtcturkFace, faults: Faults, clock: Clock) -> None:
        self.venue: BtcturkVenue = face.venue
        self.connections: dict[int, Connection] = {}
        self._face = face
        self._faults = faults
        self._clock = clock
        self._ids = 0
        self._change_set = 0
        self._random = random.Random(0)
        self.venue.listeners.append(self._on_order)
        self.venue.balance_listeners.append(self._on_balance)
        self.venue.trade_listeners.append(self._on_trade)
        self._heard: dict[int, Callable[[Connection, Json], None]] = {114: self._login, 151: self._join}

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one attempt to connect."""
        throttled = self._face.connecting(request.remote or "", self._clock.now())
        if throttled is not None:
            return web.Response(status=throttled.status, body=throttled.body, headers=throttled.headers)
        if not web.WebSocketResponse().can_prepare(request).ok:
            return web.Response(status=400)
        self._ids += 1
        connection = self.connections[self._ids] = Connection(self, self._ids, request.remote or "")
        try:
            return await connection.run(request)
        finally:
            del self.connections[connection.id]

    def reset(self) -> None:
        """Connections stay; their logins end with the accounts."""
        for connection in self.connections.values():
            connection.account = None
            connection.mute = False

    def disconnect(self, account: str | None, *, reset: bool) -> int:
        """End the connections of an account, or all; how many."""
        chosen = [
            connection
            for connection in self.connections.values()
            if account is None or (connection.account is not None and connection.account.name == account)
        ]
        for connection in chosen:
            connection.end(reset=reset)
        return len(chosen)

    # -- what clients say ----------------------------------------------------------------------------------------

    def hear(self, connection: Connection, text: str) -> None:
        """Take one frame; what makes no sense is ignored."""
        try:
            number, body = json.loads(text)
        except (ValueError, TypeError, RecursionError):
            return
        action = self._heard.get(number) if isinstance(number, int) else None
        if action is not None and isinstance(body, dict):
            action(connection, body)

    def _login(self, connection: Connection, body: Json) -> None:
        refusal = self._refusal(connection, body)
        connection.send(114, {"type": 114, "ok": refusal is None, "id": 0, "message": refusal})

    def _refusal(self, connection: Connection, body: Json) -> str | None:
        """Why a login fails; None when it has succeeded. Signed is the nonce, the timestamp must be fresh."""
        key, nonce, stamp = body.get("publicKey"), body.get("nonce"), body.get("timestamp")
        if connection.account is not None or not isinstance(stamp, int) or not isinstance(nonce, int | str):
            return "Unauthorized - Invalid Request"
        account = self.venue.by_key.get(key) if isinstance(key, str) else None
        if account is None:
            return "Unauthorized - Invalid Public key"
        settings = self.venue.settings
        wanted = {"3000": "3000", "timestamp": str(stamp)}.get(settings.login_nonce, str(nonce))
        if str(nonce) != wanted or abs(stamp - self._clock.now()) > settings.stamp_window_ms:
            return "Unauthorized - Invalid Nonce"
        if not signatures.verify(account.api_key, account.api_secret, str(nonce), str(body.get("signature"))):
            return "Unauthorized - Invalid Signature"
        holder = self.venue.holder(account.name)
        if "websocket" not in holder.permissions or (holder.ip and holder.ip != connection.remote):
            return "Unauthorized - Invalid Request"
        connection.account = holder
        return None

    def _join(self, connection: Connection, body: Json) -> None:
        channel, event = str(body.get("channel")), str(body.get("event"))
        joins = body.get("join") is True
        known = channel in ("ticker", "trade", "orderbook", "obdiff") and (
            event in self.venue.pairs or (channel, event) == ("ticker", "all")
        )
        message = f"{'join' if joins else 'leave'}|{channel}:{event}"
        connection.send(100, {"type": 100, "ok": known, "id": 0, "message": message})
        if not known:
            return
        if not joins:
            connection.joined.pop((channel, event), None)
            return
        connection.joined[(channel, event)] = self._clock.now()
        if channel == "trade":
            rows = [self._trade_row(trade) for trade in self.venue.recent(event)]
            connection.send(421, {"channel": channel, "event": event, "type": 421, "symbol": event, "items": rows})
        else:
            self._snapshot(connection, channel, event)

    # -- private events ------------------------------------------------------------------------------------------

    def _tell(self, account: str, number: int, body: Json, symbol: str = "", client_id: str = "") -> None:
        facts = {"exchange": "btcturk", "account": account, "symbol": symbol, "client_order_id": client_id}
        for connection in self.connections.values():
            if connection.account is not None and connection.account.name == account:
                fault = self._faults.take_event(str(number), facts) if self._faults.ordered else None
                connection.deliver(number, body, fault)

    def _on_order(self, event: OrderEvent) -> None:
        if not self.connections:
            return
        order = cast(TurkOrder, event.order)
        tell = [(451, self._order_body(451, order))] if event.kind == "NEW" else []
        if event.trade is not None:
            trade, rules = cast(TurkTrade, event.trade), self.venue.pairs[order.symbol]
            tell.append((441, self._match_body(trade, order)))
            tell.append((423, views.transaction(trade, rules, order.client_order_id)))
        elif event.kind in ("CANCELED", "EXPIRED"):
            tell.append((452, self._order_body(452, order)))
        if event.trade is not None and order.status is Status.FILLED and self.venue.settings.delete_on_fill:
            tell.append((452, self._order_body(452, order)))
        for number, body in tell:
            self._tell(order.account, number, body, order.symbol, order.client_order_id)

    def _on_balance(self, event: BalanceEvent) -> None:
        if not self.connections:
            return
        account = self.venue.holder(event.account.name)
        payload = {
            asset: {
                "free": views.plain(account.balance(asset).free),
                "locked": views.plain(account.balance(asset).locked),
            }
            for asset in event.assets
        }
        self._tell(account.name, 201, {"type": 201, "userId": account.uid, "payload": payload})

    def _order_body(self, number: int, order: TurkOrder) -> Json:
        """451 and 452; no time in either."""
        rules, account = self.venue.pairs[order.symbol], self.venue.holder(order.account)
        rate = account.taker_fee * (1 + account.tax_rate)
        price = order.price or order.stop_price or self.venue.markets[order.symbol].last
        sign = 1 if order.side is Side.BUY else -1
        return {
            "type": number,
            "pairId": rules.id,
            "symbol": rules.symbol,
            "id": order.order_id,
            "method": METHODS[order.method],
            "userId": account.uid,
            "orderType": 0 if order.side is Side.BUY else 1,
            "price": views.scaled(price, rules.price_scale),
            "amount": views.scaled(order.quantity, rules.numerator_scale),
            "numLeft": views.scaled(order.leaves, rules.numerator_scale),
            "denomLeft": views.plain(price * order.leaves * (1 + sign * rate)),
            "newOrderClientId": order.client_order_id,
        }

    def _match_body(self, trade: TurkTrade, order: TurkOrder) -> Json:
        """441: one match, without an id of its own."""
        rules = self.venue.pairs[order.symbol]
        return {
            "type": 441,
            "id": order.order_id,
            "user": self.venue.holder(order.account).uid,
            "isBid": order.side is Side.BUY,
            "method": METHODS[order.method],
            "pair": rules.id,
            "symbol": rules.symbol,
            "amount": views.scaled(trade.quantity, rules.numerator_scale),
            "price": views.scaled(trade.price, rules.price_scale),
            "clientId": order.client_order_id,
            "timestamp": trade.time,
        }

    # -- public channels -----------------------------------------------------------------------------------------

    def beat(self) -> None:
        """Tell what has changed: book differences at once, books and tickers every second."""
        now = self._clock.now()
        for connection in self.connections.values():
            if connection.mute:
                continue
            for (channel, event), last in list(connection.joined.items()):
                if channel == "obdiff":
                    self._difference(connection, event)
                elif channel != "trade" and now - last >= SNAPSHOT_MS:
                    connection.joined[(channel, event)] = now
                    self._snapshot(connection, channel, event)

    def _snapshot(self, connection: Connection, channel: str, event: str) -> None:
        about = {"channel": channel, "event": event}
        if (channel, event) == ("ticker", "all"):
            rows = [self._ticker_row(rules) for rules in self.venue.pairs.values()]
            connection.send(401, {**about, "type": 401, "items": rows})
        elif channel == "ticker":
            connection.send(402, {**about, "type": 402, **self._ticker_row(self.venue.pairs[event])})
        else:
            book = self.venue.markets[event].book
            if channel == "obdiff":
                connection.books[event] = (dict(book.asks()), dict(book.bids()))
            body = {"CS": self._next_change(), "PS": event, "AO": _rows(book.asks()), "BO": _rows(book.bids())}
            facts = {"exchange": "btcturk", "symbol": event}
            fault = self._faults.take_market("431", facts) if self._faults.ordered else None
            connection.deliver(431, {**about, "type": 431, **body}, fault)

    def _next_change(self) -> int:
        """The number of a book message; numbers are not contiguous."""
        self._change_set += self._random.randint(1, 4)
        return self._change_set

    def _difference(self, connection: Connection, pair: str) -> None:
        book = self.venue.markets[pair].book
        known, now = connection.books[pair], (dict(book.asks()), dict(book.bids()))
        if known == now:
            return
        connection.books[pair] = now
        asks, bids = (_changes(before, after) for before, after in zip(known, now, strict=True))
        body = {"CS": self._next_change(), "PS": pair, "AO": asks, "BO": bids}
        connection.send(432, {"channel": "obdiff", "event": pair, "type": 432, **body})

    def _on_trade(self, trade: PublicTrade) -> None:
        for connection in self.connections.values():
            if ("trade", trade.symbol) in connection.joined:
                about = {"channel": "trade", "event": trade.symbol, "type": 422, "PS": trade.symbol}
                connection.send(422, {**about, **self._trade_row(trade)})

    @staticmethod
    def _trade_row(trade: PublicTrade) -> Json:
        return {
            "D": str(trade.time),
            "I": str(trade.id),
            "A": f"{trade.quantity:.10f}",
            "P": f"{trade.price:.10f}",
            "S": 1 if trade.side is Side.BUY else 0,
        }

    def _ticker_row(self, rules: PairRules) -> Json:
        market = self.venue.markets[rules.symbol]
        row = views.ticker(market, rules, ZERO, self._clock.now())
        bids, asks = market.book.bids(), market.book.asks()
        names = {"B": "bid", "A": "ask", "H": "high", "L": "low", "LA": "last", "O": "open", "V": "volume"}
        names.update(AV="average", D="daily", DP="dailyPercent")
        return {
            **{short: views.plain(row[name]) for short, name in names.items()},
            "BA": views.plain(bids[0][1]) if bids else "0",
            "AA": views.plain(asks[0][1]) if asks else "0",
            "PS": rules.symbol,
            "NS": rules.base,
            "DS": rules.quote,
            "PId": rules.id,
            "Ord": rules.listed_order,
        }


def _frame(number: int, body: Json) -> str:
    return f"[{number},{views.encode(body)}]"


def _rows(levels: list[Level]) -> list[Json]:
    return [{"A": views.plain(size), "P": views.plain(price)} for price, size in levels]


def _changes(before: dict[Decimal, Decimal], after: dict[Decimal, Decimal]) -> list[Json]:
    """Rows of a difference: levels that are new, changed or gone."""
    rows = [
        {"CP": CHANGED if price in before else NEW, "P": views.plain(price), "A": views.plain(size)}
        for price, size in after.items()
        if before.get(price) != size
    ]
    return rows + [{"CP": REMOVED, "P": views.plain(price), "A": "0"} for price in before if price not in after]
