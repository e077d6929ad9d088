"""Making accounts and replacing their credentials. Exchange and mode are given once and never change."""

from __future__ import annotations

import base64
import re

from django.db import IntegrityError, transaction

from exchanges.capabilities import CAPABILITIES
from exchanges.connections import refuse_wrong_host
from exchanges.credentials import seal_into
from exchanges.emergency_kit import rewrite_configured_kit
from exchanges.models import Account, Exchange, ForeignOrders, Mode
from exchanges.paper.terms import DEFAULT_RATES, new_row
from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.problems import Problem
from execution_project.common.rights import Right

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_LONGEST_URL = 200
_LONGEST_CREDENTIAL = 4096


class AccountRefused(ValueError):
    """What was given makes no account: the text says why and never quotes a credential, ``field`` names the input."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


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

    Raises ``WrongHost`` when mode and host do not go together, ``AccountRefused`` for what else is not valid (a name
    that is taken, credentials that cannot be the exchange's), ``Problem`` (403) without the right.
    """
    by.require(Right.MANAGE_ACCOUNTS)
    if not _NAME.fullmatch(name):
        raise AccountRefused("name", "1 to 64 letters, digits, points, dashes and underscores; no blanks.")
    if exchange not in Exchange.values:
        raise AccountRefused("exchange", f"One of {', '.join(Exchange.values)}.")
    if mode not in Mode.values:
        raise AccountRefused("mode", f"One of {', '.join(Mode.values)}.")
    for field, url in {"rest_url": rest_url, "ws_url": ws_url}.items():
        if len(url) > _LONGEST_URL:
            raise AccountRefused(field, f"At most {_LONGEST_URL} characters.")
    account = Account(name=name, exchange=exchange, mode=mode, rest_url=rest_url.rstrip("/"), ws_url=ws_url)
    if mode == Mode.PAPER:
        for field, value in {"rest_url": rest_url, "ws_url": ws_url, "key": key, "secret": secret}.items():
            if value:
                raise AccountRefused(field, "A paper account has no host and no credentials: leave this empty.")
    else:
        refuse_wrong_host(account)
        _refuse_unusable(exchange, key, secret)
        seal_into(account, key, secret)
    try:
        with transaction.atomic():
            if mode == Mode.PAPER:
                account.taker_fee_rate = DEFAULT_RATES[exchange].reserve
            account.save(force_insert=True)
            if mode == Mode.PAPER:
                new_row(account).save(force_insert=True)
            record("account.created", "account", name, by, evidence={"exchange": exchange, "mode": mode})
            transaction.on_commit(lambda: rewrite_configured_kit(by=by), robust=True)
    except IntegrityError as error:
        if Account.objects.filter(name=name).exists():
            raise AccountRefused("name", f"There is an account {name} already; names are never reused.") from error
        raise
    return account


def replace_credentials(account: Account, key: str, secret: str, by: Actor) -> Account:
    """Put another key and secret of the same account at the exchange in place of the old ones; returns the new row.

    Requests that were claimed before go out under the old key; everything after uses the new one. Raises
    ``AccountRefused`` for credentials that cannot be the exchange's, ``Problem``: 409 for a paper account, which has
    none, 403 without the right.
    """
    by.require(Right.MANAGE_ACCOUNTS)
    if account.mode == Mode.PAPER:
        raise Problem(409, "NO_CREDENTIALS", f"{account.name} is a paper account: it has no credentials.")
    _refuse_unusable(account.exchange, key, secret)
    before = account.api_key_tail
    changed = Account.objects.get(pk=account.pk)
    seal_into(changed, key, secret)
    with transaction.atomic():
        changed.save(update_fields=["api_key_sealed", "api_secret_sealed", "api_key_tail"])
        record(
            "account.credentials_replaced",
            "account",
            account.name,
            by,
            evidence={"key_tail_before": before, "key_tail": changed.api_key_tail},
        )
        transaction.on_commit(lambda: rewrite_configured_kit(by=by), robust=True)
    return changed


def _refuse_unusable(exchange: str, key: str, secret: str) -> None:
    """Whatever could never sign a request is refused here, not at the first order."""
    for field, value in {"key": key, "secret": secret}.items():
        if not value:
            raise AccountRefused(field, f"The {field} is missing.")
        if exchange == Exchange.BINANCE and field == "secret" and value.startswith("-----BEGIN "):
            continue
        if len(value) > _LONGEST_CREDENTIAL or not all("!" <= character <= "~" for character in value):
            raise AccountRefused(field, f"The {field} has a blank, a line break or a foreign letter in it.")
    if exchange == Exchange.BTCTURK:
        try:
            base64.b64decode(secret, validate=True)
        except ValueError:
            raise AccountRefused("secret", "BTCTurk's secrets are base64; this one is not.") from None


def set_foreign_orders(account: Account, policy: str, *, reason: str, by: Actor) -> Account:
    """Say what an order of another program on this account leads to (``ForeignOrders``); returns the new row.

    Raises ``Problem``: 400 for an unknown policy, 403 without the right.
    """
    by.require(Right.MANAGE_ACCOUNTS)
    if policy not in ForeignOrders.values:
        raise Problem(400, "INVALID_PARAMETER", f"policy: one of {', '.join(ForeignOrders.values)}.")
    changed = Account.objects.get(pk=account.pk)
    before, changed.foreign_orders = changed.foreign_orders, policy
    with transaction.atomic():
        changed.save(update_fields=["foreign_orders"])
        evidence = {"was": before, "is": policy, "reason": reason}
        record("account.foreign_orders_set", "account", account.name, by, evidence=evidence)
    return changed


def set_market_as_limit_ioc(account: Account, on: bool, *, reason: str, by: Actor) -> Account:
    """Say whether the account's MARKET orders are sent as LIMIT IOC from the next one on; returns the new row.

    Raises ``Problem``: 400 where the exchange has no LIMIT IOC, 403 without the right.
    """
    by.require(Right.MANAGE_ACCOUNTS)
    if on and "IOC" not in CAPABILITIES[account.exchange].order_types["LIMIT"]:
        where = account.get_exchange_display()
        raise Problem(400, "NOT_SUPPORTED", f"{where} knows no IOC: MARKET orders of {account.name} stay MARKET.")
    changed = Account.objects.get(pk=account.pk)
    before, changed.market_as_limit_ioc = changed.market_as_limit_ioc, on
    with transaction.atomic():
        changed.save(update_fields=["market_as_limit_ioc"])
        evidence = {"was": before, "is": on, "reason": reason}
        record("account.market_as_limit_ioc_set", "account", account.name, by, evidence=evidence)
    return changed
