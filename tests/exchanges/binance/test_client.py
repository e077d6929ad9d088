"""What goes on the wire: signature, stamp, encoding, exactly once, not too late, and nothing secret left behind."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import hmac
import ipaddress
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from binance.client import Client
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given
from hypothesis import strategies as st
from urllib3.util import connection as urllib3_connection

from exchanges.adapters import Credentials
from exchanges.binance.client import BinanceClient, encode, plain, wire_value
from exchanges.http.calls import Answer, WrongThread
from exchanges.http.transport import Timeouts
from exchanges.reports import OutcomeKind
from tests.exchanges.binance.samples import CREDENTIALS, KEY, SECRET
from tests.exchanges.fake_server import DROP, HANG, FakeServer, answer

STAMP = {"timestamp": "1499827319559", "recvWindow": "5000"}
ORDER = {
    "symbol": "LTCBTC",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "1",
    "price": "0.1",
    "newClientOrderId": "mine",
    **STAMP,
}
QUICK = Timeouts(connect=2.0, read=0.2)
Connect = Callable[..., BinanceClient]


def place(client: BinanceClient, send_by: float | None = None) -> Answer:
    result: Answer = client.create_order(**ORDER, requests_params={"send_by": send_by})
    return result


# Signature (docs/binance.md §1.3; vectors published by the exchange, sorted ones recomputed from its key)


@pytest.mark.parametrize(
    ("payload", "signature"),
    [
        (
            "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
            "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71",
        ),
        (
            (
                "symbol=%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96&side=BUY&type=LIMIT&timeInForce=GTC"
                "&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
            ),
            "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3",
        ),
    ],
)
def test_published_signatures(payload: str, signature: str) -> None:
    client = BinanceClient(CREDENTIALS, "http://127.0.0.1:1")
    assert encode(parse_qsl(payload)) == payload
    assert client.sign(encode(parse_qsl(payload))) == signature


def test_sorted_vector_goes_over_the_wire(server: FakeServer, connect: Connect) -> None:
    parameters = {name: value for name, value in ORDER.items() if name != "newClientOrderId"}
    connect(server.url)._post("order", True, data=parameters)
    assert server.seen[0].body == (
        "price=0.1&quantity=1&recvWindow=5000&side=BUY&symbol=LTCBTC&timeInForce=GTC&timestamp=1499827319559&type=LIMIT"
        "&signature=70fd30433bc3a2e3b5ff17d075e50538dde3734841da6dc28d79113dd37fa9c7"
    )


def verified(payload: str) -> bool:
    signed, _, signature = payload.rpartition("&signature=")
    return hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest() == signature


@pytest.mark.parametrize("method", ["_get", "_post", "_delete", "_put"])
def test_every_value_is_encoded_before_it_is_signed(server: FakeServer, connect: Connect, method: str) -> None:
    odd = {"symbol": "１２３", "newClientOrderId": "a b/c:d@e+f&g=h%i~j'(!*)", "symbols": '["币安","A"]'}
    getattr(connect(server.url), method)("order", True, data={**odd, **STAMP})
    assert verified(server.seen[0].payload)
    assert dict(parse_qsl(server.seen[0].payload.rpartition("&")[0])) == {**odd, **STAMP}


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_any_text_survives_the_wire(text: str) -> None:
    with FakeServer() as server:
        client = BinanceClient(CREDENTIALS, server.url)
        client._get("order", True, data={"value": text, **STAMP})
        client.close()
    assert verified(server.seen[0].payload)
    assert dict(parse_qsl(server.seen[0].payload, keep_blank_values=True))["value"] == text


def test_stamp_and_window_go_out_as_given(server: FakeServer, connect: Connect) -> None:
    client = connect(server.url)
    client.timestamp_offset = 99_999
    client.get_order(symbol="LTCBTC", orderId="1", timestamp=123, recvWindow=77)
    sent = dict(parse_qsl(server.seen[0].payload))
    assert (sent["timestamp"], sent["recvWindow"]) == ("123", "77")


def test_a_signed_call_without_a_stamp_is_not_made(server: FakeServer, connect: Connect) -> None:
    with pytest.raises(ValueError, match="timestamp"):
        connect(server.url).get_order(symbol="LTCBTC", orderId="1")
    assert server.raw == b""


def test_headers_are_plain_and_ours(server: FakeServer, connect: Connect) -> None:
    client = connect(server.url)
    client.get_server_time()
    place(client)
    read, write = server.seen
    assert read.headers["x-mbx-apikey"] == write.headers["x-mbx-apikey"] == KEY
    assert "Mozilla" not in read.headers["user-agent"]
    assert write.headers["content-type"] == "application/x-www-form-urlencoded"
    assert (read.method, read.target) == ("GET", "/api/v3/time")
    assert (write.method, write.target) == ("POST", "/api/v3/order")


def test_environment_proxies_are_ignored(server: FakeServer, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    assert connect(server.url).get_server_time().status == 200


def test_netrc_is_ignored(
    server: FakeServer, connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password something\n")
    monkeypatch.setenv("NETRC", str(netrc))
    connect(server.url).get_server_time()
    assert "authorization" not in server.seen[0].headers


def test_cookies_are_not_kept(connect: Connect) -> None:
    with FakeServer([answer({}, headers={"Set-Cookie": "a=b; Path=/"})]) as server:
        client = connect(server.url)
        client.get_server_time()
        client.get_server_time()
    assert "cookie" not in server.seen[1].headers


@pytest.mark.parametrize("uri", ["https://api.binance.com/sapi/v1/x", "https://fapi.binance.com/fapi/v1/order"])
def test_other_hosts_and_interfaces_are_out_of_reach(connect: Connect, uri: str) -> None:
    with pytest.raises(ValueError, match="own host"):
        connect("http://127.0.0.1:1")._request("post", uri, False)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host",
        "host:80",
        "http://",
        "http://user@host",
        "http://host/api",
        "http://host?x=1",
        "http://api.binance.com",
        "http://testnet.binance.vision",
    ],
)
def test_unusable_urls(url: str) -> None:
    with pytest.raises(ValueError, match=r"rest_url|https"):
        BinanceClient(CREDENTIALS, url)


@pytest.mark.parametrize("bad", ["", "with space", "line\nbreak", "café"])
def test_unusable_keys_are_refused_without_being_shown(bad: str) -> None:
    for credentials in (Credentials(bad, SECRET), Credentials(KEY, bad)):
        with pytest.raises(ValueError, match="printable ASCII") as caught:
            BinanceClient(credentials, "http://127.0.0.1:1")
        assert SECRET not in str(caught.value)
        assert KEY not in str(caught.value)


# Numbers


@given(
    st.decimals(
        min_value=0, max_value=Decimal("99999999999999999999"), allow_nan=False, allow_infinity=False, places=18
    )
)
@example(Decimal("1E-8"))
@example(Decimal("1E+5"))
@example(Decimal("0.000000010000000000"))
@example(Decimal("0E-18"))
def test_decimals_round_trip_to_the_wire(number: Decimal) -> None:
    text = plain(number)
    assert Decimal(text) == number
    assert set(text) <= set("0123456789.")
    assert text == "0" or not text.endswith("." if "." not in text else "0")


@given(st.decimals())
def test_a_decimal_goes_exactly_or_not_at_all(number: Decimal) -> None:
    try:
        text = plain(number)
    except ValueError:
        return
    assert Decimal(text) == number
    assert "e" not in text.lower()


@pytest.mark.parametrize("number", ["-1", "NaN", "Infinity", "sNaN", "1E-21", "1E+20", "1E+999999"])
def test_what_the_wire_cannot_carry(number: str) -> None:
    with pytest.raises(ValueError, match="wire decimal"):
        plain(Decimal(number))


def test_wire_values() -> None:
    assert [wire_value(each) for each in ("x", True, False, 7, Decimal("0.10"))] == ["x", "true", "false", "7", "0.1"]
    for bad in (0.1, b"x", None, [1]):
        with pytest.raises(TypeError):
            wire_value(bad)


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        encode([("symbol", "A"), ("symbol", "B")])


# Once, and in time


def test_redirect_is_not_followed(server: FakeServer, connect: Connect) -> None:
    server.script = [answer({}, 302, {"Location": "/elsewhere"})]
    result = place(connect(server.url))
    assert result.status == 302
    assert [(each.method, each.target) for each in server.seen] == [("POST", "/api/v3/order")]


def test_write_on_a_dropped_connection_is_sent_once(server: FakeServer, connect: Connect) -> None:
    server.script = [answer({}), DROP, answer({})]
    client = connect(server.url)
    client.get_server_time()
    result = place(client)
    assert result.failure is not None
    assert (result.failure.kind, result.failure.reason) == (OutcomeKind.UNKNOWN, "connection_lost")
    assert [each.method for each in server.seen] == ["GET", "POST"]
    assert server.connections == 1


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_does_not_make_the_transport_retry(server: FakeServer, connect: Connect, status: int) -> None:
    server.script = [answer({}, status, {"Retry-After": "1"})]
    assert place(connect(server.url)).status == status
    assert len(server.seen) == 1


def test_connection_that_the_server_closed_is_replaced_before_the_write(connect: Connect) -> None:
    with FakeServer([answer({}, headers={"Connection": "close"})]) as server:
        client = connect(server.url)
        client.get_server_time()
        assert place(client).status == 200
    assert [each.method for each in server.seen] == ["GET", "POST"]


def test_connection_idle_for_long_is_replaced(server: FakeServer, connect: Connect) -> None:
    client = connect(server.url, Timeouts(idle=0.0))
    client.get_server_time()
    place(client)
    assert server.connections == 2


def test_connection_is_reused(server: FakeServer, connect: Connect) -> None:
    client = connect(server.url)
    client.warm()
    for _ in range(3):
        client.get_server_time()
    assert server.connections == 1


def test_too_late_before_the_connection(server: FakeServer, connect: Connect) -> None:
    result = place(connect(server.url), send_by=time.monotonic() - 0.001)
    assert result.failure is not None
    assert (result.failure.kind, result.failure.reason) == (OutcomeKind.NOT_SENT, "too_late")
    assert server.connections == 0


def slow_connects(monkeypatch: pytest.MonkeyPatch, until: float) -> None:
    """Every TCP connect comes back only after ``until``."""
    real = urllib3_connection.create_connection

    def slow(*args: Any, **kwargs: Any) -> socket.socket:
        opened = real(*args, **kwargs)
        while time.monotonic() <= until:
            pass
        return opened

    monkeypatch.setattr(urllib3_connection, "create_connection", slow)


def test_slow_connect_makes_it_too_late_and_nothing_is_written(
    server: FakeServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_by = time.monotonic() + 0.05
    slow_connects(monkeypatch, send_by)
    client = connect(server.url)
    result = place(client, send_by)
    assert result.failure is not None
    assert (result.failure.kind, result.failure.reason) == (OutcomeKind.NOT_SENT, "too_late")
    client.close()
    assert server.ended.acquire(timeout=5)  # the server has read to the end of the connection
    assert server.connections == 1
    assert server.raw == b""


def test_late_connection_is_kept_for_the_next_write(
    server: FakeServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_by = time.monotonic() + 0.05
    slow_connects(monkeypatch, send_by)
    client = connect(server.url)
    assert place(client, send_by).failure is not None
    assert place(client, time.monotonic() + 5).status == 200
    assert server.connections == 1
    assert len(server.seen) == 1


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
    assert result.failure is not None
    assert (result.failure.kind, result.failure.reason) == (OutcomeKind.NOT_SENT, "too_late")
    client.close()
    assert server.ended.acquire(timeout=5)
    assert server.raw == b""


def test_slow_tls_handshake_makes_it_too_late(connect: Connect) -> None:
    send_by = time.monotonic() + 0.05
    with FakeServer([HANG]) as server:  # takes the greeting of TLS and says nothing
        result = place(connect(server.url.replace("http", "https"), Timeouts(connect=0.2)), send_by)
    assert result.failure is not None
    assert (result.failure.kind, result.failure.reason) == (OutcomeKind.NOT_SENT, "connect_timeout")
    assert b"HTTP" not in server.raw


def test_untrusted_certificate_proves_not_sent(connect: Connect, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    received = []

    def serve(listener: socket.socket) -> None:
        raw, _ = listener.accept()
        try:
            with context.wrap_socket(raw, server_side=True) as secured:
                received.append(secured.recv(1))
        except OSError:
            pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        result = place(connect(f"https://127.0.0.1:{listener.getsockname()[1]}"))
        thread.join(5)
    assert result.failure is not None
    assert (result.failure.kind, result.failure.reason) == (OutcomeKind.NOT_SENT, "tls_failed")
    assert b"".join(received) == b""


def self_signed(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_refused_connection_proves_not_sent(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    result = place(connect(f"http://127.0.0.1:{port}"))
    assert result.failure is not None
    assert (result.failure.kind, result.failure.reason) == (OutcomeKind.NOT_SENT, "connect_failed")


def test_unresolvable_name_proves_not_sent(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: Any, **__: Any) -> Any:
        raise socket.gaierror("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)
    result = place(connect("http://exchange.invalid"))
    assert result.failure is not None
    assert (result.failure.kind, result.failure.reason) == (OutcomeKind.NOT_SENT, "name_resolution")


def test_read_timeout_proves_nothing(connect: Connect) -> None:
    with FakeServer([HANG]) as server:
        result = place(connect(server.url, QUICK))
        assert len(server.seen) == 1
    assert result.failure is not None
    assert (result.failure.kind, result.failure.reason) == (OutcomeKind.UNKNOWN, "read_timeout")


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 302 Found\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_broken_answers_prove_nothing(connect: Connect, reply: bytes) -> None:
    class Once(FakeServer):
        def _one(self, connection: socket.socket) -> bool:
            super()._one(connection)
            return False

    with Once([reply]) as server:
        result = place(connect(server.url))
    assert len(server.seen) == 1
    assert result.status == 302 or (result.failure is not None and result.failure.kind is OutcomeKind.UNKNOWN)


# Answers belong to their calls


def test_headers_are_those_of_the_call(connect: Connect) -> None:
    script = [answer({}, headers={"X-MBX-USED-WEIGHT-1M": str(n)}) for n in (1, 2)]
    with FakeServer(script) as server:
        client = connect(server.url)
        first, second = client.get_server_time(), client.get_server_time()
    assert [each.headers["x-mbx-used-weight-1m"] for each in (first, second)] == ["1", "2"]
    assert client.response is None  # the library's shared attribute stays unused


def test_use_from_another_thread_is_refused(server: FakeServer, connect: Connect) -> None:
    client = connect(server.url)
    raised: list[BaseException] = []

    def use() -> None:
        for action in (client.get_server_time, client.warm):
            try:
                action()
            except WrongThread as error:
                raised.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(raised) == 2
    assert server.connections == 0


def test_use_after_a_fork_is_refused(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    client = connect("http://127.0.0.1:1")
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(WrongThread):
        client.get_server_time()


def test_construction_leaves_no_event_loop_in_a_plain_thread() -> None:
    found: list[Any] = []

    def build() -> None:
        client = BinanceClient(CREDENTIALS, "http://127.0.0.1:1")
        found.append(client.loop)
        try:
            found.append(asyncio.get_event_loop_policy().get_event_loop())
        except RuntimeError:
            found.append("none")

    thread = threading.Thread(target=build)
    thread.start()
    thread.join()
    assert found == [None, "none"]


def test_many_clients_leave_no_descriptors() -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = descriptors()
    clients = [BinanceClient(CREDENTIALS, "http://127.0.0.1:1") for _ in range(20)]
    assert descriptors() - before < len(clients)  # an event loop alone would hold three each


def test_half_built_client_goes_quietly() -> None:
    BinanceClient.__new__(BinanceClient).__del__()


def test_construction_makes_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "ping", lambda _: pytest.fail("the constructor called the exchange"))
    BinanceClient(CREDENTIALS, "http://127.0.0.1:1")


# Secrets


def test_signature_does_not_reach_the_log(
    server: FakeServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="urllib3.connectionpool"):
        connect(server.url).get_order(symbol="LTCBTC", orderId="1", **STAMP)
    signature = server.seen[0].payload.rpartition("signature=")[2]
    assert "/api/v3/order" in caplog.text
    assert len(signature) == 64
    assert signature not in caplog.text


def test_error_text_holds_no_secret(connect: Connect) -> None:
    client = connect("http://127.0.0.1:1")
    result = client.get_order(symbol="LTCBTC", orderId="1", **STAMP)
    signature = client.sign(encode(sorted({"symbol": "LTCBTC", "orderId": "1", **STAMP}.items())))
    assert result.error
    for secret in (KEY, SECRET, signature):
        assert secret not in f"{result!r}{client!r}"


def test_an_error_that_quotes_the_request_is_redacted(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    client = connect("http://127.0.0.1:1")
    signatures: list[str] = []

    def fail(request: Any, **_: Any) -> Any:
        signatures.append(request.url.rpartition("signature=")[2])
        raise OSError(f"Max retries exceeded with url: {request.url} {request.headers} {signatures[0]} {SECRET}")

    monkeypatch.setattr(client.session, "send", fail)
    result = client.get_order(symbol="LTCBTC", orderId="1", **STAMP)
    assert "Max retries" in result.error
    for secret in (KEY, SECRET, *signatures):
        assert secret not in result.error


def test_redaction() -> None:
    client = BinanceClient(CREDENTIALS, "http://127.0.0.1:1")
    assert client.redact(f"a {KEY} b {SECRET} c?signature=00ff&x=1\x00") == "a … b … c?signature=…&x=1\ufffd"


def test_plain_text_is_not_redacted() -> None:
    client = BinanceClient(CREDENTIALS, "http://127.0.0.1:1")
    text = '{"code":-1022,"msg":"Signature for this request is not valid."}'
    assert client.redact(text) == text
