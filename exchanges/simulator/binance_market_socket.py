"""The market streams of `/stream`: subscriptions, books once a second, best prices, and their faults.

Every message is wrapped in its stream's name; streams may also stand in the address. Offered are
`<symbol>@depth<5|10|20>`, the same with `@1000ms` or `@100ms` (all come once a second here), `<symbol>@bookTicker`,
which comes when it has changed, and `<symbol>@trade`, which comes with every trade. The exchange's `/ws`, which does
not wrap, is BTCTurk's here.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

from aiohttp import WSMsgType, web

from exchanges.matching import Side
from exchanges.simulator.binance_views import dec
from exchanges.simulator.clock import Clock
from exchanges.simulator.faults import Faults
from exchanges.simulator.streaming import Out, Stream
from exchanges.simulator.venue import PublicTrade, Venue

PATH = "/stream"
EVERY_MS = 1000
PING_SECONDS = 20.0
MAX_STREAMS = 1024

_NAME = re.compile(r"([^@/]+)@(depth(5|10|20)(@1000ms|@100ms)?|bookTicker|trade)")


class MarketConnection(Stream):
    """One client and the streams that it has subscribed to."""

    def __init__(self, markets: MarketSockets, identity: int, names: list[str]) -> None:
        super().__init__(identity)
        self.told: dict[str, tuple[int, Any]] = {}
        """Stream to the time it last came (epoch ms; 0: not yet) and what it said."""
        self._markets = markets
        for name in names:
            self.told[name] = (0, None)

    def view(self) -> dict[str, Any]:
        """The connection as the control API shows it."""
        return {"id": self.id, "market": sorted(self.told)}

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type is WSMsgType.TEXT:
                self.put(Out(self._answer(message.data)))
            elif message.type is WSMsgType.PING and not self.mute:
                await self._socket.pong(message.data)

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_SECONDS)
            if not self.mute:
                await self._socket.ping(b"binance")

    def _answer(self, text: str) -> str:
        try:
            document = json.loads(text)
            identity, method, params = document.get("id"), document.get("method"), document.get("params", [])
        except (ValueError, AttributeError):
            return _encode({"error": {"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"}})
        if method == "LIST_SUBSCRIPTIONS":
            return _encode({"result": sorted(self.told), "id": identity})
        known = isinstance(params, list) and all(
            isinstance(name, str) and self._markets.offers(name) for name in params
        )
        if method not in ("SUBSCRIBE", "UNSUBSCRIBE") or not known or len(self.told) + len(params) > MAX_STREAMS:
            return _encode({"error": {"code": 2, "msg": "Invalid request"}, "id": identity})
        for name in params:
            if method == "SUBSCRIBE":
                self.told.setdefault(name, (0, None))
            else:
                self.told.pop(name, None)
        return _encode({"result": None, "id": identity})


class MarketSockets:
    """All market connections, and what they are told."""

    def __init__(self, venue: Venue, faults: Faults, clock: Clock) -> None:
        self.connections: dict[int, MarketConnection] = {}
        self._venue = venue
        self._faults = faults
        self._clock = clock
        self._ids = 0
        venue.trade_listeners.append(self._on_trade)

    def offers(self, name: str) -> bool:
        """Whether there is such a stream. An unknown symbol's is accepted by the exchange, and never comes."""
        return _NAME.fullmatch(name) is not None

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Take one connection and keep it."""
        if not web.WebSocketResponse().can_prepare(request).ok:
            return web.Response(status=400)
        named = [name for name in request.query.get("streams", "").split("/") if name]
        self._ids += 1
        connection = MarketConnection(self, self._ids, named)
        self.connections[connection.id] = connection
        try:
            return await connection.run(request)
        finally:
            del self.connections[connection.id]

    def reset(self) -> None:
        """Connections stay and hear again."""
        for connection in self.connections.values():
            connection.mute = False

    def disconnect(self, *, reset: bool) -> int:
        """End every connection; how many."""
        for connection in self.connections.values():
            connection.end(reset=reset)
        return len(self.connections)

    def beat(self) -> None:
        """Tell what is due."""
        now = self._clock.now()
        for connection in self.connections.values():
            if connection.mute:
                continue
            for name, (at, before) in list(connection.told.items()):
                found = _NAME.fullmatch(name)
                market = self._venue.markets.get(found[1].upper()) if found else None
                if found is None or market is None or found[2] == "trade":
                    continue
                ticker = found[2] == "bookTicker"
                if not ticker and now - at < EVERY_MS:
                    continue
                bids, asks = market.book.bids(), market.book.asks()
                body = _ticker(found[1].upper(), bids, asks) if ticker else _depth(int(found[3]), bids, asks)
                if ticker and body == before:
                    continue
                connection.told[name] = (now, body)
                self._tell(connection, name, found, {**body, "u" if ticker else "lastUpdateId": now})

    def _on_trade(self, trade: PublicTrade) -> None:
        """Tell of a trade at once; `m`: the buyer was the one who waited."""
        name = f"{trade.symbol.lower()}@trade"
        found = _NAME.fullmatch(name)
        body = {
            "e": "trade",
            "E": trade.time,
            "s": trade.symbol,
            "t": trade.id,
            "p": dec(trade.price),
            "q": dec(trade.quantity),
            "T": trade.time,
            "m": trade.side is Side.SELL,
            "M": True,
        }
        for connection in self.connections.values():
            if found is not None and name in connection.told and not connection.mute:
                self._tell(connection, name, found, body)

    def _tell(self, connection: MarketConnection, name: str, found: re.Match[str], body: dict[str, Any]) -> None:
        fault = None
        if self._faults.ordered:
            kind = found[2] if found[2] in ("bookTicker", "trade") else "depth"
            fault = self._faults.take_market(kind, {"exchange": "binance", "symbol": found[1].upper()})
        connection.put_event(_encode({"stream": name, "data": body}), fault)


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False).encode


def _depth(levels: int, bids: list[Any], asks: list[Any]) -> dict[str, Any]:
    def rows(side: list[Any]) -> list[list[str]]:
        return [[dec(price), dec(size)] for price, size in side[:levels]]

    return {"bids": rows(bids), "asks": rows(asks)}


def _ticker(symbol: str, bids: list[Any], asks: list[Any]) -> dict[str, Any]:
    (bid, bid_size), (ask, ask_size) = (
        [dec(part) for part in side[0]] if side else ["0", "0"] for side in (bids, asks)
    )
    return {"s": symbol, "b": bid, "B": bid_size, "a": ask, "A": ask_size}
