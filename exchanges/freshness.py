"""How fresh the books of an account are: when each part of them was last found equal to the exchange's, or made so."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import connection

from exchanges.models import Account, AccountFreshness
from execution_project.common import clock
from execution_project.common.writing import insert_new

PARTS = ("orders", "trades", "balances")


def mark_fresh(account: Account, parts: Collection[str], at: datetime) -> None:
    """Note a success of these parts; ``at``: our time before the exchange was asked.

    Never goes back in time, and never beyond now: a stamp of a clock that ran ahead gives way.
    """
    _ensure(account)
    for part in PARTS:
        if part in parts:
            with connection.cursor() as cursor:
                cursor.execute(
                    f"UPDATE exchanges_accountfreshness SET {part}_at = least(greatest({part}_at, %s), %s)"  # noqa: S608  names from PARTS
                    " WHERE account_id = %s",
                    [at, clock.now(), account.pk],
                )


def set_blocked_by(account: Account, reason: str) -> None:
    """Say what keeps the account's exposure from growing; empty: nothing does."""
    _ensure(account)
    AccountFreshness.objects.filter(account=account).exclude(blocked_by=reason[:160]).update(blocked_by=reason[:160])


def freshness_of(account: Account) -> AccountFreshness:
    """The stored row, or an unsaved one that knows of no success."""
    return AccountFreshness.objects.filter(account=account).first() or AccountFreshness(account=account)


def _ensure(account: Account) -> None:
    insert_new([AccountFreshness(account=account)])
