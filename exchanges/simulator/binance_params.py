"""Binance requests: raw bytes to checked parameters (docs/binance.md §1.2, §1.4, §5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

MAX_RECV_WINDOW = Decimal(60_000)
DEFAULT_RECV_WINDOW = Decimal(5_000)
EARLIEST_MS = 1_483_228_800_000
"""2017-01-01; older timestamps are malformed."""
MAX_DECIMALS = 8


class BinanceError(Exception):
    """An error answer: HTTP status, code, text, extra headers, and the `data` some errors carry."""

    def __init__(
        self, code: int, msg: str, status: int = 400, headers: Mapping[str, str] | None = None, data: Any = None
    ) -> None:
        super().__init__(msg)
        self.code = code
        self.msg = msg
        self.status = status
        self.headers = dict(headers or {})
        self.data = data


class Pattern(NamedTuple):
    """A legal range as -1100 texts quote it, and the expression that decides."""

    text: str
    expression: re.Pattern[str]


def _pattern(text: str, expression: str | None = None) -> Pattern:
    return Pattern(text, re.compile(expression or text))


SYMBOL = _pattern(r"^[\w\-._&&[^a-z]]{1,50}$", r"^(?:(?![a-z])[\w\-.]){1,50}$")
CLIENT_ID = _pattern("^[a-zA-Z0-9-_]{1,36}$", r"^[a-zA-Z0-9\-_]{1,36}$")
INTEGER = _pattern("^[0-9]{1,20}$")
DECIMAL = _pattern(r"^([0-9]{1,20})(\.[0-9]{1,20})?$")
WINDOW = _pattern(r"^([0-9]{1,20})(\.[0-9]{1,3})?$")
BOOLEAN = _pattern("^(true|false)$")
WORD = _pattern("^[A-Z0-9_]{1,50}$")
ANY = _pattern("^.*$", r"(?s)^.*$")

Spec = Mapping[str, tuple[Pattern, bool]]
"""Parameter name to its legal range and whether it is mandatory."""

SIGNING: Spec = {
    "recvWindow": (WINDOW, False),
    "timestamp": (INTEGER, True),
    "signature": (ANY, True),
}

API_KEY = re.compile(r"^[A-Za-z0-9_-]{1,128}$")


@dataclass(slots=True, frozen=True)
class Call:
    """One request, parameters decoded; the raw bytes are what is signed.

    Over the WebSocket API `message` is what is signed instead, and nothing has to be when the session is `logged_on`.
    """

    method: str
    path: str
    raw_query: bytes
    raw_body: bytes
    api_key: str | None
    time_unit: str
    params: dict[str, str]
    sent: int
    duplicate: bool
    message: bytes | None = None
    logged_on: bool = False

    @property
    def name(self) -> str:
        """Method and path, as faults and counters name calls."""
        return f"{self.method} {self.path}"

    @property
    def microseconds(self) -> bool:
        """Whether times in the answer are in µs."""
        return self.time_unit == "MICROSECOND"


def pairs(raw: bytes) -> list[tuple[str, str]]:
    """Name and value pairs of a raw query string or form body, percent-decoded."""
    if not raw:
        return []
    text = raw.decode("utf-8", "replace")
    found: list[tuple[str, str]] = []
    encoded = "%" in text or "+" in text
    for pair in text.split("&"):
        name, _, value = pair.partition("=")
        if name or value:
            found.append((unquote_plus(name), unquote_plus(value)) if encoded else (name, value))
    return found


def parse(method: str, path: str, raw_query: bytes, raw_body: bytes, headers: Mapping[str, str]) -> Call:
    """Build a call; on a name clash the query wins, GET bodies are ignored. Checks nothing."""
    query = pairs(raw_query)
    body = pairs(raw_body) if method != "GET" else []
    params = dict(body)
    params.update(query)
    return Call(
        method,
        path,
        raw_query,
        raw_body if method != "GET" else b"",
        headers.get("X-MBX-APIKEY"),
        headers.get("X-MBX-TIME-UNIT", "MILLISECOND").upper(),
        params,
        len(params),
        len({name for name, _ in query}) != len(query) or len({name for name, _ in body}) != len(body),
    )


def missing(name: str) -> BinanceError:
    """-1102 for one parameter."""
    return BinanceError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def check_params(call: Call, spec: Spec) -> None:
    """Mandatory, duplicate, unknown and empty parameters, then legal characters."""
    params = call.params
    for name, (_, mandatory) in spec.items():
        if mandatory and not params.get(name):
            raise missing(name)
    if call.duplicate:
        raise BinanceError(-1101, "Duplicate values for a parameter detected.")
    read = sum(1 for name in params if name in spec)
    if read != call.sent:
        raise BinanceError(
            -1104, f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{call.sent}'."
        )
    for name, value in params.items():
        if not value:
            raise BinanceError(-1105, f"Parameter '{name}' was empty.")
        legal = spec[name][0]
        if legal.expression.match(value) is None or value.endswith("\n"):
            raise BinanceError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal.text}'.")


def timing(params: Mapping[str, str]) -> tuple[Decimal, Decimal]:
    """Timestamp and recvWindow in ms (a timestamp in µs is recognised by its size)."""
    stamp = Decimal(params["timestamp"])
    if stamp >= 10**14:
        stamp /= 1000
    window = Decimal(params.get("recvWindow") or DEFAULT_RECV_WINDOW)
    if window > MAX_RECV_WINDOW:
        raise BinanceError(-1131, "'recvWindow' must be less than 60000.")
    return stamp, window


def check_timing(stamp: Decimal, window: Decimal, now: int) -> None:
    """Accept iff stamp < now + 1000 ms and now - stamp <= window (docs/binance.md §1.4)."""
    if stamp < EARLIEST_MS or stamp > now + 10_000:
        raise missing("timestamp")
    if stamp >= now + 1000:
        raise BinanceError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now - stamp > window:
        raise BinanceError(-1021, "Timestamp for this request is outside of the recvWindow.")


def decimal(params: Mapping[str, str], name: str) -> Decimal | None:
    """A decimal parameter, None when absent. More than 8 decimals are -1111."""
    text = params.get(name)
    if text is None:
        return None
    if len(text.partition(".")[2]) > MAX_DECIMALS:
        raise BinanceError(-1111, f"Parameter '{name}' has too much precision.")
    return Decimal(text)


def integer(params: Mapping[str, str], name: str) -> int | None:
    """An integer parameter, None when absent."""
    text = params.get(name)
    return None if text is None else int(text)


def moment(params: Mapping[str, str], name: str) -> int | None:
    """A time parameter in epoch ms, given in ms or µs, None when absent."""
    value = integer(params, name)
    return value // 1000 if value is not None and value >= 10**14 else value
