"""The emergency kit: one sealed file with all that canceling at the exchanges takes, without this engine's database.

Accounts, addresses, pairs and keys under a passphrase: scrypt makes the key, AES-256-GCM seals, and the file's own
header is authenticated with it. The keys are those that trade, so whoever holds file and passphrase can trade too.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import tempfile
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from django.conf import settings

from exchanges.adapters import Credentials
from exchanges.credentials import CredentialsUnreadable, credentials_of
from exchanges.models import Account, Instrument, Mode
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.rights import Right

log = logging.getLogger(__name__)

VERSION = 1
# 32 MiB and a tenth of a second for each guess; stored in the file, so that older kits open after a change.
SCRYPT = {"n": 2**15, "r": 8, "p": 1}
MOST_N, MOST_R, MOST_P = 2**20, 16, 4
SHORTEST_PASSPHRASE = 12
OWNER_ONLY = 0o600


class KitUnusable(Exception):
    """The file is no kit, does not open, or cannot be written; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class KitAccount:
    """One account as the kit has it. ``symbols``: every pair that its exchange lists, where lists go pair by pair."""

    name: str
    exchange: str
    mode: str
    rest_url: str
    key: str
    secret: str
    symbols: tuple[str, ...]

    def __repr__(self) -> str:
        return f"KitAccount({self.name})"

    def as_account(self) -> Account:
        """The account as a row that is in no database, for whoever takes one: checks of its host, bounds."""
        return Account(name=self.name, exchange=self.exchange, mode=self.mode, rest_url=self.rest_url)

    @property
    def credentials(self) -> Credentials:
        """Key and secret."""
        return Credentials(self.key, self.secret)


@dataclass(frozen=True, slots=True)
class Kit:
    """A kit as it was opened, or written. ``left_out``: accounts whose keys could not be read when it was written."""

    written_at: datetime
    accounts: tuple[KitAccount, ...]
    left_out: tuple[str, ...] = ()


def export_kit(path: Path, passphrase: str, *, by: Actor) -> Kit:
    """Write the kit of all accounts at an exchange, whole or not at all, readable by its owner alone.

    An account whose keys cannot be read is left out, logged as an error and named in ``left_out``: the others are
    canceled all the same. Raises ``KitUnusable`` for a passphrase below 12 characters or a place that cannot be
    written, ``Problem`` (403) without the right.
    """
    by.require(Right.MANAGE_ACCOUNTS)
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise KitUnusable(f"The passphrase needs at least {SHORTEST_PASSPHRASE} characters.")
    entries: list[KitAccount] = []
    left_out: list[str] = []
    for account in Account.objects.exclude(mode=Mode.PAPER).order_by("name"):
        try:
            entries.append(_entry(account))
        except CredentialsUnreadable as error:
            left_out.append(account.name)
            log.error("account %s is NOT in the emergency kit, its keys cannot be read: %s", account.name, error)
    if left_out and not entries:
        raise KitUnusable(f"No account's keys can be read ({', '.join(left_out)}): {path} is left as it is.")
    kit = Kit(clock.now(), tuple(entries), tuple(left_out))
    _write_whole(path, seal_kit(kit, passphrase))
    evidence = {"accounts": [entry.name for entry in entries], "left_out": left_out}
    record("emergency_kit.written", "emergency_kit", path.name, by, evidence=evidence)
    return kit


def _entry(account: Account) -> KitAccount:
    credentials = credentials_of(account)
    listed = Instrument.objects.filter(exchange=account.exchange, mode=account.mode).exclude(status="DELISTED")
    return KitAccount(
        name=account.name,
        exchange=account.exchange,
        mode=account.mode,
        rest_url=account.rest_url,
        key=credentials.key,
        secret=credentials.secret,
        symbols=tuple(listed.order_by("symbol").values_list("symbol", flat=True)),
    )


def rewrite_configured_kit(*, by: Actor) -> bool:
    """Write the kit of the settings anew, after keys have changed; whether it was. A failure is logged, and told by
    ``/readyz`` as a kit that is older than the keys: the change of the keys stands."""
    if not settings.EXEC_EMERGENCY_KIT:
        return False
    writer = Actor(by.name, f"{by.cause}: emergency kit", by.request_id, frozenset({*by.rights, Right.MANAGE_ACCOUNTS}))
    try:
        export_kit(Path(settings.EXEC_EMERGENCY_KIT), settings.EXEC_EMERGENCY_PASSPHRASE, by=writer)
    except Exception:
        log.exception("the emergency kit could not be written anew: run export_emergency_kit")
        return False
    return True


def seal_kit(kit: Kit, passphrase: str) -> bytes:
    """The kit as the bytes of its file."""
    salt, nonce = os.urandom(16), os.urandom(12)
    header: dict[str, Any] = {
        "emergency_kit": VERSION,
        "written_at": clock.rfc3339(kit.written_at),
        "kdf": "scrypt",
        **SCRYPT,
        "salt": _text(salt),
        "nonce": _text(nonce),
    }
    body = json.dumps([asdict(account) for account in kit.accounts]).encode()
    sealed = AESGCM(_key(passphrase, salt, SCRYPT)).encrypt(nonce, body, _authenticated(header))
    return json.dumps({**header, "sealed": _text(sealed)}, indent=1).encode() + b"\n"


def open_kit(path: Path, passphrase: str) -> Kit:
    """Read a kit; needs nothing but the file. Raises ``KitUnusable``."""
    try:
        document = json.loads(path.read_bytes())
        header = {name: value for name, value in document.items() if name != "sealed"}
        if header["emergency_kit"] != VERSION or header["kdf"] != "scrypt":
            raise KitUnusable(f"{path} is a kit of another version: use the engine that wrote it.")
        cost = {name: int(header[name]) for name in SCRYPT}
        if not (1 < cost["n"] <= MOST_N and 0 < cost["r"] <= MOST_R and 0 < cost["p"] <= MOST_P):
            raise KitUnusable(f"{path} asks for more work than any kit of ours: it is not one.")
        key = _key(passphrase, _bytes(header["salt"]), cost)
        body = AESGCM(key).decrypt(_bytes(header["nonce"]), _bytes(document["sealed"]), _authenticated(header))
        rows = json.loads(body)
        accounts = tuple(KitAccount(**{**row, "symbols": tuple(row["symbols"])}) for row in rows)
        return Kit(datetime.fromisoformat(header["written_at"]), accounts)
    except OSError as error:
        raise KitUnusable(f"{path} cannot be read: {error.strerror}.") from error
    except InvalidTag:
        raise KitUnusable(f"{path} does not open: another passphrase, or the file was changed.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise KitUnusable(f"{path} is not an emergency kit.") from None


def age_of_kit(path: Path) -> timedelta:
    """How old the file is. Raises ``OSError``."""
    return clock.now() - clock.from_ms(int(path.stat().st_mtime * 1000))


def _key(passphrase: str, salt: bytes, cost: dict[str, int]) -> bytes:
    return Scrypt(salt=salt, length=32, n=cost["n"], r=cost["r"], p=cost["p"]).derive(passphrase.encode())


def _authenticated(header: dict[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True).encode()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _write_whole(path: Path, data: bytes) -> None:
    """Beside the old file, then in its place: whoever reads meanwhile finds one of the two, whole."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made with mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(OWNER_ONLY)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise KitUnusable(f"{path} cannot be written: {error.strerror}.") from error
