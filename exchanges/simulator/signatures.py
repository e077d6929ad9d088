"""Request signatures over the raw bytes of a request, for every kind of key (docs/binance.md §1.3)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

PublicKey = Ed25519PublicKey | RSAPublicKey


def without_signature(part: bytes) -> bytes:
    """A raw query string or form body without its `signature` pair, all other bytes untouched."""
    if b"signature=" not in part:
        return part
    return b"&".join(pair for pair in part.split(b"&") if not pair.startswith(b"signature="))


def payload(raw_query: bytes, raw_body: bytes) -> bytes:
    """What is signed: query and body as sent, joined without a separator, minus the signature."""
    return without_signature(raw_query) + without_signature(raw_body)


def websocket_payload(params: Mapping[str, str]) -> bytes:
    """What a WebSocket API request signs: all parameters but the signature, sorted by name, plain UTF-8."""
    return "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "signature").encode()


def sign(secret: str, message: bytes) -> str:
    """HMAC-SHA256 in lowercase hex."""
    return hmac.digest(secret.encode(), message, hashlib.sha256).hex()


@lru_cache(maxsize=256)
def load_public_key(text: str) -> PublicKey:
    """A public key given as PEM or as bare base64 (SPKI). ValueError for what Binance does not take."""
    lines = [line.strip() for line in text.strip().splitlines()]
    try:
        key = load_der_public_key(base64.b64decode("".join(line for line in lines if "-----" not in line)))
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        key = None
    if isinstance(key, Ed25519PublicKey) or (isinstance(key, RSAPublicKey) and 2048 <= key.key_size <= 4096):
        return key
    raise ValueError("public_key is no Ed25519 key and no RSA key of 2048 to 4096 bits")


def key_kind(public_key: str) -> str:
    """HMAC, ED25519 or RSA; an account without a public key signs with its secret."""
    if not public_key:
        return "HMAC"
    return "ED25519" if isinstance(load_public_key(public_key), Ed25519PublicKey) else "RSA"


def fits(secret: str, public_key: str, message: bytes, signature: str) -> bool:
    """Whether `signature` was made over `message`: hex in any case for HMAC, exact base64 for the others."""
    if not signature.isascii():
        return False
    if not public_key:
        return hmac.compare_digest(sign(secret, message), signature.lower())
    key = load_public_key(public_key)
    try:
        raw = base64.b64decode(signature, validate=True)
        if isinstance(key, Ed25519PublicKey):
            key.verify(raw, message)
        else:
            key.verify(raw, message, PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error):
        return False
    return True


def verify(secret: str, raw_query: bytes, raw_body: bytes, signature: str, public_key: str = "") -> bool:
    """Whether `signature`, percent-decoded, fits a REST request.

    Bytes outside ASCII are refused: the payload is signed percent-encoded (in force since 2026-01-15).
    """
    message = payload(raw_query, raw_body)
    return message.isascii() and fits(secret, public_key, message, signature)
