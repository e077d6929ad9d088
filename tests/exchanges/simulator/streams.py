"""A WebSocket API client over a plain socket library: requests with their replies, and the events in between."""

from __future__ import annotations

import json
import time
from collections import deque
from itertools import count
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from exchanges.adapters import Credentials
from exchanges.binance.signing import signed_for_websocket
from tests.exchanges.simulator.conftest import KEY, SECRET, Simulator

PATIENCE_S = 5.0


class Stream:
    """One connection. ``events`` come in the order of the wire, also those that came while a reply was awaited."""

    def __init__(self, simulator: Simulator, query: str = "", credentials: Credentials | None = None) -> None:
        self.credentials = credentials or Credentials(KEY, SECRET)
        self._connect = connect(
            f"ws://127.0.0.1:{simulator.port}/ws-api/v3{query}", proxy=None, ping_interval=None, close_timeout=2
        )
        self._waiting: deque[Any] = deque()
        self._ids = count(1)

    def __enter__(self) -> Stream:
        self.socket = self._connect.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._connect.__exit__(*error)

    def ask(self, method: str, **params: Any) -> Any:
        """The whole reply to a request."""
        identity = next(self._ids)
        self.socket.send(json.dumps({"id": identity, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv(timeout=PATIENCE_S))
            if message.get("id") == identity:
                return message
            self._waiting.append(message)

    def signed(self, method: str, **params: str) -> Any:
        """The reply to a signed request."""
        stamped = {"timestamp": str(int(time.time() * 1000)), **params}
        return self.ask(method, **signed_for_websocket(self.credentials, stamped))

    def subscribe(self) -> int:
        """Subscribe by signature; the subscription id."""
        reply = self.signed("userDataStream.subscribe.signature")
        assert reply["status"] == 200, reply
        return int(reply["result"]["subscriptionId"])

    def next(self) -> Any:
        """The next message as it came."""
        return self._waiting.popleft() if self._waiting else json.loads(self.socket.recv(timeout=PATIENCE_S))

    def event(self) -> Any:
        """The next event, without its envelope."""
        return self.next()["event"]

    def events(self, number: int) -> list[Any]:
        """The next events."""
        return [self.event() for _ in range(number)]

    def closed(self) -> ConnectionClosed:
        """How the server ended the connection; fails when anything but the end comes."""
        try:
            message = self.socket.recv(timeout=PATIENCE_S)
        except ConnectionClosed as end:
            return end
        raise AssertionError(f"not closed but {message!r}")
