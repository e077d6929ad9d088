"""Adapters for accounts: one per thread and account, built lazily, never carried over a fork.

Every HTTP call passes here: no call inside a database transaction, every read takes its budget first, and what an
answer says about limits is stored for all processes.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from django.db import connection

from exchanges import rate_budget
from exchanges.adapters import Cost, ExchangeAdapter
from exchanges.binance.adapter import BinanceAdapter
from exchanges.binance.limits import COSTS, usage_headers
from exchanges.credentials import credentials_of
from exchanges.models import LIVE_HOSTS, PLAIN_URL, SANDBOX_LIVE_LOOKALIKES, SECURE_URL, Account, Exchange, Mode
from exchanges.reports import Evidence, Outcome, OutcomeKind, ReadFailed

_local = threading.local()


class WrongHost(Exception):
    """The account's mode forbids its host; nothing was sent."""


def host_of(account: Account) -> str:
    """Host and port that the account's requests go to; rate budget, pauses and clocks are kept per host."""
    return urlsplit(account.rest_url).netloc


def refuse_wrong_host(account: Account) -> None:
    """A live host for live accounts only, and the reverse; the second lock beside the CHECK. Raises ``WrongHost``."""
    url = account.rest_url
    live_host = bool(re.match(LIVE_HOSTS, url)) and not re.match(SANDBOX_LIVE_LOOKALIKES, url)
    fits = {Mode.LIVE: live_host and bool(re.match(SECURE_URL, url)), Mode.SANDBOX: not live_host}
    if not re.match(PLAIN_URL, url) or not fits.get(Mode(account.mode), False):
        raise WrongHost(
            f"{account.name} is a {account.mode} account and may not reach {account.rest_url or 'any host'}."
        )


class CallInTransaction(RuntimeError):
    """An HTTP call inside a database transaction would hold its locks for as long as the exchange likes."""


def refuse_in_transaction() -> None:
    """Raises ``CallInTransaction`` while a transaction is open on this thread's connection."""
    if connection.in_atomic_block:
        raise CallInTransaction("Commit before calling an exchange.")


def cost_of(account: Account, call: str) -> Cost:
    """What one call takes from the budget of the account's exchange."""
    return COSTS[call]


@contextmanager
def urgent() -> Iterator[None]:
    """Reads in this block may use the budget's reserve: probes, and look-ups behind a cancel."""
    before = getattr(_local, "urgent", False)
    _local.urgent = True
    try:
        yield
    finally:
        _local.urgent = before


def _take_budget(account: Account, call: str) -> None:
    refuse_in_transaction()
    refused = rate_budget.take(
        host_of(account), account.name, cost_of(account, call), urgent=getattr(_local, "urgent", False)
    )
    if refused is not None:
        evidence = Evidence("", call, {}, error=refused.reason)
        raise ReadFailed(Outcome(OutcomeKind.NOT_SENT, evidence, message=refused.reason, reason="no_budget"))


def _note_limits(account: Account, evidence: Evidence) -> None:
    host = host_of(account)
    rate_budget.correct_from_exchange(host, usage_headers(evidence).used_weight_1m)
    if evidence.http_status in {418, 429}:
        seconds = evidence.headers.get("retry-after", "")
        # Without the header, docs/binance.md §6: a whole weight window, or the shortest ban.
        wait = int(seconds) if seconds.isdigit() else (120 if evidence.http_status == 418 else 60)
        rate_budget.pause(
            host,
            wait * 1000,
            reason=f"HTTP {evidence.http_status} from {host}",
            banned=evidence.http_status == 418,
        )


def adapter_for(account: Account) -> ExchangeAdapter:
    """This thread's adapter for the account. Raises ``WrongHost`` before any socket is opened."""
    refuse_wrong_host(account)
    if getattr(_local, "pid", None) != os.getpid():
        _local.pid = os.getpid()
        _local.adapters = {}
    key = (account.pk, account.rest_url, bytes(account.api_key_sealed))
    adapter: ExchangeAdapter | None = _local.adapters.get(key)
    if adapter is None:
        if account.exchange != Exchange.BINANCE:
            raise WrongHost(f"No adapter speaks to {account.exchange} yet.")
        adapter = BinanceAdapter(
            credentials_of(account),
            account.rest_url,
            before_call=lambda call: _take_budget(account, call),
            after_call=lambda call, evidence: _note_limits(account, evidence),
        )
        _local.adapters[key] = adapter
    return adapter
