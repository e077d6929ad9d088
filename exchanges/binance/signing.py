"""Signatures by the kind of key that an account has, for REST and for the WebSocket API (docs/binance.md §1.3).

The kind is read from the key itself: a private key in PEM is RSA or Ed25519, anything else an HMAC secret. Nothing is
guessed from lengths, as python-binance does (docs/binance.md §8.2).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from exchanges.adapters import Credentials

RSA_BITS = range(2048, 4097)

_PEM = "-----BEGIN "
_SECRET = re.compile(r"[!-~]+")
_SHA256 = hashes.SHA256()
_PKCS1 = PKCS1v15()  # the exchange does not take PSS


class Signer(Protocol):
    """Signs payloads of one account. ``secrets`` are the texts that must never be shown."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secret, and every piece of it that is long enough to give it away."""
        ...

    def sign(self, payload: bytes) -> str:
        """The signature as text: hex for HMAC, base64 for the others; not percent-encoded."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class HmacSigner:
    """HMAC-SHA256 in lower-case hex."""

    secret: str

    @property
    def secrets(self) -> tuple[str, ...]:
        """The one secret."""
        return (self.secret,)

    def sign(self, payload: bytes) -> str:
        """64 hex digits."""
        return hmac.digest(self.secret.encode(), payload, hashlib.sha256).hex()


@dataclass(frozen=True, slots=True, repr=False)
class Ed25519Signer:
    """Pure Ed25519 over the bytes of the payload, in base64; the only kind that may log a WebSocket session on."""

    key: Ed25519PrivateKey
    secrets: tuple[str, ...]

    def sign(self, payload: bytes) -> str:
        """88 characters."""
        return b64encode(self.key.sign(payload)).decode("ascii")


@dataclass(frozen=True, slots=True, repr=False)
class RsaSigner:
    """RSASSA-PKCS1-v1_5 with SHA-256, in base64."""

    key: RSAPrivateKey
    secrets: tuple[str, ...]

    def sign(self, payload: bytes) -> str:
        """344 characters with a key of 2048 bits."""
        return b64encode(self.key.sign(payload, _PKCS1, _SHA256)).decode("ascii")


def signer_for(secret: str) -> Signer:
    """The signer for a secret or a private key in PEM (PKCS#8, not encrypted; any line ends, any blank lines).

    Raises ``ValueError``, which never shows the secret, for what the exchange does not take.
    """
    if not secret.lstrip().startswith(_PEM):
        if not _SECRET.fullmatch(secret):
            raise ValueError("a secret must be printable ASCII without spaces")
        return HmacSigner(secret)
    lines = tuple(line.strip() for line in secret.splitlines() if line.strip())
    try:
        key = load_pem_private_key("\n".join(lines).encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    hidden = (secret, *(line for line in lines if not line.startswith("-----")))
    if isinstance(key, Ed25519PrivateKey):
        return Ed25519Signer(key, hidden)
    if isinstance(key, RSAPrivateKey) and key.key_size in RSA_BITS:
        return RsaSigner(key, hidden)
    # Outside the handler: the error of the parser may quote the key.
    raise ValueError("not an unencrypted private key of type Ed25519, or RSA with 2048 to 4096 bits")


def websocket_payload(parameters: Mapping[str, str]) -> bytes:
    """What a request over the WebSocket API signs: all parameters but the signature, by name, not percent-encoded."""
    pairs = sorted((name, value) for name, value in parameters.items() if name != "signature")
    return "&".join(f"{name}={value}" for name, value in pairs).encode()


def signed_for_websocket(credentials: Credentials, parameters: Mapping[str, str]) -> dict[str, str]:
    """The parameters of a WebSocket API request with ``apiKey`` and ``signature``; a ``timestamp`` must be there.

    Raises ``ValueError`` without one, and on an unusable key.
    """
    if "timestamp" not in parameters:
        raise ValueError("a signed request needs a timestamp from its caller")
    complete = {**parameters, "apiKey": credentials.key}
    return {**complete, "signature": signer_for(credentials.secret).sign(websocket_payload(complete))}
