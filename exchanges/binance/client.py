"""python-binance's synchronous client with its own request building and transport replaced (docs/binance.md §8).

Kept from the library: the endpoint methods and the URL layout. Replaced: the keys and their signatures, and everything
between a parameter dictionary and the socket. Inherited endpoint methods return an ``Answer`` here, never decoded JSON.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import requests
from binance.client import Client

from exchanges.adapters import NOBODY, Credentials
from exchanges.binance.signing import signer_for
from exchanges.http.calls import (
    HIDDEN,
    USER_AGENT,
    Answer,
    Owner,
    checked_url,
    hide,
    new_session,
    open_connection,
    perform,
)
from exchanges.http.transport import Flight, GuardedAdapter, Timeouts

_WIRE_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")  # docs/binance.md §1.2
_KEY = re.compile(r"[!-~]+")
_SIGNATURE = re.compile(r"(signature=)[^&\s'\")]+")
_REAL_HOSTS = (".binance.com", ".binance.vision")


def plain(number: Decimal) -> str:
    """A decimal for the wire: no sign, no exponent, no trailing zeros (docs/binance.md §1.2).

    Raises ``ValueError`` when the exchange's decimal format cannot carry the number exactly.
    """
    if not number.is_finite() or number.adjusted() > 40:
        raise ValueError(f"not a wire decimal: {number}")
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    if not _WIRE_DECIMAL.fullmatch(text):
        raise ValueError(f"not a wire decimal: {number}")
    return text


def wire_value(value: object) -> str:
    """A parameter as text. Floats and anything unknown raise ``TypeError``: ``str()`` would send what nobody meant."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        return plain(value)
    raise TypeError(f"no wire form for {type(value).__name__}")


def encode(parameters: Iterable[tuple[str, str]]) -> str:
    """Percent-encoded payload in the given order: what is signed and, byte for byte, sent (docs/binance.md §1.3).

    Raises ``ValueError`` when a name appears twice: the exchange refuses that, and two values are not one intent.
    """
    pairs = tuple(parameters)
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a parameter name appears twice")
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)


def payload_hash(parameters: Iterable[tuple[str, str]]) -> str:
    """SHA-256 (hex) of the payload without its signature."""
    return hashlib.sha256(encode(parameters).encode("ascii")).hexdigest()


class _HideSignatures(logging.Filter):
    """urllib3 logs whole query strings at DEBUG; a signature does not belong into a log."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if "signature=" in message:
            record.msg, record.args = _SIGNATURE.sub(rf"\1{HIDDEN}", message), ()
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_HideSignatures())


class BinanceClient(Client):  # type: ignore[misc]  # the library is untyped
    """Client of one account, for the thread and process that made it; any other use raises ``WrongThread``.

    The library keeps the last response in a shared attribute, so threads that share a client can receive each other's
    answers (docs/binance.md §8.4); sockets shared over a fork mix requests.
    """

    REQUEST_RECVWINDOW = None  # the library would overwrite the caller's with it
    loop: Any

    def __init__(self, credentials: Credentials, rest_url: str, timeouts: Timeouts | None = None) -> None:
        """``rest_url`` is scheme, host and port, without a path. Raises ``ValueError`` on an unusable URL or key."""
        if not _KEY.fullmatch(credentials.key):
            raise ValueError("a key must be printable ASCII without spaces")
        self._signer = signer_for(credentials.secret)
        # Longest first, so that a secret whose parts are hidden too goes as a whole.
        self._hidden = tuple(sorted((*self._signer.secrets, credentials.key), key=len, reverse=True))
        self.API_URL = checked_url(rest_url, _REAL_HOSTS) + "/api"
        self._owner = Owner()
        self._transport = GuardedAdapter(timeouts or Timeouts())
        # The library's constructor takes or creates an event loop for its thread and never closes it. It gets a
        # thread of its own for that, and the loop goes with the websocket objects, which nothing here uses.
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(super().__init__, credentials.key, ping=False).result()
        self.loop.close()
        self.loop = self.ws_api = self.ws_future = None

    def __del__(self) -> None:
        session = getattr(self, "session", None)  # missing when the constructor raised
        if session is not None:
            session.close()

    def _get_headers(self) -> dict[str, str]:
        key = {} if NOBODY.key == self.API_KEY else {"X-MBX-APIKEY": self.API_KEY}
        return {"Accept": "application/json", "User-Agent": USER_AGENT, **key}

    def _init_session(self) -> requests.Session:
        return new_session(self._transport, self._get_headers())

    def sign(self, payload: str) -> str:
        """Signature of an encoded payload, percent-encoded as it is sent (docs/binance.md §1.3)."""
        return quote(self._signer.sign(payload.encode("ascii")), safe="")

    def warm(self) -> None:
        """Open the connection if there is none or it has been idle for long. Sends nothing; failures are ignored."""
        self._owner.check()
        open_connection(self.session, self._transport, self.API_URL)

    def close(self) -> None:
        """Drop the sockets; the client may be used again and reconnects then."""
        self.session.close()

    def _request(self, method: str, uri: str, signed: bool, force_params: bool = False, **kwargs: Any) -> Answer:
        """Send one call of the library's endpoint methods, once.

        ``data`` holds the parameters, sent sorted by name as they are: a signed call brings its own ``timestamp``.
        ``data["requests_params"]["send_by"]`` (``time.monotonic()`` seconds) is the moment after which not to start.
        Transport errors come back in the answer. Raises ``ValueError`` for calls that must not be made at all.
        """
        self._owner.check()
        if not uri.startswith(self.API_URL + "/"):
            raise ValueError("this client calls only the spot API of its own host")
        data = dict(kwargs.get("data") or {})
        options = data.pop("requests_params", {})
        parameters = tuple(sorted((name, wire_value(value)) for name, value in data.items() if value is not None))
        if signed and not {"timestamp", "recvWindow"} <= {name for name, _ in parameters}:
            raise ValueError("a signed call needs timestamp and recvWindow from its caller")
        payload = encode(parameters)
        signature = ""
        if signed:
            signature = self.sign(payload)
            payload = f"{payload}&signature={signature}"
        return self._dispatch(method.upper(), uri, parameters, payload, signature, Flight(options.get("send_by")))

    def _dispatch(
        self,
        method: str,
        uri: str,
        parameters: tuple[tuple[str, str], ...],
        payload: str,
        signature: str,
        flight: Flight,
    ) -> Answer:
        return perform(
            self.session,
            self._transport,
            self._build(method, uri, payload),
            flight,
            parameters=dict(parameters),
            redact=lambda text: self.redact(text, signature),
        )

    @staticmethod
    def _build(method: str, uri: str, payload: str) -> requests.Request:
        if method == "GET":
            return requests.Request(method, f"{uri}?{payload}" if payload else uri)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return requests.Request(method, uri, data=payload, headers=form)

    def redact(self, text: str, signature: str = "") -> str:
        """The text without key, secret and signatures, and without NUL, which PostgreSQL cannot store."""
        return _SIGNATURE.sub(rf"\1{HIDDEN}", hide(text, (*self._hidden, signature)))
