"""Reconciliation: the union of our books and the exchange's, compared part by part.

Differences become ingested facts or breaks. A failed query is never an empty answer: its part counts as failed, nothing
is concluded from it, and its freshness is not renewed. No HTTP call is made inside a transaction.

- ``orders``: the account's whole list of working orders against the exchange orders that are not proven ended.
- ``trades``: every trade since the last reading of its symbol, with an overlap, against the fills, both ways.
- ``balances``: free + locked per asset against the ledger's ``exchange`` book.
- ``run`` compares; ``unbooked`` and ``staleness`` look at the books alone and are called between two comparisons.
"""

from orders.reconciliation.balances import explained
from orders.reconciliation.cursors import (
    LONG_OVERLAP,
    TRADES_EVERY,
    TRADES_OVERLAP,
    read_trades_again,
    wanted_cursors,
)
from orders.reconciliation.outcome import Difference, NotReconciled, Reconciliation
from orders.reconciliation.run import reconcile
from orders.reconciliation.suspected import symbols_to_read_again
from orders.reconciliation.trades import NOT_SHOWN_YET

__all__ = [
    "LONG_OVERLAP",
    "NOT_SHOWN_YET",
    "TRADES_EVERY",
    "TRADES_OVERLAP",
    "Difference",
    "NotReconciled",
    "Reconciliation",
    "explained",
    "read_trades_again",
    "reconcile",
    "symbols_to_read_again",
    "wanted_cursors",
]
