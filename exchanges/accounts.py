"""Making accounts."""

from __future__ import annotations

from django.db import transaction

from exchanges.connections import refuse_wrong_host
from exchanges.credentials import seal_into
from exchanges.models import Account, Mode
from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.rights import Right


def add_account(
    name: str,
    *,
    exchange: str,
    mode: str,
    rest_url: str = "",
    ws_url: str = "",
    key: str = "",
    secret: str = "",
    by: Actor,
) -> Account:
    """Create an account with sealed credentials.

    Raises ``WrongHost`` when mode and host do not go together, ``Problem`` (403) without the right.
    """
    by.require(Right.MANAGE_ACCOUNTS)
    account = Account(name=name, exchange=exchange, mode=mode, rest_url=rest_url.rstrip("/"), ws_url=ws_url)
    if mode != Mode.PAPER:
        refuse_wrong_host(account)
        seal_into(account, key, secret)
    with transaction.atomic():
        account.save(force_insert=True)
        record("account.created", "account", name, by, evidence={"exchange": exchange, "mode": mode})
    return account
