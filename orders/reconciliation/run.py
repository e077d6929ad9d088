"""One run over an account: part by part, each judged for itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from exchanges.connections import WrongHost, adapter_for
from exchanges.freshness import PARTS, mark_fresh
from exchanges.models import Account
from exchanges.reports import ReadFailed
from execution_project.common import clock, fault_hooks
from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from orders.reconciliation.balances import compare_balances
from orders.reconciliation.orders import compare_orders
from orders.reconciliation.outcome import Reconciliation, Run
from orders.reconciliation.staleness import end_compared
from orders.reconciliation.trades import compare_trades

log = logging.getLogger(__name__)

_PARTS: dict[str, Callable[[Run, datetime], datetime | None]] = {
    "orders": compare_orders,
    "trades": compare_trades,
    "balances": compare_balances,
}


def reconcile(
    account: Account,
    *,
    parts: Collection[str] = PARTS,
    since: datetime | None = None,
    by: Actor,
    dry_run: bool = False,
    only_due: bool = False,
    unless_read_since: datetime | None = None,
    within: timedelta | None = None,
    symbols: Collection[str] | None = None,
) -> Reconciliation:
    """Compare the account's books with the exchange and put right what facts put right.

    ``since``: read trades from then on, if that is earlier than the overlap of 10 minutes. ``dry_run``: say what
    differs, store nothing. ``only_due``: of the trades, symbols not read for five minutes;
    ``unless_read_since``: symbols not read since then; ``within``: begin no other symbol after that long;
    ``symbols``: trades of these alone. Raises ``Problem``: 400 for an unknown part, 403 without the right, 409 while
    the books are closed.
    """
    by.require(Right.SYNC)
    unknown = sorted(set(parts) - set(PARTS))
    if unknown or not parts:
        raise Problem(400, "INVALID_PARAMETER", f"parts: one or more of {', '.join(PARTS)}.")
    if account.books_opened_at is None:
        raise Problem(409, "BOOKS_NOT_OPEN", f"The books of {account.name} are not open: run open_books.")
    chosen = tuple(part for part in PARTS if part in parts)
    result = Reconciliation(account.name, chosen, dry_run)
    try:
        adapter = adapter_for(account)
    except WrongHost as error:
        result.failed = dict.fromkeys(chosen, str(error))
        return result
    stop_at = None if within is None else time.monotonic() + within.total_seconds()
    run = Run(account, adapter, by, since, dry_run, only_due, unless_read_since, stop_at, symbols, result)
    for part in chosen:
        asked_at = clock.now()
        try:
            fresh_at = _PARTS[part](run, asked_at)
        except ReadFailed as error:
            log.warning("%s of %s are not reconciled: %s", part, account.name, error)
            result.failed[part] = str(error)
            continue
        if not dry_run and fresh_at is not None:
            fault_hooks.reach("before_freshness")
            mark_fresh(account, [part], fresh_at)
            fault_hooks.reach("after_freshness")
    if not dry_run:
        end_compared(account, by=by)
    if not by.name.startswith("engine:") and not dry_run:
        record("account.reconciled", "account", account.name, by, evidence=result.as_json())
    return result
