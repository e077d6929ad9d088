"""What goes on the wire: signature, stamp, exact bytes, the right address, and nothing secret left behind."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.adapters import Credentials
from exchanges.btcturk.client import BtcturkClient, render, request_hash, wire_decimal
from exchanges.http.calls import Answer, WrongThread
from exchanges.http.transport import Timeouts
from exchanges.reports import OutcomeKind
from tests.exchanges.btcturk.samples import CREDENTIALS, KEY, SECRET, STAMP
from tests.exchanges.fake_server import DROP, HANG, FakeServer, answer

NOWHERE = "http://127.0.0.1:1"
BODY = (("newOrderClientId", "mine"), ("orderMethod", "limit"), ("quantity", "0.5"))
Connect = Callable[..., BtcturkClient]


def place(client: BtcturkClient, send_by: float | None = None) -> Answer:
    return client.private("POST", "/api/v1/order", BODY, STAMP, send_by=send_by)


def failure_of(result: Answer) -> tuple[OutcomeKind, str]:
    assert result.failure is not None
    return result.failure.kind, result.failure.reason


# Signature (docs/btcturk.md §1; the third is the vector of an unrelated public project)


@pytest.mark.parametrize(
    ("key", "secret", "stamp", "signature"),
    [
        (
            "demo-public-key-0001",
            "Zml4dHVyZS1zZWNyZXQtQS0zMi1ieXRlcy1sb25nISE=",
            "1700000000000",
            "I8N4muP9WJR63/52FkttfUl/oWe0TGffeAuLd0zKvzU=",
        ),
        (KEY, SECRET, str(STAMP), "KR2w0snOFfXrnSC/oCbezn5wEe0+XtlRWev3CsUtxkU="),
        (
            "test-public-key",
            "dGVzdC1zZWNyZXQta2V5LWZvci11bml0LXRlc3Rz",
            "1735689600000",
            "7gyFGcOS+qnq46h/rl83VtpaEAsh8Th3Z3lQrF7g2I0=",
        ),
        (KEY, SECRET, "3000", "QMPOxS539jlzNkAkuKMLziOoAdx1gVrkyy46bAB9ktg="),
    ],
)
def test_signature_vectors(key: str, secret: str, stamp: str, signature: str) -> None:
    assert BtcturkClient(Credentials(key, secret), NOWHERE).sign(stamp) == signature


def test_a_write_carries_the_signed_stamp_and_exactly_its_body(server: FakeServer, connect: Connect) -> None:
    place(connect(server.url))
    (seen,) = server.seen
    assert (seen.method, seen.target) == ("POST", "/api/v1/order")
    assert seen.headers["x-pck"] == KEY
    assert seen.headers["x-stamp"] == "1767225600123"
    assert seen.headers["x-signature"] == "KR2w0snOFfXrnSC/oCbezn5wEe0+XtlRWev3CsUtxkU="
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["user-agent"] == "execution-engine"
    assert seen.body == '{"newOrderClientId":"mine","orderMethod":"limit","quantity":"0.5"}'


def test_a_delete_and_a_read_go_by_query(server: FakeServer, connect: Connect) -> None:
    client = connect(server.url)
    client.private("DELETE", "/api/v1/order", [("id", "7")], STAMP)
    result = client.private("GET", "/api/v1/allOrders", [("pairSymbol", "BTCTRY"), ("startTime", "5")], STAMP)
    assert [(each.method, each.target, each.body) for each in server.seen] == [
        ("DELETE", "/api/v1/order?id=7", ""),
        ("GET", "/api/v1/allOrders?pairSymbol=BTCTRY&startTime=5", ""),
    ]
    assert result.parameters == {"pairSymbol": "BTCTRY", "startTime": "5", "X-Stamp": str(STAMP)}


def test_public_calls_show_no_key(server: FakeServer, connect: Connect) -> None:
    connect(server.url).public("/api/v2/ticker", [("pairSymbol", "BTCTRY")])
    assert server.seen[0].target == "/api/v2/ticker?pairSymbol=BTCTRY"
    assert not {"x-pck", "x-stamp", "x-signature"} & set(server.seen[0].headers)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20))
def test_any_text_survives_both_renderings(text: str) -> None:
    assert json.loads(render("POST", [("a", text)])) == {"a": text}
    assert dict(parse_qsl(render("GET", [("a", text)]), keep_blank_values=True)) == {"a": text}
    assert render("POST", [("a", text)]).isascii()


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        render("GET", [("id", "1"), ("id", "2")])


def test_hash_covers_what_the_signature_does_not() -> None:
    base = ("POST", "/api/v1/order", BODY, STAMP)
    others = [
        ("DELETE", "/api/v1/order", BODY, STAMP),
        ("POST", "/api/v1/orders", BODY, STAMP),
        ("POST", "/api/v1/order", BODY[:2], STAMP),
        ("POST", "/api/v1/order", BODY, STAMP + 1),
    ]
    assert len({request_hash(*each) for each in [base, *others]}) == 5
    text = f"{STAMP}\nPOST\n/api/v1/order\n" + render("POST", BODY)
    assert request_hash(*base) == hashlib.sha256(text.encode()).hexdigest()


# Numbers


@given(st.decimals(min_value=0, max_value=Decimal("999999999999"), allow_nan=False, allow_infinity=False, places=16))
def test_decimals_round_trip_to_the_wire(number: Decimal) -> None:
    text = wire_decimal(number)
    assert Decimal(text) == number
    assert set(text) <= set("0123456789.")
    assert text == "0" or not text.endswith("." if "." not in text else "0")


@given(st.decimals())
def test_a_decimal_goes_exactly_or_not_at_all(number: Decimal) -> None:
    try:
        text = wire_decimal(number)
    except ValueError:
        return
    assert Decimal(text) == number
    assert "e" not in text.lower()


@pytest.mark.parametrize("number", ["-1", "NaN", "Infinity", "sNaN", "1E-17", "1E+12", "1E+999999"])
def test_what_the_wire_cannot_carry(number: str) -> None:
    with pytest.raises(ValueError, match="wire decimal"):
        wire_decimal(Decimal(number))


# Once, in time, to the right address


def test_redirect_is_not_followed(server: FakeServer, connect: Connect) -> None:
    server.script = [answer({}, 302, {"Location": "/elsewhere"})]
    assert place(connect(server.url)).status == 302
    assert len(server.seen) == 1


def test_write_on_a_dropped_connection_is_sent_once(server: FakeServer, connect: Connect) -> None:
    server.script = [answer({}), DROP, answer({})]
    client = connect(server.url)
    client.public("/api/v2/server/time")
    assert failure_of(place(client)) == (OutcomeKind.UNKNOWN, "connection_lost")
    assert [each.method for each in server.seen] == ["GET", "POST"]
    assert server.connections == 1


@pytest.mark.parametrize("status", [429, 503, 504])
def test_retry_after_does_not_make_the_transport_retry(server: FakeServer, connect: Connect, status: int) -> None:
    server.script = [answer({}, status, {"Retry-After": "1"})]
    assert place(connect(server.url)).status == status
    assert len(server.seen) == 1


def test_a_hanging_write_proves_nothing(connect: Connect) -> None:
    with FakeServer([HANG]) as server:
        result = place(connect(server.url, Timeouts(read=0.2)))
        assert len(server.seen) == 1
    assert failure_of(result) == (OutcomeKind.UNKNOWN, "read_timeout")


def test_too_late_before_the_connection(server: FakeServer, connect: Connect) -> None:
    assert failure_of(place(connect(server.url), send_by=time.monotonic() - 0.001)) == (
        OutcomeKind.NOT_SENT,
        "too_late",
    )
    assert server.connections == 0


def test_pause_after_the_connection_check_is_noticed_before_the_first_byte(
    server: FakeServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(server.url)
    client.warm()
    times = iter([0.0, 0.0, 0.0, 0.0, 10.0])
    last = [0.0]

    def clock() -> float:
        last[0] = next(times, last[0])
        return last[0]

    monkeypatch.setattr("exchanges.http.transport.time.monotonic", clock)
    result = place(client, send_by=5.0)
    monkeypatch.undo()
    assert failure_of(result) == (OutcomeKind.NOT_SENT, "too_late")
    client.close()
    assert server.ended.acquire(timeout=5)  # the server has read to the end of the connection
    assert server.raw == b""


def test_refused_connection_proves_not_sent(connect: Connect) -> None:
    assert failure_of(place(connect(NOWHERE))) == (OutcomeKind.NOT_SENT, "connect_failed")


def resolves_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[socket.AddressFamily, str]) -> None:
    def found(_: str, port: int, *__: Any, **___: Any) -> Any:
        return [(family, socket.SOCK_STREAM, 6, "", (address, port)) for family, address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", found)


def test_only_ipv4_is_connected_to(server: FakeServer, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        other = socket.create_server(("::1", server.port), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    url = f"http://exchange.invalid:{server.port}"
    with other:
        resolves_to(monkeypatch, (socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1"))
        assert place(connect(url)).status == 200
        resolves_to(monkeypatch, (socket.AF_INET6, "::1"))
        assert failure_of(place(connect(url)))[0] is OutcomeKind.NOT_SENT
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()


@pytest.mark.parametrize("url", ["ftp://host", "http://", "http://host/api", "http://api.btcturk.com"])
def test_unusable_urls(url: str) -> None:
    with pytest.raises(ValueError, match=r"rest_url|https"):
        BtcturkClient(CREDENTIALS, url)


@pytest.mark.parametrize("secret", ["", "not base64!", "AAEC=AwQ", "abcde"])
def test_unusable_secrets_are_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(ValueError, match="base64") as caught:
        BtcturkClient(Credentials(KEY, secret), NOWHERE)
    assert caught.value.__context__ is None
    assert not secret or secret not in str(caught.value)


@pytest.mark.parametrize("key", ["", "with space", "line\nbreak", "café"])
def test_unusable_keys(key: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        BtcturkClient(Credentials(key, SECRET), NOWHERE)


# Owner


def test_use_from_another_thread_is_refused(server: FakeServer, connect: Connect) -> None:
    client = connect(server.url)
    raised: list[BaseException] = []

    def use() -> None:
        for action in (lambda: client.public("/x"), lambda: place(client), client.warm):
            try:
                action()
            except WrongThread as error:
                raised.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(raised) == 3
    assert server.connections == 0


def test_use_after_a_fork_is_refused(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    client = connect(NOWHERE)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(WrongThread):
        place(client)


# Secrets


def test_redaction_in_every_spelling() -> None:
    client = BtcturkClient(CREDENTIALS, NOWHERE)
    signature = client.sign(str(STAMP))
    shown = f"{KEY} {SECRET} {signature} {quote(signature, safe='')} {signature.replace('/', chr(92) + '/')}\x00"
    assert client.redact(shown, str(STAMP)) == "… … … … …\ufffd"
    assert client.redact('{"message":"Unauthorized - Invalid Signature"}') == (
        '{"message":"Unauthorized - Invalid Signature"}'
    )


def test_nothing_secret_reaches_the_log(server: FakeServer, connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="urllib3.connectionpool"):
        place(connect(server.url))
    assert "/api/v1/order" in caplog.text
    signature = server.seen[0].headers["x-signature"]
    assert (
        signature
        == base64.b64encode(
            hmac.new(base64.b64decode(SECRET), f"{KEY}{STAMP}".encode(), hashlib.sha256).digest()
        ).decode()
    )
    for secret in (KEY, SECRET, signature):
        assert secret not in caplog.text


def test_an_error_that_quotes_the_request_is_redacted(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    client = connect(NOWHERE)

    def fail(request: Any, **_: Any) -> Any:
        raise OSError(f"failed: {request.headers} {SECRET}")

    monkeypatch.setattr(client._session, "send", fail)
    result = place(client)
    assert "failed" in result.error
    for secret in (KEY, SECRET, client.sign(str(STAMP))):
        assert secret not in result.error
