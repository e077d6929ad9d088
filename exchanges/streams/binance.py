"""Binance: the user data stream over the WebSocket API, and the books of the market stream (docs/binance.md §7)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from exchanges.adapters import Credentials
from exchanges.binance import parsing
from exchanges.binance.signing import signed_for_websocket, signer_for
from exchanges.http.decoding import Unparsable, decode, record
from exchanges.streams import binance_events
from exchanges.streams.books import BookTalk, EmitTrade, into_the_void
from exchanges.streams.talk import BalancesMoved, Emit, Look, Refused, Reports, Talk, Terminated, UnknownOnce
from execution_project.common import clock

DEPTH = "depth20@1000ms"
TRADES = "trade"
_SUBSCRIBE = "userDataStream.subscribe.signature"
_BALANCES = frozenset({"outboundAccountPosition", "balanceUpdate", "externalLockUpdate"})
_WITHOUT_MEANING = frozenset({"listStatus"})  # order lists are not placed here; their orders report for themselves


def market_url(ws_url: str) -> str:
    """Where the market streams of the same environment are: the host's ``ws-api`` is ``stream``, its path ``/stream``.

    A host that is not named like that serves both (the simulator).
    """
    parts = urlsplit(ws_url)
    head, dot, rest = parts.netloc.partition(".")
    if head in {"ws-api", "demo-ws-api"}:
        head = head.replace("ws-api", "stream")
    return urlunsplit((parts.scheme, f"{head}{dot}{rest}", "/stream", "", ""))


class BinancePrivate(Talk):
    """One account's user data stream, subscribed to by signature: any kind of key, no session."""

    def __init__(self, url: str, credentials: Credentials, stamp_ms: int, *, emit: Emit, unknown: UnknownOnce) -> None:
        super().__init__(url, secrets=(credentials.key, *signer_for(credentials.secret).secrets))
        self._credentials = credentials
        self._stamp_ms = stamp_ms
        self._emit = emit
        self._unknown = unknown

    async def begin(self) -> None:
        """Subscribe; the stamp was taken when this conversation was made."""
        signed = signed_for_websocket(self._credentials, {"timestamp": str(self._stamp_ms), "recvWindow": "5000"})
        params: dict[str, Any] = {**signed, "timestamp": self._stamp_ms, "recvWindow": 5000}
        reply = await self.ask(_SUBSCRIBE, {"id": _SUBSCRIBE, "method": _SUBSCRIBE, "params": params})
        if reply.get("status") != 200:
            code, message = parsing.error_in(reply.get("error"))
            raise Refused(self.shown(f"subscription refused: {code} {message}"))

    def hear(self, text: str) -> None:
        """A reply to us, or an event in its envelope."""
        document = record(decode(text.encode()))
        if "event" in document:
            self.event_on = clock.now()
            self._event(record(document["event"]))
        elif document.get("id") is not None:
            self.answer(str(document["id"]), document)
        elif "error" in document:
            raise Terminated(self.shown(f"error without a request: {document['error']}"))

    def missed(self, error: Unparsable) -> None:
        """What could not be read may have been a fill."""
        super().missed(error)
        self._emit(Look("an event that cannot be read", gap=True))

    def _event(self, event: dict[str, Any]) -> None:
        kind = event.get("e")
        if kind == "executionReport":
            self._emit(Reports(binance_events.execution_report(event)))
        elif kind in _BALANCES:
            self._emit(BalancesMoved())
        elif kind == "serverShutdown":
            self.over.set()
        elif kind == "eventStreamTerminated":
            raise Terminated("the exchange ended the subscription")
        elif kind not in _WITHOUT_MEANING:
            self._unknown.note("binance", str(kind))


class BinanceMarket(BookTalk):
    """The best 20 levels of instruments, once a second each, and every trade of those whose trades are wanted."""

    def __init__(
        self,
        url: str,
        symbols: Collection[str],
        traded: Collection[str] = (),
        *,
        unknown: UnknownOnce,
        emit: EmitTrade = into_the_void,
    ) -> None:
        super().__init__(url, emit=emit)
        self._wanted = _streams_of(symbols, traded)
        self._known: dict[str, str] = dict(self._wanted)
        self._requests = 0
        self._unknown = unknown

    async def begin(self) -> None:
        """Subscribe to everything wanted so far."""
        await self._request("SUBSCRIBE", self._wanted)
        self.expects_data = True

    async def want(self, symbols: Collection[str], traded: Collection[str] = ()) -> None:
        """Change what is subscribed to."""
        before, self._wanted = self._wanted, _streams_of(symbols, traded)
        self._known.update(self._wanted)
        for symbol in set(self.books) - set(symbols):
            del self.books[symbol]
        if dropped := before.keys() - self._wanted.keys():
            await self._request("UNSUBSCRIBE", dropped)
        if added := self._wanted.keys() - before.keys():
            await self._request("SUBSCRIBE", added)

    async def _request(self, method: str, names: Collection[str]) -> None:
        self._requests += 1
        number = self._requests
        reply = await self.ask(str(number), {"method": method, "params": sorted(names), "id": number})
        if "error" in reply:
            raise Refused(f"{method} refused: {str(reply['error'])[:200]}")

    def hear(self, text: str) -> None:
        """A reply to us, or a book or a trade in its envelope."""
        document = record(decode(text.encode()))
        if "stream" in document:
            name = str(document["stream"])
            if name not in self._known:
                self._unknown.note("binance market", name)
            elif name in self._wanted and name.endswith(f"@{TRADES}"):
                self.note_trade(parsing.public_trade(document.get("data")))
            elif name in self._wanted:
                self.note_book(parsing.depth(document.get("data"), self._known[name]))
        elif document.get("id") is not None:
            self.answer(str(document["id"]), document)
        elif record(document.get("data", document)).get("e") == "serverShutdown":
            self.over.set()
        else:
            self._unknown.note("binance market", str(document.get("e")))


def _streams_of(symbols: Collection[str], traded: Collection[str]) -> dict[str, str]:
    """Names of the streams to their symbols."""
    books = {f"{symbol.lower()}@{DEPTH}": symbol for symbol in symbols}
    return books | {f"{symbol.lower()}@{TRADES}": symbol for symbol in traded}
