"""The HTTP server: sockets, faults, and the dispatch to the protocol faces and the control API."""

from __future__ import annotations

import asyncio
import json
import logging
from decimal import Decimal
from email.utils import formatdate

from aiohttp import web

from exchanges.simulator.binance import BinanceFace
from exchanges.simulator.binance_calls import Answer, Endpoint, Request
from exchanges.simulator.binance_control import BinanceControl
from exchanges.simulator.binance_market_socket import PATH as MARKET_PATH
from exchanges.simulator.binance_market_socket import MarketSockets
from exchanges.simulator.binance_params import BinanceError, Call, parse
from exchanges.simulator.binance_socket import PATH as SOCKET_PATH
from exchanges.simulator.binance_socket import Sockets
from exchanges.simulator.btcturk_control import BtcturkControl
from exchanges.simulator.btcturk_server import PREFIXES, BtcturkServer
from exchanges.simulator.btcturk_stream import PATHS as STREAM_PATHS
from exchanges.simulator.btcturk_venue import BtcturkVenue
from exchanges.simulator.clock import Clock
from exchanges.simulator.controls import Controls
from exchanges.simulator.faults import Fault, Faults
from exchanges.simulator.limits import RateLimits
from exchanges.simulator.market import TICK_SECONDS
from exchanges.simulator.venue import Venue
from exchanges.simulator.wire import drop, headers_of

log = logging.getLogger("exchanges.simulator")

RETIRED = "/api/v3/userDataStream"
GONE = (
    b"<html>\r\n<head><title>410 Gone</title></head>\r\n<body>\r\n<center><h1>410 Gone</h1></center>\r\n"
    b"<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
UNKNOWN_STATE = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."


class Simulator:
    """One running exchange: venue, faces, faults and the market's heartbeat."""

    def __init__(self, venue: Venue, btcturk: BtcturkVenue, *, seed: int, short_bounds: bool) -> None:
        self.venue = venue
        self.clock = Clock()
        self.faults = Faults()
        self.limits = RateLimits()
        self.binance = BinanceFace(venue, self.limits, self.faults)
        self.sockets = Sockets(self.binance, self.faults, self.clock, self._answer)
        self.markets = MarketSockets(venue, self.faults, self.clock)
        self.control = BinanceControl(
            venue,
            self.faults,
            self.limits,
            self.clock,
            self.sockets,
            self.markets,
            seed=seed,
            short_bounds=short_bounds,
        )
        self._engine_timeout_ms: int = self.control.bounds["binance"]["engine_timeout_ms"]
        self.btcturk = BtcturkServer(
            btcturk,
            self.faults,
            self.clock,
            seed=seed,
            short_bounds=short_bounds,
            send_by_ms=self.control.bounds["btcturk"]["send_by_ms"],
        )
        second = BtcturkControl(self.btcturk, self.limits, seed=seed, short_bounds=short_bounds)
        self.controls = Controls(self.control, second)

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one HTTP request. A clock that is off shows in the Date header, too."""
        answer = await self._serve(request)
        if self.clock.offset_ms and not answer.prepared:
            answer.headers.setdefault("Date", formatdate(self.clock.now() / 1000, usegmt=True))
        return answer

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path == SOCKET_PATH:
            return await self.sockets.serve(request)
        if path == MARKET_PATH:
            return await self.markets.serve(request)
        body = await request.read() if request.can_read_body else b""
        if path in STREAM_PATHS:
            return await self.btcturk.streams.serve(request)
        if path.lower().startswith(PREFIXES):
            return await self.btcturk.serve(request, body)
        if path.startswith("/api/"):
            return await self._serve_binance(request, path, body)
        if path.startswith("/sim/"):
            status, answer = self.controls.handle(request.method, path, request.query, body)
            return web.Response(
                status=status, body=json.dumps(answer, separators=(",", ":")).encode(), content_type="application/json"
            )
        return web.Response(status=404)

    async def beat(self) -> None:
        """Move the market four times a second for as long as it is not frozen."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if not self.venue.frozen:
                self.venue.tick(self.clock.now())
            self.markets.beat()
            self.btcturk.beat()

    async def stop(self) -> None:
        """Give up what is still waiting to execute."""
        waiting = [*self.control.pending, *self.btcturk.pending]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    # -- Binance -------------------------------------------------------------------------------------------------

    async def _serve_binance(self, request: web.BaseRequest, path: str, body: bytes) -> web.StreamResponse:
        raw_query = request.raw_path.partition("?")[2].encode("utf-8", "surrogateescape")
        call = parse(request.method, path, raw_query, body, request.headers)
        endpoint = self.binance.endpoint(call)
        if endpoint is None:
            if path == RETIRED:
                return web.Response(status=410, body=GONE, content_type="text/html")
            return web.Response(status=404)
        self.venue.note_call(call.name)
        fault = self._fault(call) if self.faults.ordered else None
        if fault is None:
            return _response(self._answer(call, endpoint))
        return await self._suffer(fault, request, call, endpoint)

    def _fault(self, call: Call) -> Fault | None:
        account = self.venue.by_key.get(call.api_key or "")
        client_id = call.params.get("newClientOrderId") if call.method == "POST" else None
        facts = {
            "exchange": "binance",
            "account": account.name if account is not None else None,
            "symbol": call.params.get("symbol"),
            "client_order_id": client_id or call.params.get("origClientOrderId"),
        }
        return self.faults.take(call.name, facts)

    def _answer(self, call: Call, endpoint: Endpoint, *, counted: bool = False) -> Answer:
        """The healthy answer to a call."""
        prepared = self._prepare(call, endpoint, counted=counted)
        return prepared if isinstance(prepared, Answer) else self.binance.execute(prepared)

    def _prepare(self, call: Call, endpoint: Endpoint, *, counted: bool = False) -> Request | Answer:
        """Checks up to the signature; an answer when they fail. Counts a placement with a valid signature."""
        now = self.clock.now()
        try:
            self.binance.admit(call, endpoint, now)
            prepared = self.binance.prepare(call, endpoint, now)
        except BinanceError as error:
            if endpoint.places and not counted and self.binance.authentic(call) is not None:
                self._note_received(call)
            weight = 0 if error.status in (418, 429) else endpoint.weight(call)
            return self.binance.error(error, now, weight)
        if endpoint.places and not counted:
            self._note_received(call)
        return prepared

    def _note_received(self, call: Call) -> None:
        client_id = call.params.get("newClientOrderId")
        if client_id:
            self.venue.note_received(client_id, self.clock.now())

    # -- faults --------------------------------------------------------------------------------------------------

    async def _suffer(
        self, fault: Fault, request: web.BaseRequest, call: Call, endpoint: Endpoint
    ) -> web.StreamResponse:
        """Let a call go wrong the way the fault says."""
        # Counted here, since most faults answer or close before the checks of a healthy call.
        if endpoint.places and self.binance.authentic(call) is not None:
            self._note_received(call)
        options, kind = fault.options, fault.kind
        if kind == "delay":
            return await self._delayed(call, endpoint, options["ms"])
        if kind == "delay_answer":
            answer = self._answer(call, endpoint, counted=True)
            await asyncio.sleep(options["ms"] / 1000)
            return _response(answer)
        if kind == "late_execution":
            return self._late(fault, request, call, endpoint)
        if kind == "fill_on_cancel":
            self._fill_before_cancel(call, options["quantity"])
            return _response(self._answer(call, endpoint, counted=True))
        if kind in ("drop_after", "drop_before"):
            if kind == "drop_after":
                self._answer(call, endpoint, counted=True)
            return drop(request, reset=bool(options["reset"]))
        if kind in ("status", "garbage") and options["execute"]:
            self._answer(call, endpoint, counted=True)
        if kind == "garbage":
            return web.Response(status=options["status"], body=str(options["body"]).encode(), content_type="text/html")
        if kind == "status" and options["html"] is not None:
            return web.Response(
                status=options["status"],
                body=str(options["html"]).encode(),
                content_type="text/html",
                headers=headers_of(options["headers"]),
            )
        return _response(self._faulty(fault))

    def _faulty(self, fault: Fault) -> Answer:
        """A well-formed error answer of a fault."""
        options, now = fault.options, self.clock.now()
        if fault.kind == "ban":
            self.limits.ban(now, int(options["retry_after"]))
            return self.binance.error(self.binance.banned(now), now, 0)
        if fault.kind == "rate_limit":
            return self.binance.error(self.binance.too_much(options["code"], options["retry_after"]), now, 0)
        status = options.get("status", 400)
        error = BinanceError(options["code"], options["msg"], status, headers_of(options.get("headers", {})))
        return self.binance.error(error, now, 1)

    async def _delayed(self, call: Call, endpoint: Endpoint, ms: int) -> web.Response:
        prepared = self._prepare(call, endpoint, counted=True)
        await asyncio.sleep(ms / 1000)
        if isinstance(prepared, Answer):
            return _response(prepared)
        return _response(self._execute_later(prepared))

    def _execute_later(self, prepared: Request) -> Answer:
        """Execute with the time of now, after the second timing check of a signed call."""
        now = self.clock.now()
        try:
            if prepared.account is not None:
                self.binance.recheck(prepared, now)
        except BinanceError as error:
            return self.binance.error(error, now, prepared.endpoint.weight(prepared.call))
        return self.binance.execute(prepared.at(now))

    def _late(self, fault: Fault, request: web.BaseRequest, call: Call, endpoint: Endpoint) -> web.StreamResponse:
        """Answer at once, execute later: inside the engine, so recvWindow no longer guards, its timeout does."""
        prepared = self._prepare(call, endpoint, counted=True)
        if isinstance(prepared, Answer):
            return _response(prepared)
        task = asyncio.create_task(self._execute_in(prepared, fault.options["ms"]))
        self.control.pending.add(task)
        task.add_done_callback(self.control.pending.discard)
        if fault.options["answer"] == "drop":
            return drop(request, reset=False)
        return _response(self.binance.error(BinanceError(-1007, UNKNOWN_STATE, 504), self.clock.now(), 1))

    async def _execute_in(self, prepared: Request, ms: int) -> None:
        await asyncio.sleep(ms / 1000)
        now = self.clock.now()
        if now > prepared.stamp + prepared.window + self._engine_timeout_ms:
            log.warning("late execution fell out of its bound and was dropped: %s", prepared.call.name)
            return
        self.binance.execute(prepared.at(now))

    def _fill_before_cancel(self, call: Call, quantity: str | None) -> None:
        account, params = self.binance.authentic(call), call.params
        if account is None or params.get("symbol") not in self.venue.markets:
            return
        order_id = params.get("orderId") or params.get("cancelOrderId")
        order = self.venue.find(
            account.name,
            params["symbol"],
            order_id=int(order_id) if order_id and order_id.isdigit() else None,
            client_order_id=params.get("origClientOrderId") or params.get("cancelOrigClientOrderId"),
        )
        if order is not None and order.status.is_open:
            amount = order.leaves if quantity is None else min(order.leaves, Decimal(quantity))
            self.venue.fill_order(order, amount, self.clock.now())


def _response(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
