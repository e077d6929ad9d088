"""Up to where the trades of each symbol were read, and which symbols are read at all."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import F, Q, Sum, Value
from django.db.models.functions import Least

from exchanges.models import Account, Balance, Instrument
from exchanges.reports import TradeReport
from execution_project.common import clock, fault_hooks
from execution_project.common.writing import insert_new
from orders.models import Break, BreakKind, BreakStatus, Order
from positions.models import Book, Fill, LedgerEntry, TradeCursor
from risk.inputs import AHEAD, CASH_ASSETS

TRADES_OVERLAP = timedelta(minutes=10)
"""How far before the last reading trades are read again: an exchange may show one seconds late."""
LONG_OVERLAP = timedelta(hours=24)
"""The same at a start, after a restore and by command: then nobody knows how far the books can be believed."""
TRADES_EVERY = timedelta(minutes=5)
NO_LONGER_LISTED = "DELISTED"


def wanted_cursors(account: Account) -> list[TradeCursor]:
    """The symbols whose trades are read, longest unread first.

    Those with an order or a fill on the account, and every listed pair of two assets that it holds or that differ: an
    order of another program can only give what is there, and what it brings shows in the balances.
    """
    market = {"exchange": account.exchange, "mode": account.mode}
    held = set(Balance.objects.filter(account=account).exclude(free=0, locked=0).values_list("asset", flat=True))
    held |= {
        row["asset"]
        for row in LedgerEntry.objects.filter(account=account, book=Book.EXCHANGE)
        .values("asset")
        .annotate(total=Sum("amount"))
        if row["total"]
    }
    held |= set(
        Break.objects.filter(account=account, kind=BreakKind.BALANCE_MISMATCH)
        .exclude(status=BreakStatus.RESOLVED)
        .values_list("subject", flat=True)
    )
    wanted = Instrument.objects.filter(
        Q(id__in=Order.objects.filter(account=account).values("instrument"))
        | Q(id__in=Fill.objects.filter(account=account).values("instrument"))
        | Q(base_asset__in=held, quote_asset__in=held | set(CASH_ASSETS)),
        **market,
    ).exclude(status=NO_LONGER_LISTED)
    opened_at = account.books_opened_at or clock.now()
    # Listed since the opening; stored once its trades were read.
    fresh = [
        TradeCursor(account=account, instrument=instrument, updated_at=opened_at)
        for instrument in wanted.exclude(tradecursor__account=account)
    ]
    stored = list(TradeCursor.objects.filter(account=account, instrument__in=wanted).select_related("instrument"))
    now = clock.now()
    for cursor in stored:
        if cursor.updated_at > now + AHEAD:
            cursor.updated_at = now - LONG_OVERLAP  # of a clock that ran ahead: it does not tell what was read
    return sorted([*fresh, *stored], key=lambda cursor: (cursor.updated_at, cursor.instrument_id))


def read_trades_again(account: Account) -> None:
    """Have the next reading of every symbol reach back a day further. What it has read is kept when it is cut short."""
    TradeCursor.objects.filter(account=account).update(
        updated_at=Least(F("updated_at"), Value(clock.now())) - LONG_OVERLAP
    )


def advance(cursor: TradeCursor, until: datetime, told: tuple[TradeReport, ...]) -> None:
    """Store how far the trades of a symbol were read; reading older ones again takes nothing back."""
    cursor.updated_at = max(cursor.updated_at, until)
    if told:
        cursor.last_trade_id = max((cursor.last_trade_id, *(trade.trade_id for trade in told)), key=_number)
    fault_hooks.reach("before_trade_cursor")
    if cursor.pk is None:
        insert_new([cursor])
    else:
        cursor.save(update_fields=["updated_at", "last_trade_id"])
    fault_hooks.reach("after_trade_cursor")


def _number(trade_id: str) -> tuple[int, str]:
    return len(trade_id), trade_id


def after_opening(cursor: TradeCursor, trade_id: str) -> bool:
    """Trades up to the cut-over are in the opening balance."""
    return not cursor.opened_after_trade_id or _number(trade_id) > _number(cursor.opened_after_trade_id)
