"""How often somebody may fail to log in: counted before a password is looked at, for all processes together.

Two counters per attempt, each over a window that begins with its first failure: one of the address, one of the user
name at that address. Neither refuses for longer than the rest of its window, and nobody elsewhere is locked out.
"""

from __future__ import annotations

import hashlib
import math
from datetime import timedelta

from django.db import connection
from django.db.models import F

from execution_project.common import clock
from execution_project.common.models import FailedLogins
from execution_project.common.problems import Problem

WINDOW = timedelta(minutes=15)
OF_ADDRESS = 50
OF_NAME = 10

# One statement: of attempts at the same moment each counts, so that no more passwords are tried than are allowed.
_COUNT = """
INSERT INTO common_failedlogins AS seen (subject, began_at, failures) VALUES (%(subject)s, %(now)s, 1)
ON CONFLICT (subject) DO UPDATE SET
    began_at = CASE WHEN seen.began_at > %(old)s AND seen.began_at <= %(now)s THEN seen.began_at ELSE %(now)s END,
    failures = CASE WHEN seen.began_at > %(old)s AND seen.began_at <= %(now)s
                    THEN least(seen.failures, %(allowed)s) + 1 ELSE 1 END
RETURNING began_at, failures
"""
_FORGET_OLD = """
DELETE FROM common_failedlogins WHERE subject IN
    (SELECT subject FROM common_failedlogins WHERE began_at <= %s FOR UPDATE SKIP LOCKED)
"""


def count_attempt(username: str, address: str | None) -> None:
    """Count an attempt as failed until ``login_succeeded`` says otherwise.

    Raises ``Problem`` (429, with Retry-After in seconds) when the address, or the name at it, has failed too often.
    """
    with connection.cursor() as cursor:
        cursor.execute(_FORGET_OLD, [clock.now() - WINDOW])
    for subject, allowed in ((_of_address(address), OF_ADDRESS), (_of_name(username, address), OF_NAME)):
        _count(subject, allowed)


def login_succeeded(username: str, address: str | None) -> None:
    """Forget the failures of the name at this address; of the address only the attempt itself."""
    FailedLogins.objects.filter(subject=_of_name(username, address)).delete()
    FailedLogins.objects.filter(subject=_of_address(address), failures__gt=0).update(failures=F("failures") - 1)


def _count(subject: str, allowed: int) -> None:
    now = clock.now()
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"subject": subject, "now": now, "old": now - WINDOW, "allowed": allowed})
        row = cursor.fetchone()
    assert row is not None  # noqa: S101  an upsert without a condition returns its row
    began_at, failures = row
    if failures > allowed:
        wait_s = max(1, math.ceil((began_at + WINDOW - now).total_seconds()))
        raise Problem(
            429,
            "THROTTLED",
            f"Too many logins failed. Nothing was looked at: try again in {math.ceil(wait_s / 60)} min. An API key"
            " works as before, and stops, kills and cancels with it still pass.",
            headers={"Retry-After": str(wait_s)},
        )


def _of_address(address: str | None) -> str:
    return f"address:{address or 'unknown'}"


def _of_name(username: str, address: str | None) -> str:
    """Hashed: people type passwords into the field of the name, and it may be of any length."""
    text = f"{address or 'unknown'} {username}".encode(errors="replace")
    return f"name:{hashlib.sha256(text).hexdigest()}"
