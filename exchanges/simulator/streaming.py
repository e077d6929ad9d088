"""What every websocket connection does alike: its queue, its end, and events that go wrong."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass

from aiohttp import web

from exchanges.simulator.faults import Fault

CLOSE_SECONDS = 1.0
"""How long a client may take to answer a close."""


@dataclass(slots=True, frozen=True)
class Out:
    """Something on its way to the client: wait `delay_ms`, then send `text`, then end the connection if `ends`."""

    text: str = ""
    delay_ms: int = 0
    ends: bool = False
    reset: bool = False


class Stream(ABC):
    """One connection and the queue of what is on its way to the client."""

    def __init__(self, identity: int, greeting: str = "") -> None:
        self.id = identity
        self.mute = False
        """Neither pings nor answers pings: what a dead connection looks like."""
        self._greeting = greeting
        self._held: list[str] = []
        self._reset = False
        self._outbox: asyncio.Queue[Out] = asyncio.Queue()
        self._socket = web.WebSocketResponse(autoping=False, timeout=CLOSE_SECONDS)

    async def run(self, request: web.BaseRequest) -> web.WebSocketResponse:
        """Serve until either side ends it."""
        await self._socket.prepare(request)
        if self._greeting:
            self.put(Out(self._greeting))
        tasks = [asyncio.create_task(part) for part in (self._read(), self._write(), self._ping())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._reset and request.transport is not None:
            request.transport.abort()
        else:
            await self._socket.close()
        return self._socket

    def put(self, item: Out) -> None:
        """Send something, or end the connection, after what is already waiting."""
        self._outbox.put_nowait(item)

    def end(self, *, reset: bool) -> None:
        """End the connection after what is already on its way."""
        self.put(Out(ends=True, reset=reset))

    def put_event(self, text: str, fault: Fault | None) -> None:
        """Send one event, or let it go wrong the way the fault says."""
        kind, options = (fault.kind, fault.options) if fault is not None else ("", {})
        if kind == "stream_silence":
            self.mute = not options["pings"]
        if kind in ("stream_drop", "stream_silence"):
            return
        if kind == "stream_reorder":
            self._held.append(text)
            return
        if kind == "stream_disconnect":
            self.put(Out(text if options["deliver"] else "", ends=True, reset=options["reset"]))
            return
        self.put(Out(text, delay_ms=options["ms"] if kind == "stream_delay" else 0))
        if kind == "stream_duplicate":
            self.put(Out(text))
        held, self._held = self._held, []
        for late in held:
            self.put(Out(late))

    @abstractmethod
    async def _read(self) -> None:
        """Take what the client sends; returns when it has gone."""

    @abstractmethod
    async def _ping(self) -> None:
        """Ping on time; may return to end the connection."""

    async def _write(self) -> None:
        while True:
            item = await self._outbox.get()
            if item.delay_ms:
                await asyncio.sleep(item.delay_ms / 1000)
            if item.text:
                await self._socket.send_str(item.text)
            if item.ends:
                self._reset = item.reset
                return
