"""API keys: ``exk_<id>_<secret>``; the secret is shown once and stored only as its SHA-256."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime
from ipaddress import ip_network

from django.db import IntegrityError, connection, transaction

from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.models import ApiKey
from execution_project.common.problems import Problem
from execution_project.common.rights import OF_SCOPE, Right

SCOPES = tuple(OF_SCOPE)


class InvalidApiKey(Exception):
    """No valid key: unknown, wrong secret, expired, revoked, or used from elsewhere. The client is not told which."""


class Throttled(Exception):
    """A valid key that is used too often. A second later one request passes: rates are whole numbers per second."""


# A key may use this many seconds of its rate at once, and never less than so many requests.
BURST_S = 2
LEAST_BURST = 10

_FIELDS = ApiKey._meta.concrete_fields

# Lookup, proof, rate and last use in one round trip, right for all processes together: the row lock of the upsert
# orders them, and ``due`` is the time at which all requests so far would have been due at the key's rate (GCRA).
# A key that is not proven takes nothing. The secret is compared by its hash, in the database: how long that takes could
# at most tell a prefix of the hash of 192 random bits, from which no secret can be made.
# ``due`` is bounded by the burst, so that a clock set back, or a rate made smaller, never locks a key out for longer.
# Losing the last of these writes in a crash of the server gives a few requests back, so no commit waits for the disk.
_AUTHENTICATE = f"""
WITH proven AS (
    SELECT *,
           make_interval(secs => 1.0 / requests_per_second) AS step,
           greatest(%(least_burst)s, %(burst_s)s * requests_per_second::bigint) AS burst
    FROM common_apikey
    WHERE id = %(id)s AND secret_hash = %(secret_hash)s
      AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > %(now)s)
      AND (networks IS NULL
           OR EXISTS (SELECT FROM unnest(networks) AS network WHERE %(address)s::inet <<= network::inet))
), used AS (
    INSERT INTO common_apikeyuse AS use (key_id, next_free_at, last_used_at, last_used_from)
    SELECT id, CASE WHEN %(throttled)s THEN %(now)s + step ELSE %(now)s END, %(now)s, %(address)s::inet FROM proven
    ON CONFLICT (key_id) DO UPDATE SET (next_free_at, refused_at, last_used_at, last_used_from) = (
        SELECT CASE WHEN NOT %(throttled)s THEN use.next_free_at WHEN free THEN due + step ELSE due END,
               CASE WHEN %(throttled)s AND NOT free THEN %(now)s ELSE use.refused_at END,
               %(now)s,
               %(address)s::inet
        FROM (
            SELECT step, due, due - %(now)s <= (burst - 1) * step AS free
            FROM proven, least(greatest(use.next_free_at, %(now)s), %(now)s + burst * step) AS due
        ) AS seen
    )
    RETURNING refused_at
)
SELECT {", ".join(f"proven.{field.column}" for field in _FIELDS)},
       %(throttled)s AND used.refused_at IS NOT NULL AND used.refused_at = %(now)s,
       set_config('synchronous_commit', 'off', true)
FROM proven, used
"""  # noqa: S608  names come from the model


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
    if expires_at is not None and expires_at <= clock.now():
        raise ValueError("The key would have expired already: give a time to come.")
    identity, secret = secrets.token_hex(6), secrets.token_hex(24)
    try:
        with transaction.atomic():
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
            evidence = {"name": name, "scopes": list(scopes), "accounts": key.accounts, "strategies": key.strategies}
            record("api_key.created", "api_key", identity, by, evidence=evidence)
    except IntegrityError as error:
        raise ValueError(f"There is an API key named {name!r} already; names are never reused.") from error
    return key, f"exk_{identity}_{secret}"


def revoke_api_key(key_id: str, *, by: Actor) -> ApiKey:
    """End a key for good, from the next request on; revoking a revoked key changes nothing.

    Raises ``Problem``: 404 for an unknown key, 403 without the right.
    """
    by.require(Right.MANAGE_KEYS)
    with transaction.atomic():
        changed = ApiKey.objects.filter(id=key_id, revoked_at=None).update(revoked_at=clock.now())
        key = ApiKey.objects.filter(id=key_id).first()
        if key is None:
            raise Problem(404, "UNKNOWN_API_KEY", f"There is no API key {key_id!r}.")
        if changed:
            record("api_key.revoked", "api_key", key_id, by, evidence={"name": key.name})
    return key


def authenticate(text: str, *, address: str | None = None, throttled: bool = True) -> ApiKey:
    """The key that ``text`` proves; its use is recorded and, when ``throttled``, takes one request of its rate.

    ``address``: the client's, None when it is not known. Raises ``InvalidApiKey``, which spends nothing, and
    ``Throttled`` for a key that is valid and used too often.
    """
    parts = text.split("_")
    if len(parts) != 3 or parts[0] != "exk" or not text.isascii() or "\x00" in text:
        raise InvalidApiKey
    with connection.cursor() as cursor:
        cursor.execute(
            _AUTHENTICATE,
            {
                "id": parts[1],
                "secret_hash": _hash(parts[2]),
                "address": address,
                "now": clock.now(),
                "throttled": throttled,
                "burst_s": BURST_S,
                "least_burst": LEAST_BURST,
            },
        )
        row = cursor.fetchone()
    if row is None:
        raise InvalidApiKey
    *values, refused, _ = row
    if refused:
        raise Throttled
    return ApiKey.from_db(connection.alias, [field.attname for field in _FIELDS], values)
