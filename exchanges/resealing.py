"""Sealing stored credentials again under the first of ``EXEC_ENCRYPTION_KEYS``, so that an older key can go."""

from __future__ import annotations

from django.db import transaction

from exchanges.credentials import credentials_of, is_sealed_under_first_key, seal_into
from exchanges.models import Account
from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.rights import Right


def reseal(account: Account, *, by: Actor) -> bool:
    """Seal the account's credentials under the first key; False when they are already.

    Raises ``CredentialsUnreadable`` when no configured key opens them, ``Problem`` (403) without the right.
    """
    by.require(Right.MANAGE_ACCOUNTS)
    if is_sealed_under_first_key(account):
        return False
    before = bytes(account.api_secret_sealed)
    seen = credentials_of(account)
    seal_into(account, seen.key, seen.secret)
    with transaction.atomic():
        # Credentials that were replaced meanwhile were sealed under the first key by that.
        changed = Account.objects.filter(pk=account.pk, api_secret_sealed=before).update(
            api_key_sealed=account.api_key_sealed, api_secret_sealed=account.api_secret_sealed
        )
        if changed:
            record("account.credentials_resealed", "account", account.name, by)
    return bool(changed)
