"""HTTP transport that knows whether the first byte of a request was written, and refuses to write it too late.

``requests`` tells a failed connect from a lost answer only by exception class, and the classes overlap. Here every
connection asks the ``Flight`` of its call before the request line goes out, so "not sent" is observed, never guessed.
Nothing here sends a request twice.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import BaseHTTPResponse


class TooLate(Exception):
    """The moment until which the request might be sent has passed; no byte of it was written."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: to connect (TCP and TLS each), between two reads, and how long an unused connection is still trusted.

    The default read timeout lies above Binance's own limit of 10 s, so that its "timed out" answer is seen
    (docs/binance.md §1.4). A connection that was idle for longer than ``idle`` may have been forgotten by a router on
    the way; a write on it would be lost without an error, so it is opened anew.
    """

    connect: float = 3.05
    read: float = 13.0
    idle: float = 30.0


@dataclass(slots=True)
class Flight:
    """One call on its way: until when it may start (``time.monotonic()`` seconds), and whether it has started."""

    send_by: float | None = None
    begun: bool = False

    def check(self) -> None:
        """Raise ``TooLate`` when the time to start has passed."""
        if self.send_by is not None:
            late = time.monotonic() - self.send_by
            if late > 0:
                raise TooLate(f"{late * 1000:.0f} ms after send_by; no byte was written")

    def begin(self) -> None:
        """Note that the next instruction writes the first byte; raises ``TooLate`` instead when it must not."""
        self.check()
        self.begun = True


class _GuardedConnection(HTTPConnection):
    """Connects first and only then asks whether it is too late: a slow connect eats time before the request line."""

    flight: Flight
    idle_since: float = 0.0

    def send(self, data: Any) -> None:
        if not self.flight.begun:
            if self.sock is None:
                self.connect()
            self.flight.begin()
        super().send(data)


class _GuardedTlsConnection(_GuardedConnection, HTTPSConnection):
    """The same over TLS; the handshake is over before the first byte of the request."""


class _GuardedPool(HTTPConnectionPool):
    """A pool for one caller. It connects before the call, so that a connect which took too long is not thrown away."""

    ConnectionCls = _GuardedConnection
    flight: Flight
    timeouts: Timeouts

    def warm(self) -> None:
        """Have an open connection at hand. Raises what connecting raises (urllib3 and ``OSError``)."""
        connection: Any = self._get_conn()
        if not connection.is_closed and time.monotonic() - connection.idle_since > self.timeouts.idle:
            connection.close()
        try:
            if connection.is_closed:
                connection.timeout = self.timeouts.connect
                connection.connect()
                connection.idle_since = time.monotonic()
        except BaseException:
            connection.close()
            raise
        finally:
            # Past urllib3's own door: the connection was not used, its idle time goes on.
            super()._put_conn(connection)

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection: Any = super()._get_conn(timeout)
        connection.flight = self.flight
        return connection

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.idle_since = time.monotonic()
        super()._put_conn(conn)

    def urlopen(self, *args: Any, **kwargs: Any) -> BaseHTTPResponse:
        self.flight.check()
        self.warm()
        self.flight.check()
        return super().urlopen(*args, **kwargs)


class _GuardedTlsPool(_GuardedPool, HTTPSConnectionPool):
    ConnectionCls = _GuardedTlsConnection


class GuardedAdapter(HTTPAdapter):
    """Mounts the guarded pools in a ``requests`` session. ``flight`` belongs to the call that is made next.

    ``ipv4_only``: an address of the other family is never connected to, also where a name has both.
    """

    def __init__(self, timeouts: Timeouts, *, ipv4_only: bool = False) -> None:
        self.timeouts = timeouts
        self.flight = Flight()
        # Bound to any IPv4 address, a socket of the other family cannot connect and the next address is tried.
        self._source = {"source_address": ("0.0.0.0", 0)} if ipv4_only else {}  # noqa: S104 - nothing listens
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, **pool_kwargs, **self._source)
        self.poolmanager.pool_classes_by_scheme = {"http": _GuardedPool, "https": _GuardedTlsPool}

    def get_connection_with_tls_context(
        self,
        request: PreparedRequest,
        verify: bool | str | None,
        proxies: Mapping[str, str] | None = None,
        cert: Any = None,
    ) -> Any:
        pool: Any = super().get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
        pool.flight = self.flight
        pool.timeouts = self.timeouts
        return pool

    def warm(self, request: PreparedRequest) -> None:
        """Open the connection that ``request`` would use, without sending anything of it."""
        self.flight = Flight()
        pool = self.get_connection_with_tls_context(request, verify=True)
        self.cert_verify(pool, request.url, True, None)  # type: ignore[no-untyped-call]
        pool.warm()

    def request_timeout(self) -> tuple[float, float]:
        """Seconds to connect and between two reads, as ``requests`` takes them."""
        return self.timeouts.connect, self.timeouts.read
