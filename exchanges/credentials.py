"""Credentials at rest: AES-256-GCM with the account and the field as associated data; read only in this module.

``EXEC_ENCRYPTION_KEYS`` is a comma-separated list of ``id:base64`` keys of 32 bytes; the first seals, all open.
A sealed text cannot be moved to another account or field: opening it there fails.
"""

from __future__ import annotations

import base64
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from exchanges.adapters import Credentials
from exchanges.models import Account


class CredentialsUnreadable(Exception):
    """No configured key opens the stored credentials."""


def _keys() -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for entry in settings.EXEC_ENCRYPTION_KEYS:
        identity, _, text = entry.partition(":")
        try:
            key = base64.b64decode(text, validate=True)
        except ValueError:
            key = b""
        if len(key) != 32:
            raise CredentialsUnreadable(f"Encryption key {identity} is not 32 bytes of base64.")
        keys[identity] = key
    if not keys:
        raise CredentialsUnreadable("EXEC_ENCRYPTION_KEYS is not set.")
    return keys


def seal(account_name: str, field: str, text: str) -> bytes:
    """Encrypt one field of one account under the first key."""
    identity, key = next(iter(_keys().items()))
    nonce = os.urandom(12)
    sealed = AESGCM(key).encrypt(nonce, text.encode(), f"{account_name}/{field}".encode())
    return identity.encode() + b":" + nonce + sealed


def _open(account_name: str, field: str, sealed: bytes | memoryview[int]) -> str:
    identity, _, rest = bytes(sealed).partition(b":")
    key = _keys().get(identity.decode(errors="replace"))
    if key is None:
        raise CredentialsUnreadable(f"The key that sealed the credentials of {account_name} is not configured.")
    try:
        return AESGCM(key).decrypt(rest[:12], rest[12:], f"{account_name}/{field}".encode()).decode()
    except (InvalidTag, ValueError):  # ValueError: cut so short that not even the nonce is whole
        raise CredentialsUnreadable(f"The credentials of {account_name} do not open: sealed elsewhere.") from None


def seal_into(account: Account, key: str, secret: str) -> None:
    """Put a key and its secret on an unsaved account row."""
    account.api_key_sealed = seal(account.name, "key", key)
    account.api_secret_sealed = seal(account.name, "secret", secret)
    account.api_key_tail = key[-4:] if len(key) >= 16 else ""


def credentials_of(account: Account) -> Credentials:
    """Open the account's credentials; raises ``CredentialsUnreadable``."""
    return Credentials(
        key=_open(account.name, "key", account.api_key_sealed),
        secret=_open(account.name, "secret", account.api_secret_sealed),
    )


def is_sealed_under_first_key(account: Account) -> bool:
    """Whether both fields are sealed under the key that seals now; raises ``CredentialsUnreadable`` without any key."""
    mark = next(iter(_keys())).encode() + b":"
    return all(bytes(sealed).startswith(mark) for sealed in (account.api_key_sealed, account.api_secret_sealed))
