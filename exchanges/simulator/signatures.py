"""HMAC request signatures over the raw bytes of a request (docs/binance.md §1.3)."""

from __future__ import annotations

import hashlib
import hmac


def without_signature(part: bytes) -> bytes:
    """A raw query string or form body without its `signature` pair, all other bytes untouched."""
    if b"signature=" not in part:
        return part
    return b"&".join(pair for pair in part.split(b"&") if not pair.startswith(b"signature="))


def payload(raw_query: bytes, raw_body: bytes) -> bytes:
    """What is signed: query and body as sent, joined without a separator, minus the signature."""
    return without_signature(raw_query) + without_signature(raw_body)


def sign(secret: str, message: bytes) -> str:
    """HMAC-SHA256 in lowercase hex."""
    return hmac.digest(secret.encode(), message, hashlib.sha256).hex()


def verify(secret: str, raw_query: bytes, raw_body: bytes, signature: str) -> bool:
    """Whether `signature` (hex, any case) fits the request.

    Bytes outside ASCII are refused: the payload is signed percent-encoded (in force since 2026-01-15).
    """
    message = payload(raw_query, raw_body)
    if not message.isascii() or not signature.isascii():
        return False
    return hmac.compare_digest(sign(secret, message), signature.lower())
