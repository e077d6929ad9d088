"""BTCTurk's calls over HTTP, and the faults they suffer (docs/simulator.md)."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from decimal import Decimal

from aiohttp import web

from exchanges.simulator.btcturk import (
    BLOCKED,
    GATEWAY_TIMEOUT,
    Answer,
    Blocked,
    BtcturkFace,
    Call,
    Request,
    Throttled,
    Unauthorized,
    json_body,
)
from exchanges.simulator.btcturk_limits import Exceeded
from exchanges.simulator.btcturk_stream import Streams
from exchanges.simulator.btcturk_venue import BtcturkVenue
from exchanges.simulator.clock import Clock
from exchanges.simulator.faults import KINDS, Fault, Faults
from exchanges.simulator.wire import drop, headers_of

log = logging.getLogger("exchanges.simulator")

PREFIXES = ("/api/v1/", "/api/v2/", "/v1/")
"""Where BTCTurk answers; Binance has /api/v3/."""
HANG_MS = (60_000, 120_000)
"""How long POSTs hang under load (docs/btcturk.md §3)."""
SHORT_HANG_MS = (300, 600)
RATE_PERIOD_S = 60


class BtcturkServer:
    """BTCTurk's side of the HTTP server."""

    def __init__(
        self,
        venue: BtcturkVenue,
        faults: Faults,
        clock: Clock,
        *,
        send_by_ms: int,
        short_bounds: bool,
        seed: int,
    ) -> None:
        self.venue = venue
        self.faults = faults
        self.clock = clock
        self.face = BtcturkFace(venue, faults, clock, self._later)
        self.streams = Streams(self.face, faults, clock)
        self.pending: set[asyncio.Task[None]] = set()
        """Requests that have been answered or dropped and execute later."""
        self._send_by_ms = send_by_ms
        self._hang_ms = SHORT_HANG_MS if short_bounds else HANG_MS
        self._random = random.Random(seed)

    @staticmethod
    def _later(ms: int, action: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(ms / 1000, action)

    def beat(self) -> None:
        """Move the market, unless it stands, carry out cancels whose timer a restart has lost, feed the channels."""
        now = self.clock.now()
        if not self.venue.frozen:
            self.venue.tick(now)
        if self.venue.canceling:
            self.venue.finish_cancels(now)
        self.streams.beat()

    async def serve(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        """Answer one HTTP request."""
        routed = self.face.route(request.method, request.path)
        if isinstance(routed, int):
            return web.Response(status=routed)
        name, target = routed
        query = {key: request.query.getall(key) for key in request.query}
        call = Call(request.method, name, query, request.headers, json_body(body), request.remote or "", target)
        self.venue.note_call(name)
        self._note_received(call)
        fault = self.faults.take(name, self.face.facts(call)) if self.faults.ordered else None
        if fault is None:
            return _response(self._answer(call))
        return await self._suffer(fault, request, call)

    def _note_received(self, call: Call) -> None:
        if not self.face.endpoint(call).places or self.face.authentic(call) is None:
            return
        client_id = call.body.get("newOrderClientId")
        if isinstance(client_id, str) and client_id:
            self.venue.note_received(client_id, self.clock.now())

    def _answer(self, call: Call) -> Answer:
        """The healthy answer to a call."""
        prepared = self._prepare(call)
        return prepared if isinstance(prepared, Answer) else self.face.execute(prepared)

    def _prepare(self, call: Call) -> Request | Answer:
        """Quota and authentication; an answer when they fail."""
        try:
            return self.face.prepare(call, self.clock.now())
        except Blocked:
            return self.face.page(403, BLOCKED)
        except Throttled as throttled:
            return self.face.throttled(throttled.exceeded, throttled.policy)
        except Unauthorized as refused:
            return self.face.unauthorized(str(refused))

    # -- faults --------------------------------------------------------------------------------------------------

    async def _suffer(self, fault: Fault, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        """Let a call go wrong the way the fault says."""
        options, kind = fault.options, fault.kind
        if kind == "delay":
            return await self._delayed(call, options["ms"])
        if kind == "delay_answer":
            answer = self._answer(call)
            await asyncio.sleep(options["ms"] / 1000)
            return _response(answer)
        if kind == "hang":
            return await self._hang(call, options["ms"], execute=options["execute"])
        if kind == "late_execution":
            return self._late(fault, request, call)
        if kind == "fill_on_cancel":
            return self._fill_around_cancel(call, options["quantity"])
        if kind in ("drop_after", "drop_before"):
            if kind == "drop_after":
                self._answer(call)
            return drop(request, reset=bool(options["reset"]))
        if kind in ("status", "garbage") and options["execute"]:
            self._answer(call)
        if kind == "garbage":
            return web.Response(status=options["status"], body=str(options["body"]).encode(), content_type="text/html")
        if kind == "status" and options["html"] is not None:
            return web.Response(
                status=options["status"],
                body=str(options["html"]).encode(),
                content_type="text/html",
                headers=headers_of(options["headers"]),
            )
        return _response(self._faulty(fault, call))

    def _faulty(self, fault: Fault, call: Call) -> Answer:
        """A well-formed error answer of a fault. Codes below zero are Binance's: the message's own code goes out."""
        face, options, kind = self.face, fault.options, fault.kind
        if kind == "ban":
            face.blocked_until = self.clock.now() + int(options["retry_after"]) * 1000
            return face.page(403, BLOCKED)
        if kind == "rate_limit":
            policy = "account" if face.endpoint(call).group in ("order", "order_query") else "ip"
            allowed = self.venue.settings.limits[face.endpoint(call).group]
            limit, period = allowed[0] if allowed else (0, RATE_PERIOD_S)
            return face.throttled(Exceeded(limit, period, int(options["retry_after"])), policy)
        code, message = options["code"], options["msg"]
        if isinstance(code, int) and code < 0:
            code = None
        if message == KINDS[kind]["msg"]:
            message = ""
        if kind == "reject":
            return face.rejected(message or "FAILED_ORDER_WITH_OPEN_ORDERS", face.endpoint(call).places, 400, code)
        status = int(options["status"])
        if status == 401 and not message:
            return face.unauthorized("Invalid Nonce")
        message = message or ("SYSTEM_UNDER_MAINTENANCE" if status == 503 else "INTERNAL_ERROR")
        answer = face.rejected(message, face.endpoint(call).places, status, code)
        return Answer(status, answer.body, {**answer.headers, **headers_of(options["headers"])})

    async def _delayed(self, call: Call, ms: int) -> web.Response:
        """Held before the engine; nothing checks the stamp again (BTCTurk knows no recvWindow)."""
        prepared = self._prepare(call)
        await asyncio.sleep(ms / 1000)
        if isinstance(prepared, Answer):
            return _response(prepared)
        return _response(self._execute_late(prepared) or self.face.page(504, GATEWAY_TIMEOUT))

    async def _hang(self, call: Call, ms: int, *, execute: bool) -> web.Response:
        """Hang for a minute or two, execute half-way, and end in the content network's 504."""
        prepared = self._prepare(call)
        if isinstance(prepared, Answer):
            return _response(prepared)
        half = (ms or self._random.randint(*self._hang_ms)) / 2000
        if execute:
            self._spawn(prepared, half)
        await asyncio.sleep(2 * half)
        return _response(self.face.page(504, GATEWAY_TIMEOUT))

    def _late(self, fault: Fault, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        """Answer at once, execute later, within the bound the control API announces."""
        prepared = self._prepare(call)
        if isinstance(prepared, Answer):
            return _response(prepared)
        self._spawn(prepared, fault.options["ms"] / 1000)
        if fault.options["answer"] == "drop":
            return drop(request, reset=False)
        return _response(self.face.page(504, GATEWAY_TIMEOUT))

    def _spawn(self, prepared: Request, seconds: float) -> None:
        """Execute later, whatever becomes of the connection."""

        async def run() -> None:
            await asyncio.sleep(seconds)
            self._execute_late(prepared)

        task = asyncio.create_task(run())
        self.pending.add(task)
        task.add_done_callback(self.pending.discard)

    def _execute_late(self, prepared: Request) -> Answer | None:
        now = self.clock.now()
        if now > prepared.now + self._send_by_ms:
            log.warning("late execution fell out of its bound and was dropped: %s", prepared.call.name)
            return None
        return self.face.execute(prepared.at(now))

    def _fill_around_cancel(self, call: Call, quantity: str | None) -> web.Response:
        """The order trades while its accepted cancel is on its way; before the cancel when those are immediate."""
        immediate = self.venue.settings.cancel_delay_ms <= 0
        answer = None if immediate else self._answer(call)
        account = self.face.authentic(call)
        order = self.face.named(call, account) if account is not None else None
        if order is not None and order.status.is_open:
            amount = order.leaves if quantity is None else min(order.leaves, Decimal(quantity))
            self.venue.fill_order(order, amount, self.clock.now())
        return _response(answer or self._answer(call))


def _response(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
