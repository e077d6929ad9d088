"""Booking facts: fills become ledger legs, holdings and positions, once each, in one transaction with their order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import Q

from exchanges.models import Account, Instrument
from exchanges.reports import Fee, TradeReport
from execution_project.common import clock
from execution_project.common.actors import engine
from execution_project.common.events import record
from execution_project.common.locking import Locks, Rank
from execution_project.common.models import Strategy
from execution_project.common.money import plain
from execution_project.common.writing import insert_new
from positions.accounting import PositionState, apply_fill, legs_of_fill, legs_of_opening, legs_of_transfer, movements
from positions.models import Fill, Holding, LedgerEntry, Position


@dataclass(frozen=True, slots=True)
class Booking:
    """A trade report with the order it belongs to (None for a trade that no order of ours made)."""

    trade: TradeReport
    instrument: Instrument
    order_id: UUID | None
    strategy: Strategy | None
    client_order_id: str


def fees_of(fill: Fill) -> tuple[Fee, ...]:
    """The fill's fees as values."""
    return tuple(Fee(fee["asset"], Decimal(fee["amount"]), fee["kind"]) for fee in fill.fees)


def _moment(trade: TradeReport | Fill) -> tuple[datetime, int, str, str]:
    """Where a trade stands among the others: by time, then by number, then by order for a trade with oneself."""
    return trade.traded_at, len(trade.trade_id), trade.trade_id, trade.exchange_order_id


def book_trades(locks: Locks, account: Account, bookings: Sequence[Booking]) -> list[Fill]:
    """Book what is not in the books yet and return the new fills; a trade already booked changes nothing.

    The caller holds the locks of the orders concerned. Positions are the fold of all their fills by time and trade id:
    a fill from before the last one has its position folded anew.
    """
    now = clock.now()
    ordered = sorted(bookings, key=lambda booking: _moment(booking.trade))
    instruments = {booking.instrument.pk: booking.instrument for booking in ordered}
    fills = [
        Fill(
            account=account,
            instrument=booking.instrument,
            strategy=booking.strategy,
            order_id=booking.order_id,
            exchange_order_id=booking.trade.exchange_order_id,
            client_order_id=booking.client_order_id,
            trade_id=booking.trade.trade_id,
            side=booking.trade.side,
            price=booking.trade.price,
            quantity=booking.trade.quantity,
            quote_quantity=booking.trade.quote_quantity,
            fees=[{"asset": f.asset, "amount": plain(f.amount), "kind": f.kind} for f in booking.trade.fees],
            is_maker=booking.trade.is_maker,
            traded_at=booking.trade.traded_at,
            booked_at=now,
            source=booking.trade.source,
        )
        for booking in ordered
    ]
    new = insert_new(fills)
    if not new:
        return []
    entries: list[LedgerEntry] = []
    deltas: dict[tuple[str, int | None], Decimal] = defaultdict(Decimal)
    for fill in new:
        pair = instruments[fill.instrument_id]
        legs = legs_of_fill(
            fill.side, pair.base_asset, pair.quote_asset, fill.quantity, fill.quote_quantity, fees_of(fill)
        )
        entries += [
            LedgerEntry(
                account=account,
                asset=leg.asset,
                book=leg.book,
                amount=leg.amount,
                kind="fill",
                fill=fill,
                reference=fill.trade_id,
                effective_at=fill.traded_at,
                posted_at=now,
            )
            for leg in legs
        ]
        for asset, amount in movements(legs).items():
            deltas[asset, fill.strategy_id] += amount
    LedgerEntry.objects.bulk_create(entries)
    move_holdings(locks, account, deltas)
    _fold_positions(locks, account, new, instruments)
    return new


def move_holdings(locks: Locks, account: Account, deltas: dict[tuple[str, int | None], Decimal]) -> None:
    """Add signed amounts to holdings, keyed by (asset, strategy id)."""
    now = clock.now()
    insert_new(
        [
            Holding(account=account, asset=asset, strategy_id=strategy, quantity=Decimal(0), updated_at=now)
            for asset, strategy in sorted(deltas, key=str)
        ]
    )
    rows = locks.rows(Rank.HOLDINGS, Holding.objects.filter(account=account, asset__in={asset for asset, _ in deltas}))
    touched = [row for row in rows if (row.asset, row.strategy_id) in deltas]
    for row in touched:
        row.quantity += deltas[row.asset, row.strategy_id]
        row.updated_at = now
    Holding.objects.bulk_update(touched, ["quantity", "updated_at"])


def _fold_positions(locks: Locks, account: Account, fills: Sequence[Fill], pairs: dict[int, Instrument]) -> None:
    now = clock.now()
    keys = {(fill.instrument_id, fill.strategy_id) for fill in fills}
    insert_new(
        [
            Position(account=account, instrument_id=instrument, strategy_id=strategy, updated_at=now)
            for instrument, strategy in sorted(keys, key=str)
        ]
    )
    wanted = Q()
    for instrument, strategy in keys:
        wanted |= Q(instrument_id=instrument, strategy_id=strategy)
    rows = locks.rows(Rank.POSITIONS, Position.objects.filter(wanted, account=account))
    for row in rows:
        news = [
            fill for fill in fills if (fill.instrument_id, fill.strategy_id) == (row.instrument_id, row.strategy_id)
        ]
        before = PositionState(
            row.net_quantity, row.cost, row.realised_pnl, row.fees_in_quote, row.bought_quantity, row.sold_quantity
        )
        last = None if row.last_trade_at is None else (row.last_trade_at, len(row.last_trade_id), row.last_trade_id)
        late = last is not None and _moment(news[0])[:3] <= last
        if late:
            folded = sorted(
                Fill.objects.filter(account=account, instrument=row.instrument_id, strategy=row.strategy_id),
                key=_moment,
            )
        else:
            folded = news
        state = _fold(PositionState() if late else before, folded, pairs[row.instrument_id].quote_asset)
        row.net_quantity = state.net_quantity
        row.cost = state.cost
        row.average_price = state.average_price
        row.realised_pnl = state.realised_pnl
        row.fees_in_quote = state.fees_in_quote
        row.bought_quantity = state.bought_quantity
        row.sold_quantity = state.sold_quantity
        row.fill_count += len(news)
        row.last_trade_at, row.last_trade_id = folded[-1].traded_at, folded[-1].trade_id
        row.updated_at = now
        if late:
            record(
                "position.restated",
                "position",
                row.pk,
                engine("booking", "a trade from before the last one"),
                evidence={
                    "trades": [fill.trade_id for fill in news],
                    "realised_pnl": plain(state.realised_pnl),
                    "realised_pnl_before": plain(before.realised_pnl),
                },
            )
    Position.objects.bulk_update(
        rows,
        [
            "net_quantity",
            "cost",
            "average_price",
            "realised_pnl",
            "fees_in_quote",
            "bought_quantity",
            "sold_quantity",
            "fill_count",
            "last_trade_at",
            "last_trade_id",
            "updated_at",
        ],
    )


def _fold(state: PositionState, fills: Sequence[Fill], quote_asset: str) -> PositionState:
    for fill in fills:
        state = apply_fill(
            state,
            side=fill.side,
            quantity=fill.quantity,
            quote_quantity=fill.quote_quantity,
            fee_in_quote=sum((f.amount for f in fees_of(fill) if f.asset == quote_asset), Decimal(0)),
        )
    return state


def book_opening(locks: Locks, account: Account, amounts: dict[str, Decimal]) -> None:
    """Opening entries and unallocated holdings from the exchange's balances at the cut-over."""
    now = clock.now()
    LedgerEntry.objects.bulk_create(
        LedgerEntry(
            account=account,
            asset=leg.asset,
            book=leg.book,
            amount=leg.amount,
            kind="opening",
            reference="open_books",
            effective_at=now,
            posted_at=now,
        )
        for asset, amount in sorted(amounts.items())
        for leg in legs_of_opening(asset, amount)
    )
    move_holdings(locks, account, {(asset, None): amount for asset, amount in amounts.items()})


def book_transfer(locks: Locks, account: Account, asset: str, amount: Decimal, *, reference: str) -> None:
    """What moved at the exchange outside of trading: units of ``asset``, positive for what came in. ``reference`` says
    on whose word. Holdings without a strategy follow."""
    now = clock.now()
    LedgerEntry.objects.bulk_create(
        LedgerEntry(
            account=account,
            asset=leg.asset,
            book=leg.book,
            amount=leg.amount,
            kind="transfer",
            reference=reference[:128],
            effective_at=now,
            posted_at=now,
        )
        for leg in legs_of_transfer(asset, amount)
    )
    move_holdings(locks, account, {(asset, None): amount})
