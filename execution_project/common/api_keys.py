"""API keys: ``exk_<id>_<secret>``; the secret is shown once and stored only as its SHA-256."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime
from ipaddress import ip_network

from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.models import ApiKey
from execution_project.common.rights import OF_SCOPE, Right

SCOPES = tuple(OF_SCOPE)


class InvalidApiKey(Exception):
    """No valid key: unknown, wrong secret, expired or revoked. The client is not told which."""


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def create_api_key(
    name: str,
    scopes: Sequence[str],
    *,
    by: Actor,
    accounts: Sequence[str] | None = None,
    strategies: Sequence[str] | None = None,
    networks: Sequence[str] | None = None,
    requests_per_second: int = 50,
    owner: str = "",
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Store a new key and return it with its full text, which cannot be shown again.

    ``accounts``, ``strategies``: names, None = all. ``networks``: addresses or CIDR networks it may be used from, None
    = any. Raises ``ValueError`` with a sentence for what is not valid, ``Problem`` (403) without the right.
    """
    by.require(Right.MANAGE_KEYS)
    unknown = set(scopes) - set(SCOPES)
    if unknown or not scopes:
        raise ValueError(f"Scopes must be some of {', '.join(SCOPES)}.")
    identity, secret = secrets.token_hex(6), secrets.token_hex(24)
    key = ApiKey.objects.create(
        id=identity,
        name=name,
        secret_hash=_hash(secret),
        scopes=list(scopes),
        accounts=None if accounts is None else list(accounts),
        strategies=None if strategies is None else list(strategies),
        networks=None if networks is None else [str(ip_network(text)) for text in networks],
        requests_per_second=requests_per_second,
        owner=owner,
        expires_at=expires_at,
    )
    record("api_key.created", "api_key", identity, by, evidence={"name": name, "scopes": list(scopes)})
    return key, f"exk_{identity}_{secret}"


def authenticate(text: str) -> ApiKey:
    """The key that ``text`` proves; raises ``InvalidApiKey``."""
    parts = text.split("_")
    if len(parts) != 3 or parts[0] != "exk":
        raise InvalidApiKey
    key = ApiKey.objects.filter(id=parts[1]).first()
    if key is None or not hmac.compare_digest(key.secret_hash, _hash(parts[2])):
        raise InvalidApiKey
    now = clock.now()
    if key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now):
        raise InvalidApiKey
    return key
