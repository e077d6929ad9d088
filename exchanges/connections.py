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
from exchanges.adapters import NOBODY, Cost, ExchangeAdapter
from exchanges.binance.adapter import BinanceAdapter
from exchanges.binance.limits import COSTS, usage_headers
from exchanges.btcturk import limits as btcturk_limits
from exchanges.btcturk.adapter import BtcturkAdapter
from exchanges.credentials import credentials_of
from exchanges.http.reading import Patience
from exchanges.models import LIVE_HOSTS, PLAIN_URL, SANDBOX_LIVE_LOOKALIKES, SECURE_URL, Account, Exchange, Mode
from exchanges.paper.adapter import PaperAdapter
from exchanges.paper.public import PREFIX
from exchanges.reports import Evidence, Outcome, OutcomeKind, ReadFailed
from exchanges.stamps import StampAhead, key_identity, next_stamp_ms

_local = threading.local()


class WrongHost(Exception):
    """The account's mode forbids its host; nothing was sent."""


def host_of(account: Account) -> str:
    """Host and port that the account's requests go to; rate budget, pauses and clocks are kept per host.

    A paper account has none: the name that stands for its exchange is no address.
    """
    if account.mode == Mode.PAPER:
        return f"paper:{account.name}"
    return urlsplit(account.rest_url).netloc


def refuse_wrong_host(account: Account) -> None:
    """A live host for live accounts only, and the reverse; no host and no key for a paper account. The second lock
    beside the CHECK. Raises ``WrongHost``."""
    if account.mode == Mode.PAPER:
        if account.rest_url or account.ws_url or account.api_key_sealed or account.api_secret_sealed:
            raise WrongHost(f"{account.name} is a paper account and may have no host and no key.")
        return
    for url in [account.rest_url, *([account.ws_url] if account.ws_url else [])]:
        refuse_wrong_url(account, url)


def refuse_wrong_url(account: Account, url: str) -> None:
    """The same for one URL, such as that of a market stream. Raises ``WrongHost``."""
    live_host = bool(re.match(LIVE_HOSTS, url)) and not re.match(SANDBOX_LIVE_LOOKALIKES, url)
    fits = {Mode.LIVE: live_host and bool(re.match(SECURE_URL, url)), Mode.SANDBOX: not live_host}
    if not re.match(PLAIN_URL, url) or not fits.get(Mode(account.mode), False):
        raise WrongHost(f"{account.name} is a {account.mode} account and may not reach {url or 'any host'}.")


class CallInTransaction(RuntimeError):
    """An HTTP call inside a database transaction would hold its locks for as long as the exchange likes."""


def refuse_in_transaction() -> None:
    """Raises ``CallInTransaction`` while a transaction is open on this thread's connection."""
    if connection.in_atomic_block:
        raise CallInTransaction("Commit before calling an exchange.")


def cost_of(account: Account, call: str) -> Cost:
    """What one call takes from the budget of the account's exchange."""
    if account.exchange == Exchange.BTCTURK:
        return Cost(weight=0, windows=btcturk_limits.COSTS[call])
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


@contextmanager
def keeping_answers() -> Iterator[list[tuple[str, Evidence]]]:
    """The evidence of every read that this thread makes in this block, by the call's name, also of failed ones."""
    before = getattr(_local, "kept", None)
    kept: list[tuple[str, Evidence]] = []
    _local.kept = kept
    try:
        yield kept
    finally:
        _local.kept = before


def _take_budget(account: Account, call: str) -> None:
    refuse_in_transaction()
    refused = rate_budget.take(
        host_of(account), account.name, cost_of(account, call), urgent=getattr(_local, "urgent", False)
    )
    if refused is not None:
        evidence = Evidence("", call, {}, error=refused.reason)
        raise ReadFailed(Outcome(OutcomeKind.NOT_SENT, evidence, message=refused.reason, reason="no_budget"))


def _note_limits(account: Account, evidence: Evidence) -> None:
    if account.mode == Mode.PAPER:
        return
    host = host_of(account)
    if account.exchange == Exchange.BINANCE:
        usage = usage_headers(evidence)
        in_10_s, in_a_day = rate_budget.ORDER_WINDOWS
        rate_budget.correct_from_exchange(host, rate_budget.WEIGHT, usage.used_weight_1m)
        rate_budget.correct_from_exchange(account.name, in_10_s, usage.order_count_10s)
        rate_budget.correct_from_exchange(account.name, in_a_day, usage.order_count_1d)
    if evidence.http_status in {418, 429}:
        # Without the header, docs/binance.md §6: a whole weight window, or the shortest ban.
        wait = btcturk_limits.wait_ms(evidence.headers)
        if wait is None:
            wait = 120_000 if evidence.http_status == 418 else 60_000
        rate_budget.pause(
            host,
            wait,
            reason=f"HTTP {evidence.http_status} from {host}",
            banned=evidence.http_status == 418,
        )


def adapter_for(account: Account) -> ExchangeAdapter:
    """This thread's adapter for the account. Raises ``WrongHost`` before any socket is opened."""
    refuse_wrong_host(account)
    if getattr(_local, "pid", None) != os.getpid():
        _local.pid = os.getpid()
        _local.adapters = {}
    key = (account.pk or account.name, account.rest_url, bytes(account.api_key_sealed))
    adapter: ExchangeAdapter | None = _local.adapters.get(key)
    if adapter is None:
        adapter = _make_adapter(account)
        _local.adapters[key] = adapter
    return adapter


def _make_adapter(account: Account) -> ExchangeAdapter:
    def before_call(call: str) -> None:
        _take_budget(account, call)

    def after_call(call: str, evidence: Evidence) -> None:
        kept = getattr(_local, "kept", None)
        if kept is not None:
            kept.append((call, evidence))
        _note_limits(account, evidence)

    if account.mode == Mode.PAPER:
        return PaperAdapter(account, before_call=before_call, after_call=after_call)
    is_public = account.pk is None and account.name.startswith(PREFIX)
    credentials = NOBODY if is_public else credentials_of(account)
    if account.exchange == Exchange.BTCTURK:
        identity = key_identity(credentials.key)
        return BtcturkAdapter(
            credentials,
            account.rest_url,
            before_call=before_call,
            after_call=after_call,
            stamp=lambda now_ms: _read_stamp_ms(identity, now_ms),
            patience=Patience(),
        )
    return BinanceAdapter(
        credentials, account.rest_url, before_call=before_call, after_call=after_call, patience=Patience()
    )


def _read_stamp_ms(identity: str, now_ms: int) -> int:
    """The stamp of a read; one that cannot be had is a read that failed."""
    try:
        return next_stamp_ms(identity, now_ms)
    except StampAhead as error:
        evidence = Evidence("", "stamp", {}, error=str(error))
        raise ReadFailed(Outcome(OutcomeKind.NOT_SENT, evidence, message=str(error), reason="stamp_ahead")) from error


def write_stamp_ms(account: Account, now_ms: int) -> int:
    """The stamp of a write at exchange time ``now_ms``; strictly increasing per key where the exchange demands it.

    Taken before the claim's transaction: the sequence's row would stay locked until its end. Raises ``StampAhead``.
    """
    if account.exchange != Exchange.BTCTURK or account.mode == Mode.PAPER:
        return now_ms
    return next_stamp_ms(key_identity(credentials_of(account).key), now_ms)
