"""BTCTurk signatures: HMAC-SHA256 over public key and stamp, nothing else (docs/btcturk.md §1)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac


def secret_bytes(secret: str) -> bytes:
    """The HMAC key behind a private key's base64 text. Raises ValueError when it is not base64."""
    try:
        return base64.b64decode(secret, validate=True)
    except binascii.Error:
        raise ValueError("the secret of a BTCTurk key is base64") from None


def sign(public_key: str, secret: str, stamp: str) -> str:
    """Base64 signature of `stamp` (REST: epoch ms; websocket login: the nonce) as it stands on the wire."""
    message = (public_key + stamp).encode("utf-8", "surrogatepass")
    return base64.b64encode(hmac.digest(secret_bytes(secret), message, hashlib.sha256)).decode()


def verify(public_key: str, secret: str, stamp: str, signature: str) -> bool:
    """Whether `signature` fits; byte for byte, since base64 has one standard spelling."""
    return hmac.compare_digest(sign(public_key, secret, stamp).encode(), signature.encode("utf-8", "surrogatepass"))
