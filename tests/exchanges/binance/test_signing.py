"""Keys of every kind: published vectors, what is refused, and where the library would guess wrong (docs §1.3, §8.2)."""

from __future__ import annotations

import base64
from urllib.parse import parse_qsl, unquote

import pytest
from binance.client import Client
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from exchanges.adapters import Credentials
from exchanges.binance.client import BinanceClient
from exchanges.binance.signing import signed_for_websocket, signer_for, websocket_payload
from tests.exchanges.binance.samples import CREDENTIALS, KEY, SECRET
from tests.exchanges.fake_server import FakeServer

# The only private key that the exchange has published, and its base64 alone.
SEED = "MC4CAQAwBQYDK2VwBCIEIIJEYWtGBrhACmb9Dvy+qa8WEf0lQOl1s4CLIAB9m89u"
ED25519 = f"-----BEGIN PRIVATE KEY-----\n{SEED}\n-----END PRIVATE KEY-----\n"
TAIL = "side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
WIDE = "１２３４５６"


def pem(key: object, format_: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8) -> str:
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey)
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, format_, plain).decode()


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        pytest.param(
            f"symbol=LTCBTC&{TAIL}", "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71", id="H1"
        ),
        pytest.param(
            f"symbol=%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96&{TAIL}",
            "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3",
            id="H2",
        ),
        pytest.param(
            f"symbol={WIDE}&{TAIL}",
            "ca2cdfbf21d2e2958de492c7f2dd1f059dd2ed4d4459d26a5ec7928db50c8d4f",
            id="H2-what-the-exchange-refuses",
        ),
        pytest.param(
            "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC"
            "quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
            "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77",
            id="H3",
        ),
        pytest.param(
            "price=0.1&quantity=1&recvWindow=5000&side=BUY&symbol=LTCBTC&timeInForce=GTC&timestamp=1499827319559"
            "&type=LIMIT",
            "70fd30433bc3a2e3b5ff17d075e50538dde3734841da6dc28d79113dd37fa9c7",
            id="H4",
        ),
    ],
)
def test_hmac_vectors(payload: str, expected: str) -> None:
    assert signer_for(SECRET).sign(payload.encode()) == expected


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        pytest.param(
            "price=52000.00&quantity=0.01000000&recvWindow=100&side=SELL&symbol=BTCUSDT&timeInForce=GTC"
            "&timestamp=1645423376532&type=LIMIT",
            "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24",
            id="H5",
        ),
        pytest.param(
            f"price=0.10000000&quantity=1.00000000&recvWindow=5000&side=BUY&symbol={WIDE}&timeInForce=GTC"
            "&timestamp=1645423376532&type=LIMIT",
            "b33892ae8e687c939f4468c6268ddd4c40ac1af18ad19a064864c47bae0752cd",
            id="H6",
        ),
        pytest.param(
            "timestamp=1747385641636", "681110a6057ad58657af22f5640fab9dd17418834cdfccdc81be8b0f7b2cde3e", id="H7"
        ),
    ],
)
def test_websocket_hmac_vectors(parameters: str, expected: str) -> None:
    given = dict(parse_qsl(parameters))
    backwards = dict(reversed(given.items()))
    signed = signed_for_websocket(CREDENTIALS, backwards)
    assert signed == {**given, "apiKey": KEY, "signature": expected}
    assert websocket_payload(signed) == f"apiKey={KEY}&{parameters}".encode()


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        pytest.param(
            "A\x01EXAMPLE\x01SPOT\x011\x0120240627-11:17:25.223",
            "4MHXelVVcpkdwuLbl6n73HQUXUf1dse2PCgT1DYqW9w8AVZ1RACFGM+5UdlGPrQHrgtS3CvsRURC1oj73j8gCA==",
            id="E1",
        ),
        pytest.param(
            "symbol=BTCUSDT&side=SELL&type=LIMIT&timeInForce=GTC&quantity=1&price=0.2&timestamp=1668481559918"
            "&recvWindow=5000",
            "inDT086KVIP8vgUfw5sV3VTkescWztiAGlf4x8FLKHM4NInsn0c1kYVLoGMO8cyjfR6vmTku2YQE0gtfVVlfCw==",
            id="E2",
        ),
    ],
)
def test_ed25519_vectors(payload: str, expected: str) -> None:
    assert signer_for(ED25519).sign(payload.encode()) == expected


def test_websocket_ed25519_vector_e3() -> None:
    credentials = Credentials("4yNzx3yWC5bS6YTwEkSRaC0nRmSQIIStAUOh1b6kqaBrTLIhjCpI5lJH8q8R8WNO", ED25519)
    assert signed_for_websocket(credentials, {"timestamp": "1747385641636"})["signature"] == (
        "Zbw3iSiivieZE4UTpDuG96UxHcy4OQRsgQipzzwJOkjFUsmKOGycHZig9Zl1lWuTspo8KSdtw5/fe4edF0GFBA=="
    )


def test_rsa_round_trip(rsa_key: rsa.RSAPrivateKey) -> None:
    signature = signer_for(pem(rsa_key)).sign(b"payload")
    assert len(signature) == 344
    rsa_key.public_key().verify(base64.b64decode(signature), b"payload", padding.PKCS1v15(), hashes.SHA256())
    assert signer_for(pem(rsa_key)).sign(b"payload") == signature  # deterministic: not PSS


SPELLINGS = {
    "plain": ED25519,
    "crlf": ED25519.replace("\n", "\r\n"),
    "spaced": f"\n\n{ED25519.replace(chr(10), chr(10) * 2)}\n",
    "indented": ED25519.replace("\n", "\n   "),
}


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS)
def test_any_spelling_of_the_same_key_signs_the_same(text: str) -> None:
    assert signer_for(text).sign(b"x") == signer_for(ED25519).sign(b"x")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the library's own __del__
@pytest.mark.parametrize("text", [SPELLINGS["crlf"] + "\r\n", SPELLINGS["spaced"]])
def test_the_library_takes_a_long_ed25519_key_for_rsa_and_we_do_not(text: str) -> None:
    assert len(text) > 120
    with pytest.raises(ValueError, match="RSA key format is not supported"):
        Client("key", "secret", private_key=text, ping=False)
    BinanceClient(Credentials("key", text), "http://127.0.0.1:1").close()


def unusable(name: str) -> str:
    if name == "encrypted":
        lock = serialization.BestAvailableEncryption(b"pass")
        key = Ed25519PrivateKey.generate()
        return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock).decode()
    if name == "small":
        return pem(rsa.generate_private_key(public_exponent=65537, key_size=1024))  # noqa: S505  too small on purpose
    if name == "curve":
        return pem(ec.generate_private_key(ec.SECP256R1()))
    if name == "public":
        spki = "MCowBQYDK2VwAyEAGUIKv9dSpWXBViXp2m6vAIb8QMFJYBgyFEQsFJlqgA0="
        return f"-----BEGIN PUBLIC KEY-----\n{spki}\n-----END PUBLIC KEY-----"
    return {"cut": ED25519.replace(SEED, SEED[:40]), "spaces": "not a secret", "empty": ""}[name]


@pytest.mark.parametrize("name", ["encrypted", "small", "curve", "public", "cut", "spaces", "empty"])
def test_unusable_keys_are_refused_without_being_shown(name: str) -> None:
    text = unusable(name)
    with pytest.raises(ValueError, match=r"secret must be|not an unencrypted private key") as refused:
        signer_for(text)
    body = "".join(line for line in text.splitlines() if "-----" not in line)
    assert not body or body not in str(refused.value)
    assert refused.value.__context__ is None


def test_a_websocket_request_needs_a_stamp() -> None:
    with pytest.raises(ValueError, match="timestamp"):
        signed_for_websocket(CREDENTIALS, {})


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_the_wire_carries_the_signature_of_exactly_what_is_sent(kind: str, rsa_key: rsa.RSAPrivateKey) -> None:
    secret = ED25519 if kind == "ed25519" else pem(rsa_key)
    with FakeServer() as server:
        client = BinanceClient(Credentials("key", secret), server.url)
        client._post("order", True, data={"symbol": WIDE, "timestamp": 1, "recvWindow": 5000})
        client.close()
    sent, _, signature = server.seen[0].payload.rpartition("&signature=")
    assert sent == "recvWindow=5000&symbol=%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96&timestamp=1"
    assert unquote(signature) == signer_for(secret).sign(sent.encode())
    assert not set("+/=") & set(signature)


def test_no_piece_of_a_private_key_is_shown(rsa_key: rsa.RSAPrivateKey) -> None:
    text = pem(rsa_key)
    client = BinanceClient(Credentials("key-tail", text), "http://127.0.0.1:1")
    lines = [line for line in text.splitlines() if "-----" not in line]
    shown = client.redact(f"{text!r} {lines[0]} {lines[-1]} {text}")
    client.close()
    assert not any(line in shown for line in lines)
    assert not any(line in repr(signer_for(text)) for line in lines)
