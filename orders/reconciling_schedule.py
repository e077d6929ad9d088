"""When accounts are reconciled: by the ticker, and at once when a stream had a gap."""

from __future__ import annotations

from datetime import timedelta

from exchanges.models import Account
from execution_project.common import clock
from execution_project.common.actors import engine
from execution_project.common.models import Chore
from orders.breaks import escalate
from orders.queues import ring_reading
from orders.reconciliation import TRADES_EVERY
from orders.reconciliation.staleness import look_for_stale_parts
from orders.reconciliation.unbooked import look_for_unbooked
from positions.models import TradeCursor

# Prices and working orders of the exchange wait behind a task that reads trades.
TRADES_WITHIN = timedelta(seconds=3)
ALL_AT_MOST_EVERY = timedelta(seconds=10)


def ring_order_reconciliations() -> int:
    """Compare the working orders of every account with open books."""
    return sum(_ring(account, "orders") for account in accounts_to_reconcile())


def ring_trade_reconciliations() -> int:
    """Read the trades of symbols that are due, a few at a time, of every account with open books."""
    return sum(_ring(account, "trades") for account in accounts_to_reconcile())


def watch_books() -> int:
    """What shows without asking an exchange: trades that do not arrive, parts that are not compared, breaks that last.

    Returns how many breaks of these it saw or made graver.
    """
    by = engine("reconciler", "watch")
    seen = 0
    for account in accounts_to_reconcile():
        seen += look_for_unbooked(account, by=by) + len(look_for_stale_parts(account, by=by))
    return seen + escalate(by=by)


def resync(account: Account) -> None:
    """Compare working orders, the trades of every symbol, and balances as soon as possible: a stream had a gap, or
    something is there that the books do not know.

    Every symbol is due from now on. All of them are read at once, unless that was done a moment ago: then the next
    tick does it, for an exchange grants only so many reads a minute.
    """
    if account.books_opened_at is None:
        return
    _ring(account, "orders")
    now = clock.now()
    due = now - TRADES_EVERY
    TradeCursor.objects.filter(account=account, updated_at__gt=due).update(updated_at=due)
    name = f"reconcile-all:{account.pk}"
    if not Chore.objects.filter(name=name, finished_at__gt=now - ALL_AT_MOST_EVERY).exists():
        ring_reading(account.exchange, name, "orders.tasks.reconcile_all_trades", account.pk)
    ring_reading(account.exchange, f"balances:{account.pk}", "orders.tasks.refresh_balances", account.pk)


def accounts_to_reconcile() -> list[Account]:
    """Accounts with open books."""
    return list(Account.objects.filter(books_opened_at__isnull=False).order_by("id"))


def _ring(account: Account, part: str) -> bool:
    name = f"reconcile-{part}:{account.pk}"
    return ring_reading(account.exchange, name, f"orders.tasks.reconcile_{part}", account.pk)
