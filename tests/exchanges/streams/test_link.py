"""Keeping one connection alive against a server that does as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve

from exchanges.http.decoding import Unparsable
from exchanges.streams.link import Link, Session
from exchanges.streams.talk import NotNow, Refused, Talk
from tests.exchanges.streams.fleets import short

PATIENCE_S = 10.0


class Echo(Talk):
    """Asks for one answer and then listens."""

    def __init__(self, url: str) -> None:
        super().__init__(url, secrets=("hidden-word",))
        self.heard: list[str] = []

    async def begin(self) -> None:
        """One question."""
        if await self.ask("hello", "hello") != "welcome":
            raise Refused(self.shown("not welcome: hidden-word"))

    def hear(self, text: str) -> None:
        """The first word is the answer."""
        if text == "?":
            raise Unparsable("a field")
        self.heard.append(text)
        self.answer("hello", text)
        if text == "bye":
            self.over.set()


class Stage:
    """A server whose behaviour a test gives, and one link to it."""

    def __init__(self, behave: Callable[[ServerConnection, int], Awaitable[None]], **bounds: Any) -> None:
        self.connections = 0
        self.gaps: list[bool] = []
        self.talks: list[Echo] = []
        self.start_error: Exception | None = None
        self._behave = behave
        self._bounds = short(**bounds)
        self._stood = asyncio.Event()
        self._failed = asyncio.Event()

    async def _serve(self, connection: ServerConnection) -> None:
        self.connections += 1
        await self._behave(connection, self.connections)

    def _connected(self, gap: bool) -> None:
        self.gaps.append(gap)
        self._stood.set()

    async def _start(self) -> Talk:
        if self.start_error is not None:
            raise self.start_error
        self.talks.append(Echo(self.url))
        return self.talks[-1]

    async def _note(self, error: Exception) -> None:
        self._failed.set()

    async def __aenter__(self) -> Stage:
        self._server: Server = await serve(self._serve, "127.0.0.1", 0, ping_interval=None)
        self.url = f"ws://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}/"
        self.link = Link("test", self._bounds, self._start, connected=self._connected, failed=self._note)
        self._task = asyncio.create_task(self.link.run())
        return self

    async def __aexit__(self, *error: Any) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._server.close()
        await self._server.wait_closed()

    async def stood(self, times: int) -> None:
        """Until the stream has stood so often."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.gaps) < times:
                self._stood.clear()
                await self._stood.wait()

    async def failed(self, words: str) -> None:
        """Until an attempt or a connection has ended for a reason with these words."""
        async with asyncio.timeout(PATIENCE_S):
            while words not in self.link.condition.last_error:
                self._failed.clear()
                await self._failed.wait()


async def welcome(connection: ServerConnection, number: int) -> None:
    await connection.recv()
    await connection.send("welcome")
    await connection.wait_closed()


def test_it_comes_back_after_every_end_and_counts_the_gaps() -> None:
    async def short_lived(connection: ServerConnection, number: int) -> None:
        await connection.recv()
        await connection.send("welcome")
        if number > 2:
            await connection.wait_closed()

    async def run() -> None:
        async with Stage(short_lived) as stage:
            await stage.stood(3)
            assert stage.gaps == [True, True, True]
            condition = stage.link.refresh()
            assert (condition.reconnects, condition.gaps) == (2, 2)
            assert condition.connected_since is not None and condition.last_message_at is not None

    asyncio.run(run())


def test_rollover_keeps_the_old_connection_until_the_new_one_is_ready() -> None:
    release = asyncio.Event()

    async def slow_second(connection: ServerConnection, number: int) -> None:
        await connection.recv()
        if number == 2:
            await release.wait()
        await connection.send("welcome")
        await connection.wait_closed()

    async def run() -> None:
        async with Stage(slow_second) as stage:
            await stage.stood(1)
            stage.talks[0].over.set()
            async with asyncio.timeout(PATIENCE_S):
                while stage.connections < 2:
                    await asyncio.sleep(0)
            assert stage.link.talk is stage.talks[0]
            release.set()
            await stage.stood(2)
            assert stage.link.talk is stage.talks[1]
            assert stage.gaps == [True, False]
            assert stage.link.condition.last_error == ""

    asyncio.run(run())


def test_an_end_before_the_successor_is_ready_is_a_gap() -> None:
    first_is_gone = asyncio.Event()

    async def gone_too_soon(connection: ServerConnection, number: int) -> None:
        await connection.recv()
        if number == 2:
            await first_is_gone.wait()
        await connection.send("welcome")
        if number == 1:
            await connection.send("bye")
            await connection.close()
            first_is_gone.set()
        await connection.wait_closed()

    async def run() -> None:
        async with Stage(gone_too_soon) as stage:
            await stage.stood(2)
            assert stage.gaps == [True, True]
            assert stage.link.condition.gaps == 1

    asyncio.run(run())


def test_a_successor_that_fails_costs_no_gap() -> None:
    async def refuse_second(connection: ServerConnection, number: int) -> None:
        await connection.recv()
        await connection.send("welcome" if number != 2 else "no")
        await connection.wait_closed()

    async def run() -> None:
        async with Stage(refuse_second) as stage:
            await stage.stood(1)
            stage.talks[0].over.set()
            await stage.failed("not welcome")
            await stage.stood(2)
            assert stage.gaps == [True, False]
            assert "hidden-word" not in stage.link.condition.last_error

    asyncio.run(run())


def test_a_server_that_never_answers_is_given_up() -> None:
    async def mute(connection: ServerConnection, number: int) -> None:
        await connection.wait_closed()

    async def run() -> None:
        async with Stage(mute, ready=0.2) as stage:
            await stage.failed("no answer to the subscription")
            assert stage.gaps == []

    asyncio.run(run())


def test_a_stalled_feed_behind_answered_pings_is_noticed() -> None:
    async def run() -> None:
        async with Stage(welcome, data_silence=0.3, silence=5.0, ping_every=0.05) as stage:
            await stage.stood(1)
            stage.talks[0].expects_data = True
            await stage.failed("no data came")

    asyncio.run(run())


def test_a_redirect_is_not_followed() -> None:
    reached: list[int] = []

    async def elsewhere(connection: ServerConnection, number: int) -> None:
        reached.append(number)

    async def run() -> None:
        async with serve(elsewhere, "127.0.0.1", 0) as other:
            port = next(iter(other.sockets)).getsockname()[1]

            def redirect(connection: ServerConnection, request: Any) -> Any:
                response = connection.respond(HTTPStatus.FOUND, "")
                response.headers["Location"] = f"ws://127.0.0.1:{port}/"
                return response

            async with serve(elsewhere, "127.0.0.1", 0, process_request=redirect) as first, Stage(welcome) as stage:
                stage.url = f"ws://127.0.0.1:{next(iter(first.sockets)).getsockname()[1]}/"
                await stage.failed("302")
        assert reached == []

    asyncio.run(run())


def test_frames_that_cannot_be_read_end_nothing() -> None:
    async def garbled(connection: ServerConnection, number: int) -> None:
        await connection.send("?")
        await welcome(connection, number)

    async def run() -> None:
        async with Stage(garbled) as stage:
            await stage.stood(1)
            assert stage.talks[0].heard == ["welcome"]

    asyncio.run(run())


def test_without_budget_nothing_is_sent() -> None:
    async def run() -> None:
        async with Stage(welcome) as stage:
            await stage.stood(1)
            stage.start_error = NotNow("weight used up", 0.01)
            stage.talks[0].over.set()
            await stage.failed("weight used up")
            assert stage.connections == 1
            stage.start_error = None
            await stage.stood(2)
            assert stage.gaps == [True, False]

    asyncio.run(run())


def test_a_cancellation_that_comes_together_with_a_pong_ends_the_pinging() -> None:
    """Else the connection's other parts wait for it for ever, and changed credentials are never used."""

    async def scenario() -> None:
        pong: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        asked = asyncio.Event()

        class Answering:
            async def ping(self) -> asyncio.Future[float]:
                asked.set()
                return pong

        session = Session(Echo("ws://nowhere"), short(ping_every=3600.0))
        pinging = asyncio.create_task(session._ping(Answering()))  # type: ignore[arg-type]
        await asked.wait()
        pong.set_result(0.0)
        pinging.cancel()
        await asyncio.wait([pinging], timeout=PATIENCE_S)
        assert pinging.cancelled()

    asyncio.run(scenario())
