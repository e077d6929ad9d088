"""One HTTP call to an exchange: made once, by the thread that owns the client, told apart by what it proved.

Used by the clients of all exchanges. What an answer means is theirs; here is only whether there was one, whether the
request left, and how both are kept as evidence without secrets.
"""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urlsplit

import requests
from urllib3 import exceptions as urllib3_errors

from exchanges.http.transport import Flight, GuardedAdapter, TooLate
from exchanges.reports import Evidence, OutcomeKind

USER_AGENT = "execution-engine"
HIDDEN = "…"

_ERROR_CHARACTERS = 500
_BODY_BYTES = 65_536

Redact = Callable[[str], str]


class WrongThread(RuntimeError):
    """A client was used outside the thread and process that made it."""


class Owner:
    """The thread and process that made a client; sockets shared over a fork or between threads mix requests."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._thread = threading.current_thread()

    def check(self) -> None:
        """Raises ``WrongThread`` anywhere else."""
        if os.getpid() != self._process or threading.current_thread() is not self._thread:
            raise WrongThread("a client belongs to the thread and process that made it")


@dataclass(frozen=True, slots=True)
class Failure:
    """A call without an answer: NOT_SENT when its first byte was never written, else UNKNOWN."""

    kind: OutcomeKind
    reason: str


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


def answer_of(evidence: Evidence) -> Answer:
    """The stored answer of a call that had one, as the parsers take it."""
    return Answer(
        method=evidence.method,
        path=evidence.path,
        parameters=evidence.parameters,
        status=evidence.http_status,
        headers=evidence.headers,
        content=evidence.body.encode(),
    )


def checked_url(rest_url: str, real_hosts: tuple[str, ...]) -> str:
    """Scheme, host and port. Raises ``ValueError`` on anything else, and on plain http to one of ``real_hosts``."""
    parts = urlsplit(rest_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("rest_url must be http(s)://host[:port]")
    if parts.path.strip("/"):
        raise ValueError("rest_url must have no path")
    if parts.scheme == "http" and parts.hostname.endswith(real_hosts):
        raise ValueError("the exchange is spoken to over https only")
    return f"{parts.scheme}://{parts.netloc}"


def new_session(transport: GuardedAdapter, headers: Mapping[str, str]) -> requests.Session:
    """A session over ``transport`` alone: nothing from the environment (proxies, .netrc, CA bundles), no cookies."""
    session = requests.Session()
    session.trust_env = False
    session.headers.update(headers)
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.mount("https://", transport)
    session.mount("http://", transport)
    return session


def perform(
    session: requests.Session,
    transport: GuardedAdapter,
    request: requests.Request,
    flight: Flight,
    *,
    parameters: dict[str, str],
    redact: Redact,
) -> Answer:
    """Send ``request`` once, without redirects. Never raises because of the network: failures are in the answer."""
    method, path = str(request.method), urlsplit(str(request.url)).path
    transport.flight = flight
    try:
        response = session.send(
            session.prepare_request(request),
            timeout=transport.request_timeout(),
            allow_redirects=False,
            verify=True,
            proxies={},
        )
        return Answer(
            method=method,
            path=path,
            parameters=parameters,
            status=response.status_code,
            headers={name.lower(): value for name, value in response.headers.items()},
            content=response.content,
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, the flight knows if the request left
        return Answer(
            method=method,
            path=path,
            parameters=parameters,
            failure=classify_failure(error, begun=flight.begun),
            error=redact(f"{type(error).__name__}: {error}")[:_ERROR_CHARACTERS],
        )


def open_connection(session: requests.Session, transport: GuardedAdapter, url: str) -> None:
    """Open the connection to ``url`` if there is none or it has been idle for long; failures are ignored."""
    try:
        transport.warm(session.prepare_request(requests.Request("GET", url)))
    except (OSError, urllib3_errors.HTTPError):
        return


def hide(text: str, secrets: Iterable[str]) -> str:
    """The text without ``secrets``, and without NUL, which PostgreSQL cannot store."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, HIDDEN)
    return text.replace("\x00", "\ufffd")


def evidence_of(answer: Answer, redact: Redact, headers: dict[str, str]) -> Evidence:
    """The call as evidence: body bounded, secrets out; ``headers`` are those worth keeping."""
    # Redacted before it is cut to size: a cut through a secret would hide it from the redaction.
    body = redact(answer.content[: 2 * _BODY_BYTES].decode("utf-8", errors="replace"))
    return Evidence(
        method=answer.method,
        path=answer.path,
        parameters=answer.parameters,
        http_status=answer.status,
        headers=headers,
        body=body.encode()[:_BODY_BYTES].decode(errors="ignore"),
        error=answer.error,
    )


def retry_after_ms(header: str | None) -> int | None:
    """A Retry-After header in seconds as ms; None when absent or not a number of seconds."""
    text = (header or "").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        return None
    return int(text) * 1000


_BEFORE_FIRST_BYTE: tuple[tuple[str, tuple[type[BaseException], ...]], ...] = (
    ("too_late", (TooLate,)),
    ("name_resolution", (urllib3_errors.NameResolutionError,)),
    ("tls_failed", (ssl.SSLError, urllib3_errors.SSLError)),
    ("connect_failed", (urllib3_errors.NewConnectionError, ConnectionError)),  # a NewConnectionError is a TimeoutError
    ("connect_timeout", (urllib3_errors.TimeoutError, TimeoutError)),
)
_AFTER_FIRST_BYTE: tuple[tuple[str, tuple[type[BaseException], ...]], ...] = (
    ("read_timeout", (requests.Timeout, urllib3_errors.TimeoutError, TimeoutError)),
    ("connection_lost", (requests.RequestException, urllib3_errors.HTTPError, OSError)),
)


def classify_failure(error: BaseException, *, begun: bool) -> Failure:
    """What an exception of the transport proves. ``begun``: the first byte was (or may have been) written."""
    kind = OutcomeKind.UNKNOWN if begun else OutcomeKind.NOT_SENT
    table = _AFTER_FIRST_BYTE if begun else _BEFORE_FIRST_BYTE
    chain = tuple(_chain(error))
    for reason, types in table:
        if any(isinstance(link, types) for link in chain):
            return Failure(kind, reason)
    return Failure(kind, "internal_error")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it wraps: requests and urllib3 keep the cause in their arguments."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting and len(seen) < 10:
        link = waiting.pop()
        seen.append(link)
        yield link
        inner = [*link.args, getattr(link, "reason", None), link.__cause__]
        waiting.extend(item for item in inner if isinstance(item, BaseException) and item not in seen)
