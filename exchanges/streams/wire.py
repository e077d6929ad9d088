"""One websocket connection, opened without surprises: no proxy of the environment, no redirect, no frame in a log."""

from __future__ import annotations

import logging
import socket
import time
from datetime import datetime
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from exchanges.http.calls import USER_AGENT
from execution_project.common import clock

MAX_FRAME = 2**20
CLOSE_S = 1.0

# The library writes every frame to its log at DEBUG, signatures and keys included.
_log = logging.getLogger("exchanges.streams.frames")
_log.setLevel(logging.WARNING)


class Wire(ClientConnection):
    """A connection that knows when it last heard anything at all, a ping or a pong included."""

    heard_at = 0.0
    """On the monotonic clock."""
    heard_on: datetime | None = None

    def process_event(self, event: Any) -> None:
        """Every frame, and the answer to the handshake, passes here."""
        self.heard_at, self.heard_on = time.monotonic(), clock.now()
        super().process_event(event)


class _Connect(connect):
    def process_redirect(self, exc: Exception) -> Exception | str:
        """A redirect is an error: it would take an account's login to a host that nobody has checked."""
        return exc


async def open_wire(url: str, *, timeout_s: float, ipv4_only: bool = False) -> Wire:
    """Connect to ``url``, which the caller has checked. Raises ``OSError`` or a ``WebSocketException``."""
    options: dict[str, Any] = {"family": socket.AF_INET} if ipv4_only else {}
    wire = await _Connect(
        url,
        create_connection=Wire,
        logger=_log,
        proxy=None,
        compression=None,
        open_timeout=timeout_s,
        close_timeout=CLOSE_S,
        ping_interval=None,
        max_size=MAX_FRAME,
        user_agent_header=USER_AGENT,
        **options,
    )
    assert isinstance(wire, Wire)  # noqa: S101  made by create_connection
    return wire
