"""Keeping one stream alive: connect, ping, watch for silence, come back, and roll over before the exchange cuts.

A link never decides what an event means. It says when a connection stands and whether there was a gap before it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from websockets.exceptions import ConnectionClosed

from exchanges.http.decoding import Unparsable
from exchanges.streams.bounds import Bounds
from exchanges.streams.talk import NotNow, Refused, Talk
from exchanges.streams.wire import Wire, open_wire
from execution_project.common import clock

log = logging.getLogger(__name__)
_ERROR_CHARACTERS = 300


class Silent(Exception):
    """Nothing was heard for too long."""


class Lost(Exception):
    """The connection ended."""


@dataclass(slots=True)
class Condition:
    """How a stream is; persisted as ``StreamState``."""

    connected_since: datetime | None = None
    last_message_at: datetime | None = None
    last_event_at: datetime | None = None
    reconnects: int = 0
    gaps: int = 0
    last_error: str = ""
    connections: int = 0
    """Connections that this process has had."""


class Session:
    """One connection and the conversation over it."""

    def __init__(self, talk: Talk, bounds: Bounds) -> None:
        self.talk = talk
        self.ready = asyncio.Event()
        self.ready_at = 0.0
        self._bounds = bounds
        self._wire: Wire | None = None

    @property
    def heard_on(self) -> datetime | None:
        """When any frame last came."""
        return None if self._wire is None else self._wire.heard_on

    async def run(self) -> None:
        """Until the connection ends; always raises, with the reason."""
        self._wire = wire = await open_wire(self.talk.url, timeout_s=self._bounds.ready, ipv4_only=self.talk.ipv4_only)
        self.talk.attach(wire)
        tasks = [asyncio.ensure_future(part) for part in (self._read(), self._begin(), self._ping(wire), self._watch())]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await wire.close()

    async def _begin(self) -> None:
        try:
            async with asyncio.timeout(self._bounds.ready):
                await self.talk.begin()
        except TimeoutError:
            raise Silent(f"no answer to the subscription for {self._bounds.ready:g} s") from None
        self.ready_at = time.monotonic()
        self.ready.set()

    async def _read(self) -> None:
        assert self._wire is not None  # noqa: S101  set before
        try:
            async for frame in self._wire:
                self.talk.data_at = time.monotonic()
                try:
                    self.talk.hear(frame if isinstance(frame, str) else frame.decode("utf-8", errors="replace"))
                except Unparsable as error:
                    self.talk.missed(error)
        except ConnectionClosed as end:
            raise Lost(self.talk.shown(str(end))) from None
        raise Lost("the exchange closed the connection")

    async def _ping(self, wire: Wire) -> None:
        while True:
            asked_on = clock.now()
            pong = await wire.ping()
            # One that is not answered ends by the watch, which any other frame holds off.
            # Not ``wait_for``: it swallows a cancellation that comes together with the pong, and this task would go on.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._bounds.silence):
                    await asyncio.shield(pong)
                self.talk.alive_on = asked_on
            await asyncio.sleep(self._bounds.ping_every)

    async def _watch(self) -> None:
        """Raises once nothing, or no data, has been heard for too long."""
        assert self._wire is not None  # noqa: S101  set before
        bounds = self._bounds
        while True:
            now = time.monotonic()
            ends = [(self._wire.heard_at + bounds.silence, f"nothing was heard for {bounds.silence:g} s")]
            if bounds.data_silence is not None and self.talk.expects_data and self.ready.is_set():
                last = max(self.talk.data_at or 0.0, self.ready_at)
                ends.append((last + bounds.data_silence, f"no data came for {bounds.data_silence:g} s"))
            due, reason = min(ends)
            if now >= due:
                raise Silent(reason)
            await asyncio.sleep(min(due - now, bounds.ping_every))


class Link:
    """A stream that is always there: one connection, and at its end the next. ``run`` goes on until it is cancelled."""

    def __init__(
        self,
        name: str,
        bounds: Bounds,
        start: Callable[[], Awaitable[Talk]],
        *,
        connected: Callable[[bool], None],
        failed: Callable[[Exception], Awaitable[None]] | None = None,
        condition: Condition | None = None,
    ) -> None:
        """``start`` makes the conversation of the next connection, or raises ``NotNow``.

        ``connected(gap)`` is called when a connection is ready; ``gap`` is whether none was alive just before it.
        ``failed(error)`` is told of every end that was not ours.
        """
        self.name = name
        self.condition = condition or Condition()
        self.talk: Talk | None = None
        """The conversation of the connection that is alive; None between two."""
        self._bounds = bounds
        self._start = start
        self._connected = connected
        self._failed = failed
        self._retiring: set[asyncio.Task[None]] = set()
        self._session: Session | None = None

    def refresh(self) -> Condition:
        """The condition, with the times of the living connection brought up to date."""
        if self._session is not None:
            self.condition.last_message_at = self._session.heard_on or self.condition.last_message_at
            self.condition.last_event_at = self._session.talk.event_on or self.condition.last_event_at
        return self.condition

    async def run(self) -> None:
        """Keep the stream alive until cancelled."""
        task: asyncio.Task[None] | None = None
        failures = 0
        try:
            while True:
                if task is not None and self._session is not None:
                    await self._until_due(task, self._session)
                    if task.done():
                        lived = time.monotonic() - self._session.ready_at
                        failures = 0 if lived >= self._bounds.steady else failures + 1
                        await self._ended(task)
                        task = None
                        await asyncio.sleep(self._pause(failures))
                try:
                    session, successor = await self._open()
                except Exception as error:  # noqa: BLE001  whatever it is, the stream comes back
                    failures += 1
                    pause = self._pause_after(error, failures)
                    await self._note(error)
                    if task is None:
                        await asyncio.sleep(pause)
                    else:
                        # The old connection still speaks; its end must not wait for the pause.
                        await asyncio.wait([task], timeout=pause)
                        if task.done():
                            await self._ended(task)
                            task = None
                    continue
                if task is not None and task.done():
                    # It ended before its successor was ready.
                    await self._ended(task)
                    task = None
                gap = task is None
                if task is not None:
                    self._retire(task)
                task, self._session, self.talk = successor, session, session.talk
                self._stands(gap=gap)
        finally:
            await self._end_all(task)

    async def _until_due(self, task: asyncio.Task[None], session: Session) -> None:
        """Until the connection has ended, is too old, or the exchange wants another one."""
        asked = asyncio.ensure_future(session.talk.over.wait())
        left = session.ready_at + self._bounds.rollover - time.monotonic()
        try:
            await asyncio.wait([task, asked], timeout=max(left, 0), return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()

    async def _open(self) -> tuple[Session, asyncio.Task[None]]:
        """A session that is ready, and its task."""
        session = Session(await self._start(), self._bounds)
        task = asyncio.create_task(session.run(), name=f"stream {self.name}")
        ready = asyncio.ensure_future(session.ready.wait())
        try:
            await asyncio.wait([task, ready], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
        except BaseException:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise
        finally:
            ready.cancel()
        return session, task

    def _stands(self, *, gap: bool) -> None:
        first = self.condition.connections == 0
        self.condition.connections += 1
        self.condition.connected_since = clock.now()
        if not first:
            self.condition.reconnects += 1
            self.condition.gaps += gap
        log.info("stream %s is connected", self.name)
        self._connected(gap)

    async def _ended(self, task: asyncio.Task[None]) -> None:
        self.refresh()
        self._session = self.talk = None
        self.condition.connected_since = None
        try:
            await task
        except Exception as error:  # noqa: BLE001  it ended; why is in the error
            await self._note(error)

    async def _note(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"[:_ERROR_CHARACTERS].replace("\x00", "")
        again = text == self.condition.last_error and self.condition.connected_since is None
        self.condition.last_error = text
        log.log(logging.DEBUG if again else logging.WARNING, "stream %s: %s", self.name, text)
        if self._failed is not None:
            try:
                await self._failed(error)
            except Exception:  # the stream itself must go on
                log.exception("stream %s: its failure could not be noted", self.name)

    def _retire(self, task: asyncio.Task[None]) -> None:
        """Let the old connection speak a little longer beside its successor, then end it."""

        async def end() -> None:
            with suppress(Exception):
                await asyncio.wait_for(task, self._bounds.overlap)

        retiring = asyncio.create_task(end())
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)

    async def _end_all(self, task: asyncio.Task[None] | None) -> None:
        self.refresh()
        self.condition.connected_since = None
        self._session = self.talk = None
        ending = [*self._retiring, *([task] if task is not None else [])]
        for each in ending:
            each.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    def _pause(self, failures: int) -> float:
        bounds = self._bounds
        longest = min(bounds.first_pause * float(2 ** min(failures, 16)), bounds.longest_pause)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311  spreads reconnects, hides nothing

    def _pause_after(self, error: Exception, failures: int) -> float:
        if isinstance(error, NotNow):
            return max(error.wait_s, self._bounds.first_pause)
        if isinstance(error, Refused):
            return self._bounds.refused_pause
        return self._pause(failures)
