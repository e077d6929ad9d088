"""python-binance's synchronous client with its own request building and transport replaced (docs/binance.md §8).

Kept from the library: the endpoint methods, the URL layout and the key handling. Replaced: everything between a
parameter dictionary and the socket. Inherited endpoint methods return an ``Answer`` here, never decoded JSON.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import quote, urlsplit

import requests
import urllib3
from binance.client import Client

from exchanges.adapters import Credentials
from exchanges.binance.outcomes import Failure, classify_failure
from exchanges.binance.transport import Flight, GuardedAdapter, Timeouts

USER_AGENT = "execution-engine"

_WIRE_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")  # docs/binance.md §1.2
_KEY = re.compile(r"[!-~]+")
_SIGNATURE = re.compile(r"(signature=)[^&\s'\")]+")
_REAL_HOSTS = (".binance.com", ".binance.vision")
_HIDDEN = "…"
_ERROR_CHARACTERS = 500


class WrongThread(RuntimeError):
    """A client was used outside the thread and process that made it."""


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


@dataclass(frozen=True, slots=True)
class Answer:
    """What one HTTP call came to: either a status with headers and content of that very call, or a ``failure``.

    ``parameters`` are the sent ones without the signature; header names are in lower case.
    """

    method: str
    path: str
    parameters: dict[str, str]
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    failure: Failure | None = None
    error: str = ""


class _HideSignatures(logging.Filter):
    """urllib3 logs whole query strings at DEBUG; a signature does not belong into a log."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if "signature=" in message:
            record.msg, record.args = _SIGNATURE.sub(rf"\1{_HIDDEN}", message), ()
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
        if not (_KEY.fullmatch(credentials.key) and _KEY.fullmatch(credentials.secret)):
            raise ValueError("key and secret must be printable ASCII without spaces")
        self.API_URL = _checked_url(rest_url) + "/api"
        self._owner = (os.getpid(), threading.current_thread())
        self._transport = GuardedAdapter(timeouts or Timeouts())
        # The library's constructor takes or creates an event loop for its thread and never closes it. It gets a
        # thread of its own for that, and the loop goes with the websocket objects, which nothing here uses.
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(super().__init__, credentials.key, credentials.secret, ping=False).result()
        self.loop.close()
        self.loop = self.ws_api = self.ws_future = None

    def __del__(self) -> None:
        session = getattr(self, "session", None)  # missing when the constructor raised
        if session is not None:
            session.close()

    def _get_headers(self) -> dict[str, str]:
        return {"Accept": "application/json", "User-Agent": USER_AGENT, "X-MBX-APIKEY": self.API_KEY}

    def _init_session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False  # no proxies, .netrc or CA bundles from the environment
        session.headers.update(self._get_headers())
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.mount("https://", self._transport)
        session.mount("http://", self._transport)
        return session

    def sign(self, payload: str) -> str:
        """Signature of an encoded payload, as sent; the one place where key types differ (docs/binance.md §1.3)."""
        return quote(self._hmac_signature(payload), safe="")

    def warm(self) -> None:
        """Open the connection if there is none or it has been idle for long. Sends nothing; failures are ignored."""
        self._check_owner()
        try:
            self._transport.warm(self.session.prepare_request(requests.Request("GET", self.API_URL)))
        except (OSError, urllib3.exceptions.HTTPError):
            return

    def close(self) -> None:
        """Drop the sockets; the client may be used again and reconnects then."""
        self.session.close()

    def _request(self, method: str, uri: str, signed: bool, force_params: bool = False, **kwargs: Any) -> Answer:
        """Send one call of the library's endpoint methods, once.

        ``data`` holds the parameters, sent sorted by name as they are: a signed call brings its own ``timestamp``.
        ``data["requests_params"]["send_by"]`` (``time.monotonic()`` seconds) is the moment after which not to start.
        Transport errors come back in the answer. Raises ``ValueError`` for calls that must not be made at all.
        """
        self._check_owner()
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
        path = urlsplit(uri).path
        self._transport.flight = flight
        try:
            request = self.session.prepare_request(self._build(method, uri, payload))
            response = self.session.send(
                request,
                timeout=self._transport.request_timeout(),
                allow_redirects=False,
                verify=True,
                proxies={},
            )
            return Answer(
                method=method,
                path=path,
                parameters=dict(parameters),
                status=response.status_code,
                headers={name.lower(): value for name, value in response.headers.items()},
                content=response.content,
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the flight knows if the request left
            return Answer(
                method=method,
                path=path,
                parameters=dict(parameters),
                failure=classify_failure(error, begun=flight.begun),
                error=self.redact(f"{type(error).__name__}: {error}", signature)[:_ERROR_CHARACTERS],
            )

    @staticmethod
    def _build(method: str, uri: str, payload: str) -> requests.Request:
        if method == "GET":
            return requests.Request(method, f"{uri}?{payload}" if payload else uri)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return requests.Request(method, uri, data=payload, headers=form)

    def redact(self, text: str, signature: str = "") -> str:
        """The text without key, secret and signatures, and without NUL, which PostgreSQL cannot store."""
        for secret in (self.API_SECRET, self.API_KEY, signature):
            if secret:
                text = text.replace(secret, _HIDDEN)
        return _SIGNATURE.sub(rf"\1{_HIDDEN}", text).replace("\x00", "\ufffd")

    def _check_owner(self) -> None:
        process, thread = self._owner
        if os.getpid() != process or threading.current_thread() is not thread:
            raise WrongThread("a Binance client belongs to the thread and process that made it")


def _checked_url(rest_url: str) -> str:
    parts = urlsplit(rest_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("rest_url must be http(s)://host[:port]")
    if parts.path.strip("/"):
        raise ValueError("rest_url must have no path")
    if parts.scheme == "http" and parts.hostname.endswith(_REAL_HOSTS):
        raise ValueError("the exchange is spoken to over https only")
    return f"{parts.scheme}://{parts.netloc}"
