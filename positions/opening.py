"""The cut-over of an account: from here on the books follow the exchange, fill by fill."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from exchanges.connections import adapter_for
from exchanges.freshness import PARTS, mark_fresh
from exchanges.host_clock import exchange_now_ms
from exchanges.models import Account, Instrument
from exchanges.reports import BalanceReport
from exchanges.syncing import store_balances
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.locking import ordered
from execution_project.common.money import plain
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from positions.models import TradeCursor
from positions.posting import book_opening


@dataclass(frozen=True, slots=True)
class Opening:
    """What the exchange shows at a cut-over: balances, and the newest trade id per instrument (empty: none yet).

    ``asked_at``: by the exchange's clock, before anything was asked; every trade that is not in it is later.
    """

    balances: tuple[BalanceReport, ...]
    newest: tuple[tuple[Instrument, str], ...]
    asked_at: datetime

    @property
    def amounts(self) -> dict[str, Decimal]:
        """What is held of each asset, free and locked together, without zeros."""
        return {b.asset: b.free + b.locked for b in self.balances if b.free + b.locked}


Watch = Callable[[Sequence[Instrument]], Iterable[Instrument]]


def read_opening(account: Account, *, watch: Watch = iter) -> Opening:
    """Ask the exchange for what ``open_books`` would record; stores nothing. Raises the same errors.

    ``watch`` passes the instruments on one by one, for whoever wants to see how far it is.
    """
    if account.books_opened_at is not None:
        raise Problem(409, "BOOKS_ALREADY_OPEN", f"The books of {account.name} were opened before.")
    adapter = adapter_for(account)
    asked_at = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=exchange_now_ms(account))
    working = adapter.open_orders(None, now_ms=exchange_now_ms(account))
    if working:
        raise Problem(409, "ORDERS_WORKING", f"{len(working)} orders are working on {account.name}: cancel them first.")
    newest: list[tuple[Instrument, str]] = []
    for instrument in watch(list(Instrument.objects.filter(exchange=account.exchange, mode=account.mode))):
        trades = adapter.trades_from(instrument.symbol, None, now_ms=exchange_now_ms(account))
        newest.append((instrument, trades[-1].trade_id if trades else ""))
    return Opening(adapter.balances(now_ms=exchange_now_ms(account)), tuple(newest), asked_at)


def check_costs(opening: Opening, costs: Mapping[str, Decimal]) -> None:
    """Raise ``Problem`` (400) when a cost was given for what is not held, or is negative."""
    for asset, cost in costs.items():
        if asset not in opening.amounts:
            held = ", ".join(sorted(opening.amounts)) or "nothing"
            raise Problem(400, "INVALID_COST", f"A cost was given for {asset}; held is {held}.")
        if cost < 0:
            raise Problem(400, "INVALID_COST", f"The cost of {asset} is negative; give what one unit cost, 0 or more.")


def open_books(
    account: Account, *, by: Actor, costs: Mapping[str, Decimal] | None = None, watch: Watch = iter
) -> dict[str, str]:
    """Record opening entries from the exchange's balances and a trade cursor per instrument; once per account.

    ``costs``: reporting currency per unit, by asset; what has none enters at its mark of now, flagged as assumed, and
    where there is no mark its cost is pending. Returns the opened amounts per asset.

    Raises ``Problem`` (409) when the books stand open already, (400) for a cost of what is not held, and ``ReadFailed``
    when the exchange does not answer. Orders of other programs that are working at the cut-over are refused: their
    fills could fall on either side of it.
    """
    by.require(Right.MANAGE_ACCOUNTS)
    opening = read_opening(account, watch=watch)
    check_costs(opening, costs or {})
    amounts = opening.amounts
    now = clock.now()
    with ordered() as locks:
        opened = Account.objects.filter(pk=account.pk, books_opened_at__isnull=True).update(books_opened_at=now)
        if not opened:
            raise Problem(409, "BOOKS_ALREADY_OPEN", f"The books of {account.name} were opened before.")
        book_opening(locks, account, amounts, costs, by=by, effective_at=opening.asked_at)
        TradeCursor.objects.bulk_create(
            TradeCursor(
                account=account,
                instrument=instrument,
                opened_after_trade_id=newest,
                last_trade_id=newest,
                updated_at=now,
            )
            for instrument, newest in opening.newest
        )
        record(
            "account.books_opened",
            "account",
            account.name,
            by,
            evidence={
                "amounts": {asset: plain(amount) for asset, amount in amounts.items()},
                "costs": {asset: plain(cost) for asset, cost in (costs or {}).items()},
            },
        )
    store_balances(account, opening.balances)
    # The opening is a comparison of every part: no order works, the cursors stand, the ledger is the balances.
    mark_fresh(account, PARTS, now)
    return {asset: plain(amount) for asset, amount in sorted(amounts.items())}
