"""The WebSocket API `/ws-api/v3`: requests, sessions, user data subscriptions, pings and their faults.

Requests are carried out by the same endpoints as over REST; only what is signed differs (docs/binance.md §1.3, §7).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import WSMsgType, web

from exchanges.simulator import binance_events as events
from exchanges.simulator import signatures
from exchanges.simulator.accounts import Account
from exchanges.simulator.binance import BinanceFace
from exchanges.simulator.binance_calls import Answer, Endpoint, Request
from exchanges.simulator.binance_params import ANY, INTEGER, SIGNING, BinanceError, Call
from exchanges.simulator.clock import Clock
from exchanges.simulator.faults import Fault, Faults
from exchanges.simulator.limits import RAW_WINDOW_MS, Window
from exchanges.simulator.streaming import Out, Stream
from exchanges.simulator.venue import BalanceEvent, OrderEvent

PATH = "/ws-api/v3"
CONNECT_WEIGHT = 2
MAX_CONNECTIONS = 300
"""Attempts to connect in five minutes."""
MAX_ID = 36
"""Characters of a request's id."""
MAX_SUBSCRIPTIONS = 65_535
"""Subscriptions that one connection may ever have had."""

REST_CALLS = {
    "ping": "GET ping",
    "time": "GET time",
    "exchangeInfo": "GET exchangeInfo",
    "depth": "GET depth",
    "ticker.price": "GET ticker/price",
    "ticker.book": "GET ticker/bookTicker",
    "avgPrice": "GET avgPrice",
    "order.place": "POST order",
    "order.test": "POST order/test",
    "order.cancel": "DELETE order",
    "order.cancelReplace": "POST order/cancelReplace",
    "order.amend.keepPriority": "PUT order/amend/keepPriority",
    "order.amendments": "GET order/amendments",
    "order.status": "GET order",
    "openOrders.status": "GET openOrders",
    "openOrders.cancelAll": "DELETE openOrders",
    "allOrders": "GET allOrders",
    "myTrades": "GET myTrades",
    "account.status": "GET account",
    "account.commission": "GET account/commission",
    "account.rateLimits.orders": "GET rateLimit/order",
}
"""Methods that do what a REST call does."""


@dataclass(slots=True)
class SocketSettings:
    """How often the server pings, how long it waits for the pong, how long a connection lives; all in ms."""

    ping_ms: int = 20_000
    pong_timeout_ms: int = 60_000
    max_age_ms: int = 86_400_000


@dataclass(slots=True, frozen=True)
class _Subscription:
    account: Account
    by_session: bool


class Connection(Stream):
    """One connection: its session and its subscriptions."""

    def __init__(self, hub: Sockets, identity: int, query: dict[str, str], now: int) -> None:
        super().__init__(identity)
        self.unit = query.get("timeUnit", "MILLISECOND").upper()
        self.shows_limits = query.get("returnRateLimits") != "false"
        self.account: Account | None = None
        self.subscriptions: dict[int, _Subscription] = {}
        self._hub = hub
        self._connected = self._ponged = now
        self._authorised = 0
        self._next = 0
        self._methods = self._own_methods()

    @property
    def scale(self) -> int:
        """Factor from ms to the time unit of events."""
        return 1000 if self.unit == "MICROSECOND" else 1

    async def _read(self) -> None:
        async for message in self._socket:
            if message.type is WSMsgType.TEXT:
                await self._socket.send_str(self._answer(message.data))
            elif message.type is WSMsgType.PONG:
                self._ponged = self._hub.clock.now()
            elif message.type is WSMsgType.PING and not self.mute:
                await self._socket.pong(message.data)

    def deliver(self, number: int, event: events.Json, fault: Fault | None) -> None:
        """Send one event of a subscription, or let it go wrong the way the fault says."""
        self.put_event(_encode({"subscriptionId": number, "event": event}), fault)

    def terminate(self, numbers: Iterable[int]) -> None:
        """End subscriptions and tell the client so."""
        for number in list(numbers):
            del self.subscriptions[number]
            event = events.stream_terminated(self._hub.clock.now(), self.scale)
            self.put(Out(_encode({"subscriptionId": number, "event": event})))

    def view(self) -> events.Json:
        """The connection as the control API shows it."""
        return {
            "id": self.id,
            "session": self.account.name if self.account is not None else None,
            "subscriptions": {str(number): each.account.name for number, each in self.subscriptions.items()},
        }

    async def _ping(self) -> None:
        """Ping on time; returns when the client has been quiet or connected for too long."""
        while True:
            settings = self._hub.settings
            await asyncio.sleep(min(settings.ping_ms, settings.max_age_ms) / 1000)
            now = self._hub.clock.now()
            if now - self._ponged > settings.pong_timeout_ms or now - self._connected >= settings.max_age_ms:
                return
            if not self.mute:
                await self._socket.ping(str(now).encode())

    # -- requests ------------------------------------------------------------------------------------------------

    def _answer(self, text: str) -> str:
        """Carry out one request; never raises for what a client may send."""
        identity: int | str | None = None
        try:
            document = json.loads(text)
            identity, method = document.get("id"), document.get("method")
            # Numbers as they were written: that is what was signed.
            params = json.loads(text, parse_float=str, parse_int=str).get("params") or {}
            if not (identity is None or isinstance(identity, str | int)) or len(str(identity)) > MAX_ID:
                identity = None
                raise TypeError
            if not isinstance(method, str) or not isinstance(params, dict):
                raise TypeError
            params = {name: _plain(value) for name, value in params.items()}
        except (ValueError, TypeError, AttributeError):
            return self._worded(identity, self._refused(BinanceError(-1135, "Invalid JSON Request")), shows=False)
        shows = self.shows_limits and params.get("returnRateLimits") != "false"
        answer, places = self._carry_out(method, params)
        return self._worded(identity, answer, shows=shows, places=places)

    def _refused(self, error: BinanceError) -> Answer:
        return self._hub.face.error(error, self._hub.clock.now(), 1)

    def _carry_out(self, method: str, params: dict[str, str]) -> tuple[Answer, Account | None]:
        """The answer, and the account whose order counts belong into it."""
        call = self._call(method, params)
        endpoint = self._methods.get(method) or self._hub.face.endpoint(call)
        if endpoint is None:
            return self._refused(BinanceError(-1020, "This operation is not supported.")), None
        self._hub.face.venue.note_call(f"WS {method}")
        if call.logged_on:
            endpoint = replace(endpoint, spec={**endpoint.spec, "signature": (ANY, False)})
        answer = self._hub.answer(call, endpoint)
        owner = self._hub.face.venue.by_key.get(call.api_key or "") if endpoint.places else None
        return answer, owner

    def _call(self, method: str, params: dict[str, str]) -> Call:
        message = signatures.websocket_payload(params)
        logged_on = self.account is not None and "signature" not in params and "apiKey" not in params
        verb, _, path = REST_CALLS.get(method, f"WS {method}").partition(" ")
        known = {name: value for name, value in params.items() if name not in ("apiKey", "returnRateLimits")}
        return Call(
            method=verb,
            path=path if verb == "WS" else f"/api/v3/{path}",
            raw_query=b"",
            raw_body=b"",
            api_key=self.account.api_key if self.account is not None and logged_on else params.get("apiKey"),
            time_unit=self.unit,
            params=known,
            sent=len(known),
            duplicate=False,
            message=message,
            logged_on=logged_on,
        )

    def _worded(self, identity: int | str | None, answer: Answer, *, shows: bool, places: Account | None = None) -> str:
        body = json.loads(answer.body)
        document: events.Json = {"id": identity, "status": answer.status}
        if answer.status == 200:
            document["result"] = body
        else:
            wait = answer.headers.get("Retry-After")
            if wait is not None:
                now = self._hub.clock.now()
                body.setdefault("data", {"serverTime": now, "retryAfter": now + int(wait) * 1000})
            document["error"] = body
        if shows:
            document["rateLimits"] = self._hub.rate_limits(places)
        return _encode(document)

    # -- session and subscriptions -------------------------------------------------------------------------------

    def _own_methods(self) -> dict[str, Endpoint]:
        def plain(run: Callable[[Request], Any], **spec: Any) -> Endpoint:
            return Endpoint(run, spec, lambda call: 2)

        def signed(run: Callable[[Request], Any]) -> Endpoint:
            return Endpoint(run, dict(SIGNING), lambda call: 2, signed=True)

        return {
            "session.logon": signed(self._logon),
            "session.status": plain(lambda request: self._session()),
            "session.logout": plain(self._logout),
            "session.subscriptions": plain(
                lambda request: [{"subscriptionId": number} for number in self.subscriptions]
            ),
            "userDataStream.subscribe": plain(self._subscribe_session),
            "userDataStream.subscribe.signature": signed(self._subscribe_signed),
            "userDataStream.unsubscribe": plain(self._unsubscribe, subscriptionId=(INTEGER, False)),
        }

    def _session(self) -> events.Json:
        account = self.account
        return {
            "apiKey": account.api_key if account is not None else None,
            "authorizedSince": self._authorised * self.scale if account is not None else None,
            "connectedSince": self._connected * self.scale,
            "returnRateLimits": self.shows_limits,
            "serverTime": self._hub.clock.now() * self.scale,
            "userDataStream": bool(self.subscriptions),
        }

    def _logon(self, request: Request) -> Any:
        kind = signatures.key_kind(request.owner.public_key)
        if kind != "ED25519":
            name = "HMAC_SHA256" if kind == "HMAC" else kind
            raise BinanceError(-4056, f"{name} API key is not supported.")
        self.account, self._authorised = request.owner, request.now
        return self._session()

    def _logout(self, request: Request) -> Any:
        self.account = None
        self.terminate([number for number, each in self.subscriptions.items() if each.by_session])
        return self._session()

    def _subscribe_session(self, request: Request) -> Any:
        if self.account is None:
            raise BinanceError(-1002, "You are not authorized to execute this request.", 401)
        return self._subscribe(self.account, by_session=True)

    def _subscribe_signed(self, request: Request) -> Any:
        return self._subscribe(request.owner, by_session=False)

    def _subscribe(self, account: Account, *, by_session: bool) -> Any:
        if any(each.account is account for each in self.subscriptions.values()):
            raise BinanceError(-2035, "User Data Stream subscription already active.")
        if self._next >= MAX_SUBSCRIPTIONS:
            raise BinanceError(-2042, "Subscription ID space is used up; reconnect.")
        number, self._next = self._next, self._next + 1
        self.subscriptions[number] = _Subscription(account, by_session)
        return {"subscriptionId": number}

    def _unsubscribe(self, request: Request) -> Any:
        text = request.params.get("subscriptionId")
        numbers = list(self.subscriptions) if text is None else [int(text)]
        if not numbers or not set(numbers) <= set(self.subscriptions):
            raise BinanceError(-2036, "User Data Stream subscription not active.")
        self.terminate(numbers)
        return {}


class Sockets:
    """All WebSocket API connections, and the way from what happens at the venue to their subscriptions."""

    def __init__(
        self, face: BinanceFace, faults: Faults, clock: Clock, answer: Callable[[Call, Endpoint], Answer]
    ) -> None:
        self.face = face
        self.clock = clock
        self.answer = answer
        self.settings = SocketSettings()
        self.connections: dict[int, Connection] = {}
        self._faults = faults
        self._ids = 0
        self._attempts = Window(RAW_WINDOW_MS)
        face.venue.listeners.append(self._on_order)
        face.venue.balance_listeners.append(self._on_balance)

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Take one connection and keep it."""
        now = self.clock.now()
        self._attempts.add(now, 1)
        if self._attempts.count > MAX_CONNECTIONS:
            return web.Response(status=429)
        if self.face.limits.banned_until > now:
            return web.Response(status=418)
        self.face.limits.weight.add(now, CONNECT_WEIGHT)
        self._ids += 1
        connection = Connection(self, self._ids, dict(request.query), now)
        self.connections[connection.id] = connection
        try:
            return await connection.run(request)
        finally:
            del self.connections[connection.id]

    def reset(self) -> None:
        """Back to the defaults; connections stay, their sessions and subscriptions end with the accounts."""
        self.settings = SocketSettings()
        self._attempts = Window(RAW_WINDOW_MS)
        for connection in self.connections.values():
            connection.account = None
            connection.subscriptions.clear()
            connection.mute = False

    def chosen(self, account: str | None) -> list[Connection]:
        """Connections that serve an account; all for None."""
        return [
            connection
            for connection in self.connections.values()
            if account is None
            or (connection.account is not None and connection.account.name == account)
            or any(each.account.name == account for each in connection.subscriptions.values())
        ]

    def disconnect(self, account: str | None, *, reset: bool) -> int:
        """End connections after what is already on its way; how many."""
        chosen = self.chosen(account)
        for connection in chosen:
            connection.end(reset=reset)
        return len(chosen)

    def shut_down(self, account: str | None, ms: int) -> int:
        """Announce the end with serverShutdown, and end the connections `ms` later; how many."""
        chosen = self.chosen(account)
        for connection in chosen:
            event = events.server_shutdown(self.clock.now(), connection.scale)
            connection.put(Out(_encode({"event": event})))
            connection.put(Out(delay_ms=ms, ends=True))
        return len(chosen)

    def terminate(self, account: str) -> int:
        """End the account's subscriptions, as when its key is revoked; how many."""
        ended = 0
        for connection in self.connections.values():
            numbers = [number for number, each in connection.subscriptions.items() if each.account.name == account]
            connection.terminate(numbers)
            ended += len(numbers)
        return ended

    def rate_limits(self, account: Account | None) -> list[events.Json]:
        """What a reply shows of the limits: the weight, and the order counts of a placing account."""
        limits, now = self.face.limits, self.clock.now()
        rows = [("REQUEST_WEIGHT", "MINUTE", 1, limits.settings.request_weight, limits.weight.at(now))]
        if account is not None:
            seconds, day = limits.orders(account.name)
            rows.append(("ORDERS", "SECOND", 10, limits.settings.orders_10s, seconds.at(now)))
            rows.append(("ORDERS", "DAY", 1, limits.settings.orders_1d, day.at(now)))
        names = ("rateLimitType", "interval", "intervalNum", "limit", "count")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _subscribed(self, account: str) -> list[tuple[Connection, int]]:
        return [
            (connection, number)
            for connection in self.connections.values()
            for number, each in connection.subscriptions.items()
            if each.account.name == account
        ]

    def _on_order(self, event: OrderEvent) -> None:
        if not self.connections:
            return
        order = event.order
        facts = {"symbol": order.symbol, "client_order_id": order.client_order_id}
        for connection, number in self._subscribed(order.account):
            self._deliver(connection, number, events.execution_report(event, connection.scale), order.account, facts)

    def _on_balance(self, event: BalanceEvent) -> None:
        if not self.connections:
            return
        for connection, number in self._subscribed(event.account.name):
            for asset, amount in event.transfers:
                update = events.balance_update(asset, amount, event.time, connection.scale)
                self._deliver(connection, number, update, event.account.name, {})
            position = events.account_position(event, connection.scale)
            self._deliver(connection, number, position, event.account.name, {})

    def _deliver(
        self, connection: Connection, number: int, event: events.Json, account: str, facts: dict[str, str]
    ) -> None:
        fault = None
        if self._faults.ordered:
            fault = self._faults.take_event(event["e"], {"exchange": "binance", "account": account, **facts})
        connection.deliver(number, event, fault)


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False).encode


def _plain(value: Any) -> str:
    """A JSON value as the text that was signed for it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return _encode(value)
    raise TypeError("no parameter")
