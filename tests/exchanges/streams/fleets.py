"""A fleet of streams on a thread of its own, with short times."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any

from exchanges.models import Account, StreamState
from exchanges.streams.bounds import Bounds
from exchanges.streams.fleet import AllBounds, Fleet, Handlers
from tests.waiting import wait_until

SHORT = Bounds(
    ready=5.0,
    ping_every=0.1,
    silence=1.5,
    overlap=0.2,
    first_pause=0.05,
    longest_pause=0.2,
    refused_pause=0.1,
    steady=1.0,
)
EXCHANGES = ("binance", "btcturk")


def all_of(private: Bounds = SHORT, market: Bounds = SHORT) -> AllBounds:
    """The same times for both exchanges."""
    both = (dict.fromkeys(EXCHANGES, private), dict.fromkeys(EXCHANGES, market))
    return AllBounds(*both, look_every=0.2, write_every=0.2, books_every=0.2)


def short(**changed: Any) -> Bounds:
    """Short times, some of them changed."""
    return replace(SHORT, **changed)


@dataclass
class Heard:
    """Handlers that only note what they are called with."""

    reports: list[Any] = field(default_factory=list)
    looks: list[tuple[str, str]] = field(default_factory=list)
    balances: list[str] = field(default_factory=list)
    symbols: set[str] = field(default_factory=set)
    on_paper: set[str] = field(default_factory=set)

    def handlers(self) -> Handlers:
        """As a fleet takes them."""
        return Handlers(
            ingest=lambda account, reports: self.reports.extend(reports),
            resync=lambda account, reason: self.looks.append((account.name, reason)),
            follow=lambda account, reason: self.looks.append((account.name, reason)),
            balances=lambda account: self.balances.append(account.name),
            traded=lambda exchange, mode: self.on_paper if mode == "paper" else self.symbols,
        )


class RunningFleet:
    """A context in which the streams are kept."""

    def __init__(self, handlers: Handlers, times: AllBounds | None = None) -> None:
        self._fleet = Fleet(handlers, times=times or all_of())
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="fleet")

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._started.set()
        await self._fleet.run(self._stop)

    def __enter__(self) -> RunningFleet:
        self._thread.start()
        self._started.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        assert not self._thread.is_alive(), "the fleet does not end"


def give_stream(account: Account) -> None:
    """Tell the account where the simulator's private stream is."""
    path = "/ws" if account.exchange == "btcturk" else "/ws-api/v3"
    account.ws_url = account.rest_url.replace("http://", "ws://") + path
    account.save(update_fields=["ws_url"])


def state_of(subject: str) -> StreamState | None:
    """The stored state of a stream."""
    return StreamState.objects.filter(subject=subject).first()


def await_connected(subject: str, *, reconnects: int = 0, timeout: float = 20) -> StreamState:
    """The state once the stream stands and has been connected again at least so often."""

    def stands() -> StreamState | None:
        row = state_of(subject)
        return row if row is not None and row.connected_since and row.reconnects >= reconnects else None

    return wait_until(stands, timeout, f"{subject} is connected (reconnects: {reconnects}); it is {state_of(subject)}")
