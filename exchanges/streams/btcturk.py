"""BTCTurk: login and private events, and full books of pairs, over the same kind of socket (docs/btcturk.md §6)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
from collections.abc import Collection
from typing import Any

from exchanges.adapters import Credentials
from exchanges.http.decoding import Unparsable, decode, record
from exchanges.streams import btcturk_events
from exchanges.streams.books import BookTalk, EmitTrade, into_the_void
from exchanges.streams.talk import BalancesMoved, Emit, Look, Refused, Reports, Talk, Terminated, UnknownOnce
from execution_project.common import clock

log = logging.getLogger(__name__)

HEARTBEAT = "BTCTRY"
"""A pair whose ticker never rests, joined by private connections: without it a stalled feed would look like calm."""
NONCES = ("3000", "timestamp")
"""How the nonce of the login is chosen; the exchange's word on it has drifted, so both are tried in turn."""
BOOKS, TRADES = "orderbook", "trade"
_WITHOUT_MEANING = frozenset({100, 114, 401, 402, 421, 422, 801, 991})
_BALANCES = frozenset({200, 201})
_LOOKS = {441: "a match", 452: "an order is gone", 453: "an order was edited"}
_LOGGED_OUT = 802


def _frame(text: str) -> tuple[int, dict[str, Any]]:
    document = decode(text.encode())
    if not isinstance(document, list) or len(document) != 2 or not isinstance(document[0], int):
        raise Unparsable("not a pair of a type and an object")
    return document[0], record(document[1])


def signature(credentials: Credentials, nonce: int) -> str:
    """Of a login: over key and nonce. Raises ``ValueError`` for a secret that is not base64, without showing it."""
    try:
        secret = base64.b64decode(credentials.secret, validate=True)
    except ValueError:
        secret = b""
    if not secret:
        raise ValueError("a secret must be base64")  # outside the handler: the decoder's error may hold the text
    digest = hmac.digest(secret, f"{credentials.key}{nonce}".encode(), hashlib.sha256)
    return base64.b64encode(digest).decode("ascii")


class _BtcturkTalk(Talk):
    """Joins and their answers."""

    async def join(self, channel: str, pair: str, *, joins: bool = True) -> None:
        """Join or leave a channel of a pair. Raises ``Refused``."""
        body = {"type": 151, "channel": channel, "event": pair, "join": joins}
        name = f"{'join' if joins else 'leave'}|{channel}:{pair}"
        reply = await self.ask(name, [151, body])
        if reply.get("ok") is not True:
            raise Refused(f"{name} refused")


class BtcturkPrivate(_BtcturkTalk):
    """One account's private events."""

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        stamp_ms: int,
        *,
        nonce: str = NONCES[0],
        emit: Emit,
        unknown: UnknownOnce,
    ) -> None:
        """``nonce`` is one of ``NONCES``. Raises ``ValueError`` on an unusable secret."""
        self._stamp_ms = stamp_ms
        self._nonce = stamp_ms if nonce == "timestamp" else int(nonce)
        self._signature = signature(credentials, self._nonce)
        super().__init__(url, ipv4_only=True, secrets=(credentials.secret, credentials.key, self._signature))
        self._key = credentials.key
        self._emit = emit
        self._unknown = unknown

    async def begin(self) -> None:
        """Log in, and join the ticker that shows whether the feed lives."""
        login = {
            "type": 114,
            "publicKey": self._key,
            "timestamp": self._stamp_ms,
            "nonce": self._nonce,
            "signature": self._signature,
        }
        reply = await self.ask("login", [114, login])
        if reply.get("ok") is not True:
            raise Refused(self.shown(f"login refused: {str(reply.get('message'))[:200]}"))
        try:
            await self.join("ticker", HEARTBEAT)
            self.expects_data = True
        except Refused:
            self.expects_data = False  # pings alone tell then whether the connection lives

    def hear(self, text: str) -> None:
        """Private events come without a join."""
        number, body = _frame(text)
        if number == 114:
            self.answer("login", body)
        elif number == 100:
            self.answer(str(body.get("message")), body)
        elif number not in _WITHOUT_MEANING:
            self.event_on = heard_at = clock.now()
            if number == 423:
                self._emit(Reports((btcturk_events.user_trade(body),)))
            elif number == 451:
                self._emit(Reports((btcturk_events.order_inserted(body, heard_at),)))
            elif number in _LOOKS:
                self._emit(Look(_LOOKS[number]))
            elif number in _BALANCES:
                self._emit(BalancesMoved())
            elif number == _LOGGED_OUT:
                # Nothing private comes from here on: what happens until the next login is a gap.
                raise Terminated("the exchange has logged the account out")
            else:
                self._unknown.note("btcturk", str(number))

    def missed(self, error: Unparsable) -> None:
        """What could not be read may have been a fill."""
        super().missed(error)
        self._emit(Look("an event that cannot be read", gap=True))


class BtcturkMarket(BookTalk, _BtcturkTalk):
    """The best 20 levels of pairs, at most once a second each, and every trade of those whose trades are wanted."""

    def __init__(
        self,
        url: str,
        symbols: Collection[str],
        traded: Collection[str] = (),
        *,
        unknown: UnknownOnce,
        emit: EmitTrade = into_the_void,
    ) -> None:
        super().__init__(url, ipv4_only=True, emit=emit)
        self._wanted = _channels_of(symbols, traded)
        self._unknown = unknown
        self._joined = 0

    async def begin(self) -> None:
        """Join every channel wanted so far."""
        await self._join_all(self._wanted)

    async def _join_all(self, wanted: Collection[tuple[str, str]]) -> None:
        """A pair that cannot be joined goes without a book on this connection; polling brings its price."""
        for channel, symbol in sorted(wanted):
            try:
                await self.join(channel, symbol)
            except Refused as refusal:
                log.warning("btcturk market stream: %s", refusal)
            else:
                self._joined += channel == BOOKS
        self.expects_data = self._joined > 0

    async def want(self, symbols: Collection[str], traded: Collection[str] = ()) -> None:
        """Change what is joined."""
        before, self._wanted = self._wanted, _channels_of(symbols, traded)
        for symbol in set(self.books) - set(symbols):
            del self.books[symbol]
        for channel, symbol in sorted(before - self._wanted):
            await self.join(channel, symbol, joins=False)
        await self._join_all(self._wanted - before)

    def hear(self, text: str) -> None:
        """Books, trades, and answers to joins."""
        number, body = _frame(text)
        if number == 100:
            self.answer(str(body.get("message")), body)
        elif number == 431:
            book = btcturk_events.full_book(body)
            if (BOOKS, book.symbol) in self._wanted:
                self.note_book(book)
        elif number == 422:
            self._hear_trade(body)
        elif number == _LOGGED_OUT:
            self.over.set()
        elif number not in _WITHOUT_MEANING:
            self._unknown.note("btcturk market", str(number))

    def _hear_trade(self, body: dict[str, Any]) -> None:
        book = self.books.get(str(body.get("PS")))
        trade = btcturk_events.public_trade(body, None if book is None else book.depth)
        if trade is not None and (TRADES, trade.symbol) in self._wanted:
            self.note_trade(trade)


def _channels_of(symbols: Collection[str], traded: Collection[str]) -> set[tuple[str, str]]:
    return {(BOOKS, symbol) for symbol in symbols} | {(TRADES, symbol) for symbol in traded}
