"""Is an account fit to trade, as far as its exchange can be asked: host, clock, key, filters, balances, open orders."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Min

from exchanges.adapters import ExchangeAdapter
from exchanges.connections import WrongHost, adapter_for, host_of, keeping_answers
from exchanges.credentials import CredentialsUnreadable
from exchanges.host_clock import MAX_SKEW_MS, sample
from exchanges.models import Account, Exchange, HostPause, Instrument, Mode
from exchanges.reports import ReadFailed
from execution_project.common import clock, ids
from execution_project.common.installation import prefix

# The gate denies orders by filters that are older (docs/risk-controls.md §1).
FILTERS_STALE = timedelta(hours=24)


@dataclass(slots=True)
class Check:
    """What was found; None where it could not be asked. Times in ms, ages in whole s. ``problems``: sentences.

    ``can_trade`` is the exchange's own word, None where it says nothing of a key's permissions. ``foreign_orders`` are
    open orders that this installation did not send.
    """

    account: Account
    host: str = ""
    round_trip_ms: int | None = None
    clock_offset_ms: int | None = None
    can_read: bool | None = None
    can_trade: bool | None = None
    pairs: int = 0
    filters_age_s: int | None = None
    assets: int | None = None
    open_orders: int | None = None
    foreign_orders: int | None = None
    problems: list[str] = field(default_factory=list)


def check_account(account: Account, say: Callable[[ReadFailed], str]) -> Check:
    """Ask the exchange everything that trading rests on. ``say`` puts a failed question into words.

    Stores the clock sample, nothing else.
    """
    check = Check(account)
    if account.books_opened_at is None:
        check.problems.append("The books are not open: run open_books.")
    check.host = host_of(account)
    _check_filters(check)
    pause = HostPause.objects.filter(host=check.host, until__gt=clock.now()).first()
    if pause is not None:
        check.problems.append(f"Nothing goes to {check.host} before {pause.until:%FT%TZ}: {pause.reason}.")
        return check
    try:
        adapter = adapter_for(account)
        _check_clock(check, adapter)
    except (WrongHost, CredentialsUnreadable) as error:
        check.problems.append(str(error))
        return check
    except ReadFailed as error:
        check.problems.append(f"{check.host} is not reached. {say(error)}")
        return check
    try:
        _check_key(check, adapter)
    except ReadFailed as error:
        check.can_read = check.can_read or False
        check.problems.append(say(error))
    return check


def _check_filters(check: Check) -> None:
    account = check.account
    pairs = Instrument.objects.filter(exchange=account.exchange, mode=account.mode, is_trading=True)
    check.pairs = pairs.count()
    oldest: datetime | None = pairs.aggregate(oldest=Min("synced_at"))["oldest"]
    if oldest is None:
        check.problems.append("No pair is known: run sync_instruments.")
        return
    age = clock.now() - oldest
    check.filters_age_s = age // timedelta(seconds=1)
    if age > FILTERS_STALE:
        check.problems.append("The filters are older than 24 hours: run sync_instruments.")


def _check_clock(check: Check, adapter: ExchangeAdapter) -> None:
    row = sample(check.account, adapter)
    check.round_trip_ms, check.clock_offset_ms = row.round_trip_ms, row.offset_ms
    if abs(row.offset_ms) > MAX_SKEW_MS + row.round_trip_ms // 2:
        check.problems.append(f"The clocks differ by {row.offset_ms} ms, at most {MAX_SKEW_MS}: mend this machine's.")


def _check_key(check: Check, adapter: ExchangeAdapter) -> None:
    now_ms = clock.now_ms() + (check.clock_offset_ms or 0)
    with keeping_answers() as answers:
        check.assets = len(adapter.balances(now_ms=now_ms))
    check.can_read = True
    if check.account.exchange == Exchange.BINANCE and check.account.mode != Mode.PAPER:
        # The account's answer says so; BTCTurk says nothing of a key's permissions.
        check.can_trade = json.loads(answers[-1][1].body).get("canTrade")
        if check.can_trade is False:
            check.problems.append("The key or the account may not trade: give the key the permission to trade.")
    orders = adapter.open_orders(None, now_ms=now_ms)
    check.open_orders = len(orders)
    check.foreign_orders = sum(not _is_ours(order.client_order_id) for order in orders)


def _is_ours(client_order_id: str) -> bool:
    read = ids.read_client_order_id(client_order_id)
    return read is not None and read[0] == prefix()
