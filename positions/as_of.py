"""What the books say of a moment of the past, by the ledger's time: when facts happened, not when we heard of them.

Facts that arrived late, and corrections, count where they belong: today's knowledge of that moment. Balances can be had
by the other clock too (``as_known_at``: what had been posted by then). Holdings and positions are folded from the
checkpoint before the moment, so that a look into the past takes no longer the more was traded.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import QuerySet, Sum

from exchanges.models import Account
from execution_project.common import clock
from execution_project.common.clock import rfc3339
from execution_project.common.problems import Problem
from positions.costing import Holder, InventoryState
from positions.facts import fills_after
from positions.folding import state_at
from positions.models import Book, Holding, Inventory, LedgerEntry, Position, PositionCheckpoint
from positions.moments import BEGINNING, moment_at
from positions.position_folding import position_folding_from


@dataclass(frozen=True, slots=True)
class BalanceAt:
    """What the ledger has of an asset at the exchange at a moment."""

    account: Account
    asset: str
    amount: Decimal


def accounts_with_books(accounts: QuerySet[Account], as_of: datetime) -> list[Account]:
    """Those of the accounts whose books were open then.

    Raises ``Problem`` (400) for a moment in the future, and where the books of none of them were open.
    """
    if as_of > clock.now():
        raise Problem(400, "INVALID_PARAMETER", "as_of: it takes a moment that has passed; this one is in the future.")
    rows = list(accounts)
    found = [row for row in rows if row.books_opened_at is not None and row.books_opened_at <= as_of]
    if rows and not found:
        opened = min((row.books_opened_at for row in rows if row.books_opened_at is not None), default=None)
        when = "they are not open yet" if opened is None else f"they were opened at {rfc3339(opened)}"
        raise Problem(400, "INVALID_PARAMETER", f"as_of: there were no books at that moment; {when}.")
    return found


def holdings_at(rows: Sequence[Holding], as_of: datetime) -> list[Holding]:
    """The same holdings with the numbers of then; they are not to be saved."""
    limit = moment_at(as_of)
    known = Inventory.objects.filter(
        account__in={row.account_id for row in rows}, asset__in={row.asset for row in rows}
    )
    inventories = {(row.account_id, row.asset): row for row in known}
    states: dict[tuple[int, str], InventoryState] = {}
    for key in dict.fromkeys((row.account_id, row.asset) for row in rows):
        inventory = inventories.get(key)
        if inventory is None or inventory.restating or inventory.moment > limit:
            states[key] = state_at(*key, as_of, inventory)
    return [_holding(row, states.get((row.account_id, row.asset))) for row in rows]


def _holding(row: Holding, state: InventoryState | None) -> Holding:
    if state is None:
        return row
    then = copy(row)
    holder = state.suspense if row.in_suspense else state.holders.get(row.strategy_id, Holder())
    then.quantity, then.cost, then.average_cost = holder.quantity, holder.cost, holder.average
    then.realised_pnl, then.currency_effect, then.pending = holder.realised, holder.currency_effect, holder.pending
    return then


def positions_at(rows: Sequence[Position], as_of: datetime) -> list[Position]:
    """The same positions with the numbers of then; they are not to be saved. Breaks of today say nothing of then."""
    return [_position_at(row, as_of) for row in rows]


def _position_at(row: Position, as_of: datetime) -> Position:
    then = copy(row)
    then.restating = then.unbooked = then.disputed = False
    limit = moment_at(as_of)
    if not row.restating and row.moment <= limit:
        return then
    if row.restating:
        limit = min(limit, row.restate_after)
    kept = PositionCheckpoint.objects.filter(
        account_id=row.account_id,
        instrument_id=row.instrument_id,
        strategy=row.strategy_id,
        moment__lte=limit,
    )
    moment = kept.order_by("-moment").values_list("moment", flat=True).first() or BEGINNING
    folding = position_folding_from(row, moment)
    is_last = False
    while not is_last:
        fills, is_last = fills_after(
            row.account_id, row.instrument_id, row.strategy_id, folding.moment, folding.at, until=as_of
        )
        folding.add(fills)
        folding.checkpoints.clear()
    state = folding.state
    then.net_quantity, then.cost, then.average_price = state.net_quantity, state.cost, state.average_price
    then.realised_pnl, then.pending = state.realised_pnl, state.pending
    then.fees_in_quote, then.fees_valued = state.fees_in_quote, state.fees_valued
    then.bought_quantity, then.sold_quantity = state.bought_quantity, state.sold_quantity
    then.fill_count, then.last_trade_at, then.last_trade_id = folding.count, folding.at, folding.trade_id
    return then


def balances_at(
    accounts: Sequence[Account], as_of: datetime, *, as_known_at: datetime | None = None, asset: str | None = None
) -> list[BalanceAt]:
    """Ledger sums per account and asset at a moment; with ``as_known_at`` of what had been posted by then alone."""
    by_id = {account.pk: account for account in accounts}
    rows = LedgerEntry.objects.filter(account__in=by_id, book=Book.EXCHANGE, effective_at__lte=as_of)
    if asset is not None:
        rows = rows.filter(asset=asset)
    if as_known_at is not None:
        rows = rows.filter(posted_at__lte=as_known_at)
    sums = rows.values("account_id", "asset").annotate(total=Sum("amount")).order_by("account__name", "asset")
    return [BalanceAt(by_id[row["account_id"]], row["asset"], row["total"]) for row in sums]
