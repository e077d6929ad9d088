"""The cut-over of an account: from here on the books follow the exchange, fill by fill."""

from __future__ import annotations

from exchanges.connections import adapter_for
from exchanges.host_clock import exchange_now_ms
from exchanges.models import Account, Instrument
from exchanges.syncing import store_balances
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.locking import ordered
from execution_project.common.money import plain
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from positions.booking import book_opening
from positions.models import TradeCursor


def open_books(account: Account, *, by: Actor) -> dict[str, str]:
    """Record opening entries from the exchange's balances and a trade cursor per instrument; once per account.

    Returns the opened amounts per asset. Raises ``Problem`` (409) when the books stand open already, and
    ``ReadFailed`` when the exchange does not answer. Orders of other programs that are working at the cut-over are
    refused: their fills could fall on either side of it.
    """
    by.require(Right.MANAGE_ACCOUNTS)
    if account.books_opened_at is not None:
        raise Problem(409, "BOOKS_ALREADY_OPEN", f"The books of {account.name} were opened before.")
    adapter = adapter_for(account)
    working = adapter.open_orders(None, now_ms=exchange_now_ms(account))
    if working:
        raise Problem(409, "ORDERS_WORKING", f"{len(working)} orders are working on {account.name}: cancel them first.")
    instruments = list(Instrument.objects.filter(exchange=account.exchange, mode=account.mode))
    newest: dict[int, str] = {}
    for instrument in instruments:
        trades = adapter.trades_from(instrument.symbol, None, now_ms=exchange_now_ms(account))
        newest[instrument.pk] = trades[-1].trade_id if trades else ""
    balances = adapter.balances(now_ms=exchange_now_ms(account))
    amounts = {b.asset: b.free + b.locked for b in balances if b.free + b.locked}
    now = clock.now()
    with ordered() as locks:
        opened = Account.objects.filter(pk=account.pk, books_opened_at__isnull=True).update(books_opened_at=now)
        if not opened:
            raise Problem(409, "BOOKS_ALREADY_OPEN", f"The books of {account.name} were opened before.")
        book_opening(locks, account, amounts)
        TradeCursor.objects.bulk_create(
            TradeCursor(
                account=account,
                instrument=instrument,
                opened_after_trade_id=newest[instrument.pk],
                last_trade_id=newest[instrument.pk],
                updated_at=now,
            )
            for instrument in instruments
        )
        record(
            "account.books_opened",
            "account",
            account.name,
            by,
            evidence={"amounts": {asset: plain(amount) for asset, amount in amounts.items()}},
        )
    store_balances(account, balances)
    return {asset: plain(amount) for asset, amount in sorted(amounts.items())}
