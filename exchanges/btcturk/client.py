"""BTCTurk's HTTP protocol: signature, stamp, exact bodies. Every call goes out once (docs/btcturk.md §1, §2)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Iterable
from decimal import Decimal
from urllib.parse import quote, urlencode

import requests

from exchanges.adapters import Credentials
from exchanges.http.calls import (
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
from execution_project.common.money import plain

Pairs = Iterable[tuple[str, str]]

_KEY = re.compile(r"[!-~]+")
_WIRE_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,16})?")  # docs/btcturk.md §2.5
_REAL_HOSTS = ("btcturk.com",)
_JSON = {"Content-Type": "application/json"}
_TIMEOUTS = Timeouts(read=10.0)  # docs/btcturk.md §3


def wire_decimal(number: Decimal) -> str:
    """A decimal for the wire: no sign, no exponent, no trailing zeros (docs/btcturk.md §2.5).

    Raises ``ValueError`` when the exchange's decimal format cannot carry the number exactly.
    """
    text = plain(number) if number.is_finite() and number.adjusted() < 40 else ""
    if not _WIRE_DECIMAL.fullmatch(text):
        raise ValueError(f"not a wire decimal: {number}")
    return text


def render(method: str, parameters: Pairs) -> str:
    """What carries the parameters: a JSON object of strings for POST, else a query string; in the given order.

    The JSON has no blanks and is ASCII, so that the same parameters always give the same bytes. Raises ``ValueError``
    when a name appears twice: two values are not one intent.
    """
    pairs = tuple(parameters)
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a parameter name appears twice")
    if method == "POST":
        return json.dumps(dict(pairs), separators=(",", ":"))
    return urlencode(pairs, quote_via=quote, safe="")


def request_hash(method: str, path: str, parameters: Pairs, stamp_ms: int) -> str:
    """SHA-256 (hex) over stamp, method, path and rendered parameters, one per line.

    The exchange's signature covers none of the last three (docs/btcturk.md §1); this is what notices a change.
    """
    text = f"{stamp_ms}\n{method}\n{path}\n{render(method, parameters)}"
    return hashlib.sha256(text.encode("ascii")).hexdigest()


class BtcturkClient:
    """Client of one account, for the thread and process that made it; any other use raises ``WrongThread``."""

    def __init__(self, credentials: Credentials, rest_url: str, timeouts: Timeouts | None = None) -> None:
        """``rest_url`` is scheme, host and port. Raises ``ValueError`` on an unusable URL, key or secret."""
        self.url = checked_url(rest_url, _REAL_HOSTS)
        if not _KEY.fullmatch(credentials.key):
            raise ValueError("a key must be printable ASCII without spaces")
        self._credentials = credentials
        self._secret = _decoded(credentials.secret)
        self._owner = Owner()
        # A key is bound to an IPv4 address; a call over the other family is unauthorised (docs/btcturk.md §1).
        self._transport = GuardedAdapter(timeouts or _TIMEOUTS, ipv4_only=True)
        headers = {"Accept": "application/json", "User-Agent": USER_AGENT}
        self._session = new_session(self._transport, headers)

    def sign(self, stamp: str) -> str:
        """Signature of a call stamped ``stamp``: over key and stamp, nothing else (docs/btcturk.md §1)."""
        message = (self._credentials.key + stamp).encode("ascii")
        return base64.b64encode(hmac.new(self._secret, message, hashlib.sha256).digest()).decode("ascii")

    def public(self, path: str, parameters: Pairs = ()) -> Answer:
        """GET without key and signature. Transport errors come back in the answer."""
        return self._call("GET", path, tuple(parameters), {}, Flight())

    def private(self, method: str, path: str, parameters: Pairs, stamp_ms: int, send_by: float | None = None) -> Answer:
        """One signed call, once. ``send_by`` (``time.monotonic()`` seconds): the moment after which not to start."""
        stamp = str(stamp_ms)
        headers = {"X-PCK": self._credentials.key, "X-Stamp": stamp, "X-Signature": self.sign(stamp), **_JSON}
        return self._call(method, path, tuple(parameters), headers, Flight(send_by))

    def _call(
        self, method: str, path: str, parameters: tuple[tuple[str, str], ...], headers: dict[str, str], flight: Flight
    ) -> Answer:
        """``parameters`` of the answer tell the stamp too, under the name of its header."""
        self._owner.check()
        rendered = render(method, parameters)
        if method == "POST":
            request = requests.Request(method, self.url + path, headers=headers, data=rendered.encode("ascii"))
        else:
            url = f"{self.url}{path}?{rendered}" if rendered else self.url + path
            request = requests.Request(method, url, headers=headers)
        stamp = {name: value for name, value in headers.items() if name == "X-Stamp"}
        return perform(
            self._session,
            self._transport,
            request,
            flight,
            parameters={**dict(parameters), **stamp},
            redact=lambda text: self.redact(text, stamp.get("X-Stamp")),
        )

    def redact(self, text: str, stamp: str | None = None) -> str:
        """The text without key, secret and the signature of ``stamp``, each also as JSON and URLs write it."""
        signature = "" if stamp is None else self.sign(stamp)
        secrets = (self._credentials.secret, signature, self._credentials.key)
        return hide(text, [form for each in secrets for form in (each, each.replace("/", "\\/"), quote(each, safe=""))])

    def warm(self) -> None:
        """Open the connection if there is none or it has been idle for long. Sends nothing; failures are ignored."""
        self._owner.check()
        open_connection(self._session, self._transport, self.url)

    def close(self) -> None:
        """Drop the sockets; the client may be used again and reconnects then."""
        self._session.close()


def _decoded(secret: str) -> bytes:
    try:
        decoded = base64.b64decode(secret, validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if not decoded:
        raise ValueError("a secret must be base64")  # outside the handler: the decoder's error may hold the text
    return decoded
