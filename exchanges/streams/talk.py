"""What is said over one connection: every kind of stream has its own ``Talk``; ``link`` keeps connections alive."""

from __future__ import annotations

import asyncio
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from exchanges.http.calls import hide
from exchanges.http.decoding import Unparsable
from exchanges.reports import Report
from exchanges.streams.wire import Wire

log = logging.getLogger(__name__)
_UNKNOWN_KEPT = 200


class Refused(Exception):
    """The exchange answered a login or a subscription with no; the text is free of secrets."""


class Terminated(Exception):
    """The exchange has ended what this connection was for."""


class NotNow(Exception):
    """Nothing may be sent to this host yet."""

    def __init__(self, reason: str, wait_s: float) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Reports:
    """Something to book."""

    reports: Sequence[Report]


@dataclass(frozen=True, slots=True)
class Look:
    """Something has happened that only the exchange's REST interface tells exactly.

    ``gap``: anything may have been missed, other programs' trades too; else it concerns an order that is working.
    """

    reason: str
    gap: bool = False


@dataclass(frozen=True, slots=True)
class BalancesMoved:
    """Balances are not what they were."""


Hint = Reports | Look | BalancesMoved
Emit = Callable[[Hint], None]


class UnknownOnce:
    """Speaks up about each unknown kind of event, once in the life of the process."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, str]] = set()

    def note(self, stream: str, kind: str) -> None:
        """Log the first event of this kind."""
        if (stream, kind) not in self._seen and len(self._seen) < _UNKNOWN_KEPT:
            self._seen.add((stream, kind))
            log.warning("%s stream: events of the unknown kind %r are ignored", stream, kind[:64])


class Talk(ABC):
    """One conversation. ``begin`` logs in and subscribes; ``hear`` takes every data frame from the start on."""

    def __init__(self, url: str, *, ipv4_only: bool = False, secrets: tuple[str, ...] = ()) -> None:
        self.url = url
        self.ipv4_only = ipv4_only
        self.over = asyncio.Event()
        """Set when the exchange asks for another connection."""
        self.expects_data = False
        """Whether data frames must come all the time, so that their absence is a stall."""
        self.data_at: float | None = None
        """When data frames last came, on the monotonic clock; the session notes it."""
        self.event_on: datetime | None = None
        """When something last came that was not an answer to us."""
        self.alive_on: datetime | None = None
        """When the last answered ping was sent: whatever the exchange had said before, we have heard."""
        self._secrets = secrets
        self._wire: Wire | None = None
        self._answers: dict[str, asyncio.Future[Any]] = {}

    def attach(self, wire: Wire) -> None:
        """The connection over which to speak."""
        self._wire = wire

    @abstractmethod
    async def begin(self) -> None:
        """Log in and subscribe; returns when the exchange has confirmed. Raises ``Refused``."""

    @abstractmethod
    def hear(self, text: str) -> None:
        """Take one frame. Raises ``Unparsable`` for one that makes no sense, ``Terminated`` for the end."""

    def missed(self, error: Unparsable) -> None:
        """A frame could not be read."""
        log.error("a frame of a stream cannot be read: %s", error)

    def shown(self, text: str) -> str:
        """The text without this conversation's secrets."""
        return hide(text, self._secrets)

    async def say(self, document: Any) -> None:
        """Send one JSON document."""
        assert self._wire is not None  # noqa: S101  attached before begin
        await self._wire.send(json.dumps(document, separators=(",", ":"), ensure_ascii=False))

    async def ask(self, name: str, document: Any) -> Any:
        """Send a document and wait for what ``answer(name, …)`` is called with; the session bounds the time."""
        self._answers[name] = asyncio.get_running_loop().create_future()
        try:
            await self.say(document)
            return await self._answers[name]
        finally:
            del self._answers[name]

    def answer(self, name: str, value: Any) -> None:
        """Hand an answer to whoever waits for it."""
        waiting = self._answers.get(name)
        if waiting is not None and not waiting.done():
            waiting.set_result(value)
