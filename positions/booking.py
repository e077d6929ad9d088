"""Booking trades: fills become ledger legs, rates, holdings and positions, once each, in one transaction with their
order. What moved without a trade: ``positions.posting``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings

from exchanges.models import Account, Instrument
from exchanges.reports import TradeReport
from execution_project.common import clock
from execution_project.common.locking import Locks
from execution_project.common.models import Strategy
from execution_project.common.money import plain
from execution_project.common.writing import insert_new
from positions.accounting import Leg
from positions.costing import rates_needed
from positions.facts import FillFact, fees_of, fill_facts, steps_of_fills
from positions.folding import fold_in
from positions.models import Fill, LedgerEntry
from positions.moments import moment_of_trade
from positions.position_folding import fold_positions
from positions.rates import Wanted, store_rates

__all__ = ["Booking", "book_trades", "entry_of", "fees_of", "needs_of"]


@dataclass(frozen=True, slots=True)
class Booking:
    """A trade report with the order it belongs to (None for a trade that no order of ours made)."""

    trade: TradeReport
    instrument: Instrument
    order_id: UUID | None
    strategy: Strategy | None
    client_order_id: str


def book_trades(locks: Locks, account: Account, bookings: Sequence[Booking]) -> list[Fill]:
    """Book what is not in the books yet and return the new fills; a trade already booked changes nothing.

    The caller holds the locks of the orders concerned. Holdings and positions are the fold of all their facts by
    moment: a fill from before the last one has them folded anew. The number of statements does not depend on what
    was booked before, and of a page of fills only the rates of distinct times add to it.
    """
    instruments = {booking.instrument.pk: booking.instrument for booking in bookings}
    # In one order everywhere, so that two bookings of the same trades wait for each other and never in a ring.
    new = insert_new([_fill(account, booking) for booking in sorted(bookings, key=_moment)])
    if not new:
        return []
    store_rates(account, [needs_of(fill, instruments[fill.instrument_id]) for fill in new])
    facts = fill_facts(new, instruments)
    LedgerEntry.objects.bulk_create(entry_of(fact, leg, "fill") for fact in facts for leg in fact.legs())
    fold_in(locks, account, steps_of_fills(facts))
    fold_positions(locks, account, facts)
    return new


def needs_of(fill: Fill, pair: Instrument) -> Wanted:
    """Which rates value a fill."""
    needed = rates_needed(pair.base_asset, pair.quote_asset, fees_of(fill), settings.EXEC_REPORTING_CURRENCY)
    return Wanted(fill, fill.traded_at, frozenset(needed))


def entry_of(fact: FillFact, leg: Leg, kind: str) -> LedgerEntry:
    """A leg of a fill as a row of the ledger, not saved; ``kind`` is ``fill`` or ``correction``."""
    return LedgerEntry(
        account_id=fact.account_id,
        asset=leg.asset,
        book=leg.book,
        amount=leg.amount,
        kind=kind,
        fill_id=fact.id,
        reference=fact.trade_id,
        effective_at=fact.at,
        posted_at=clock.now(),
    )


def _moment(booking: Booking) -> str:
    trade = booking.trade
    return moment_of_trade(trade.traded_at, trade.trade_id, trade.exchange_order_id, booking.instrument.pk)


def _fill(account: Account, booking: Booking) -> Fill:
    trade = booking.trade
    return Fill(
        account=account,
        instrument=booking.instrument,
        strategy=booking.strategy,
        order_id=booking.order_id,
        exchange_order_id=trade.exchange_order_id,
        client_order_id=booking.client_order_id,
        trade_id=trade.trade_id,
        side=trade.side,
        price=trade.price,
        quantity=trade.quantity,
        quote_quantity=trade.quote_quantity,
        fees=[{"asset": fee.asset, "amount": plain(fee.amount), "kind": fee.kind} for fee in trade.fees],
        is_maker=trade.is_maker,
        traded_at=trade.traded_at,
        booked_at=clock.now(),
        source=trade.source,
    )
