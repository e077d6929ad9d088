"""The simulator's own signature function against the published vectors (docs/binance.md §1.5)."""

from __future__ import annotations

from base64 import b64encode

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from exchanges.simulator.signatures import (
    fits,
    key_kind,
    load_public_key,
    payload,
    sign,
    verify,
    websocket_payload,
    without_signature,
)

SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
TAIL = b"side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
WIDE = "symbol=１２３４５６&".encode() + TAIL
ENCODED = b"symbol=%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96&" + TAIL
NEGATIVE = "ca2cdfbf21d2e2958de492c7f2dd1f059dd2ed4d4459d26a5ec7928db50c8d4f"


@pytest.mark.parametrize(
    ("query", "body", "expected"),
    [
        pytest.param(
            b"",
            b"symbol=LTCBTC&" + TAIL,
            "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71",
            id="H1",
        ),
        pytest.param(ENCODED, b"", "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3", id="H2"),
        pytest.param(
            b"symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC",
            b"quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
            "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77",
            id="H3",
        ),
        pytest.param(
            b"price=0.1&quantity=1&recvWindow=5000&side=BUY&symbol=LTCBTC&timeInForce=GTC"
            b"&timestamp=1499827319559&type=LIMIT",
            b"",
            "70fd30433bc3a2e3b5ff17d075e50538dde3734841da6dc28d79113dd37fa9c7",
            id="H4",
        ),
    ],
)
def test_published_vectors(query: bytes, body: bytes, expected: str) -> None:
    assert sign(SECRET, payload(query, body)) == expected
    assert verify(SECRET, query, body, expected)
    assert verify(SECRET, query, body, expected.upper())
    assert not verify(SECRET, query, body, expected[::-1])


def test_signature_over_unencoded_text_is_refused() -> None:
    assert sign(SECRET, WIDE) == NEGATIVE
    assert not verify(SECRET, ENCODED, b"", NEGATIVE)
    assert not verify(SECRET, WIDE, b"", NEGATIVE)


@pytest.mark.parametrize("raw", [b"signature=x&a=1&b=2", b"a=1&signature=x&b=2", b"a=1&b=2&signature=x"])
def test_signature_pair_is_left_out_wherever_it_sits(raw: bytes) -> None:
    assert without_signature(raw) == b"a=1&b=2"
    assert without_signature(b"a=1&mysignature=x") == b"a=1&mysignature=x"


ED25519 = "MCowBQYDK2VwAyEAGUIKv9dSpWXBViXp2m6vAIb8QMFJYBgyFEQsFJlqgA0="
API_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        pytest.param(
            "price=52000.00&quantity=0.01000000&recvWindow=100&side=SELL&symbol=BTCUSDT&timeInForce=GTC"
            "&timestamp=1645423376532&type=LIMIT",
            "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24",
            id="H5",
        ),
        pytest.param(
            "price=0.10000000&quantity=1.00000000&recvWindow=5000&side=BUY&symbol=１２３４５６&timeInForce=GTC"
            "&timestamp=1645423376532&type=LIMIT",
            "b33892ae8e687c939f4468c6268ddd4c40ac1af18ad19a064864c47bae0752cd",
            id="H6",
        ),
        pytest.param(
            "timestamp=1747385641636", "681110a6057ad58657af22f5640fab9dd17418834cdfccdc81be8b0f7b2cde3e", id="H7"
        ),
    ],
)
def test_websocket_vectors(params: str, expected: str) -> None:
    given = {**dict(pair.split("=") for pair in params.split("&")), "apiKey": API_KEY, "signature": "left out"}
    message = websocket_payload(given)
    assert message == f"apiKey={API_KEY}&{params}".encode()
    assert fits(SECRET, "", message, expected)
    assert not fits(SECRET, "", message, "１" * 64)


@pytest.mark.parametrize(
    ("message", "signature"),
    [
        pytest.param(
            b"A\x01EXAMPLE\x01SPOT\x011\x0120240627-11:17:25.223",
            "4MHXelVVcpkdwuLbl6n73HQUXUf1dse2PCgT1DYqW9w8AVZ1RACFGM+5UdlGPrQHrgtS3CvsRURC1oj73j8gCA==",
            id="E1",
        ),
        pytest.param(
            b"symbol=BTCUSDT&side=SELL&type=LIMIT&timeInForce=GTC&quantity=1&price=0.2&timestamp=1668481559918"
            b"&recvWindow=5000",
            "inDT086KVIP8vgUfw5sV3VTkescWztiAGlf4x8FLKHM4NInsn0c1kYVLoGMO8cyjfR6vmTku2YQE0gtfVVlfCw==",
            id="E2",
        ),
        pytest.param(
            b"apiKey=4yNzx3yWC5bS6YTwEkSRaC0nRmSQIIStAUOh1b6kqaBrTLIhjCpI5lJH8q8R8WNO&timestamp=1747385641636",
            "Zbw3iSiivieZE4UTpDuG96UxHcy4OQRsgQipzzwJOkjFUsmKOGycHZig9Zl1lWuTspo8KSdtw5/fe4edF0GFBA==",
            id="E3",
        ),
    ],
)
def test_ed25519_vectors(message: bytes, signature: str) -> None:
    pem = f"-----BEGIN PUBLIC KEY-----\r\n{ED25519}\r\n-----END PUBLIC KEY-----\r\n"
    for key in (ED25519, pem):
        assert fits("", key, message, signature)
        assert key_kind(key) == "ED25519"
    assert not fits("", ED25519, message + b"x", signature)
    assert not fits("", ED25519, message, signature.swapcase())
    assert not fits("", ED25519, message, "no base64")


def test_rsa_round_trip() -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    spki = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert key_kind(spki) == "RSA"
    signature = b64encode(private.sign(b"symbol=A&timestamp=1", padding.PKCS1v15(), hashes.SHA256())).decode()
    assert verify("", b"symbol=A", b"&timestamp=1", signature, spki)
    pss = private.sign(b"symbol=A&timestamp=1", padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    assert not verify("", b"symbol=A", b"&timestamp=1", b64encode(pss).decode(), spki)


@pytest.mark.parametrize("text", ["", "nonsense", "MCowBQYDK2VwAyEA", "a=b"])
def test_public_keys_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="public_key"):
        load_public_key(text)
