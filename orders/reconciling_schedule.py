"""When accounts are reconciled: by the ticker, and at once when a stream had a gap."""

from __future__ import annotations

from datetime import timedelta

from exchanges.models import Account, Mode
from execution_project.common.chores import ring_chore
from orders.queues import HOUSEKEEPING_QUEUE

# One task at a time works on housekeeping, and prices wait behind it.
TRADES_WITHIN = timedelta(seconds=3)


def ring_order_reconciliations() -> int:
    """Compare the working orders of every account with open books."""
    return sum(_ring(account, "orders") for account in accounts_to_reconcile())


def ring_trade_reconciliations() -> int:
    """Read the trades of symbols that are due, a few at a time, of every account with open books."""
    return sum(_ring(account, "trades") for account in accounts_to_reconcile())


def resync(account: Account) -> None:
    """Compare working orders, the trades of every symbol, and balances as soon as possible: a stream had a gap, or
    something is there that the books do not know."""
    if account.books_opened_at is None or account.mode == Mode.PAPER:
        return
    _ring(account, "orders")
    ring_chore(HOUSEKEEPING_QUEUE, f"reconcile-all:{account.pk}", "orders.tasks.reconcile_all_trades", account.pk)
    ring_chore(HOUSEKEEPING_QUEUE, f"balances:{account.pk}", "orders.tasks.refresh_balances", account.pk)


def accounts_to_reconcile() -> list[Account]:
    """Accounts with open books at a real exchange."""
    return list(Account.objects.filter(books_opened_at__isnull=False).exclude(mode=Mode.PAPER).order_by("id"))


def _ring(account: Account, part: str) -> bool:
    name = f"reconcile-{part}:{account.pk}"
    return ring_chore(HOUSEKEEPING_QUEUE, name, f"orders.tasks.reconcile_{part}", account.pk)
