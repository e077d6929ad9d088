"""Trades: every trade since the last reading of its symbol, with an overlap, against the fills."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError

from exchanges.reports import OrderReport, OutcomeKind, ReadFailed, ReportedStatus, TradeReport
from exchanges.searching import trade_slices
from execution_project.common import clock, fault_hooks
from execution_project.common.money import plain
from orders.breaks import Finding, open_subjects
from orders.following import ONE_ORDER
from orders.ingest import ingest
from orders.models import BreakKind, Order, Severity
from orders.reconciliation.cursors import TRADES_EVERY, TRADES_OVERLAP, advance, after_opening, wanted_cursors
from orders.reconciliation.known import adopt_with, rows_of
from orders.reconciliation.matching import OF_TRADES, differences_between, severity_of
from orders.reconciliation.outcome import Run
from orders.reconciliation.suspected import suspected_orphans
from orders.reconciliation.unbooked import BLOCKS_AFTER, subjects_unbooked
from positions.facts import fill_facts, taken_back
from positions.models import Fill, TradeCursor

NOT_SHOWN_YET = timedelta(seconds=60)
"""A trade or order this young may be missing in another list of the exchange."""
BEFORE_ORPHANS = timedelta(seconds=10)
"""So far before a fill that one reading did not show the next one begins."""
UNBOOKABLE = (DataError, IntegrityError, ValidationError, ArithmeticError, ValueError)
"""What booking a trade raises that no books can hold."""
NAMED = 50
"""So many trades a break names as its evidence."""
ZERO = Decimal(0)

log = logging.getLogger(__name__)


def compare_trades(run: Run, asked_at: datetime) -> datetime:
    """Returns until when the trades of every symbol are compared. Raises ``ReadFailed``."""
    cursors = wanted_cursors(run.account)
    suspected = suspected_orphans(run.account)
    for cursor in cursors:
        if run.symbols is not None and cursor.instrument.symbol not in run.symbols:
            continue
        look_back_to = suspected.get(cursor.instrument.symbol)
        if run.only_due and cursor.updated_at > asked_at - TRADES_EVERY:
            continue
        was_read = run.unless_read_since is not None and cursor.updated_at > run.unless_read_since
        if was_read and look_back_to is None:
            continue
        if run.stop_at is not None and time.monotonic() >= run.stop_at:
            run.result.unfinished.add("trades")
            break
        try:
            if not _trades_of(run, cursor, look_back_to):
                run.result.unfinished.add("trades")
        except ReadFailed as error:
            if error.outcome.kind is not OutcomeKind.REFUSED and error.outcome.reason not in ONE_ORDER:
                raise
            # One symbol that cannot be read must not keep the others from being read.
            run.result.failed["trades"] = f"{cursor.instrument.symbol}: {error}"
    # The part is as fresh as its longest unread symbol.
    return min([cursor.updated_at for cursor in cursors], default=asked_at)


def _trades_of(run: Run, cursor: TradeCursor, look_back_to: datetime | None) -> bool:
    """Read the trades of one symbol since the last reading and book those that are not in the books.

    ``look_back_to``: when a fill was traded that a reading did not show; short readings after a wide one would never
    look for it again. Slice by slice: what was read to its end stays so, whatever comes after. Returns whether all was.
    """
    asked_at, now_ms = clock.now(), run.now_ms()
    start = cursor.updated_at - TRADES_OVERLAP
    if run.since is not None:
        start = min(start, run.since)
    if look_back_to is not None:
        start = min(start, look_back_to - NOT_SHOWN_YET - BEFORE_ORPHANS)
    offset_ms = now_ms - clock.to_ms(asked_at)
    symbol = cursor.instrument.symbol
    compared_to = start + NOT_SHOWN_YET
    shown: set[tuple[str, str]] = set()
    done = True
    slices = trade_slices(run.adapter, symbol, clock.to_ms(start) + offset_ms, now_ms + 1000, now_ms=now_ms)
    for until_ms, told in slices:
        fault_hooks.reach("reconcile_trades_read")
        until = min(clock.from_ms(until_ms - offset_ms), asked_at)
        shown |= {(trade.trade_id, trade.exchange_order_id) for trade in told}
        told = tuple(trade for trade in told if after_opening(cursor, trade.trade_id))
        done &= _book_missing(run, cursor, told)
        _orphans(run, cursor, compared_to, until - NOT_SHOWN_YET, shown)
        compared_to = max(compared_to, until - NOT_SHOWN_YET)
        if done and not run.dry_run:
            advance(cursor, until, told)
        if until < asked_at and run.stop_at is not None and time.monotonic() >= run.stop_at:
            return False
    if done:
        unbooked = subjects_unbooked(run.account)
        explanation = "The trades are booked."
        run.ended(BreakKind.MISSING_FILL, unbooked, explanation, {"read": len(shown)}, prefix=f"{symbol} ")
    return done


def _book_missing(run: Run, cursor: TradeCursor, told: tuple[TradeReport, ...]) -> bool:
    """Compare the trades with their fills and book those that the books lack; whether all are in the books now."""
    booked = {
        (fill.trade_id, fill.exchange_order_id): fill
        for fill in Fill.objects.filter(
            account=run.account, instrument=cursor.instrument, trade_id__in=[trade.trade_id for trade in told]
        )
    }
    _compare_booked(run, cursor, told, booked)
    by_order: dict[str, list[TradeReport]] = defaultdict(list)
    for trade in told:
        if (trade.trade_id, trade.exchange_order_id) not in booked:
            by_order[trade.exchange_order_id].append(trade)
    done = True
    for exchange_order_id, trades in by_order.items():
        done &= _book(run, cursor, exchange_order_id, trades)
    return done


def _compare_booked(
    run: Run, cursor: TradeCursor, told: Sequence[TradeReport], booked: Mapping[tuple[str, str], Fill]
) -> None:
    """Fills that the exchange shows otherwise than they stand, with their corrections, are breaks; these end when both
    are the same."""
    symbol = cursor.instrument.symbol
    facts = fill_facts(list(booked.values()), {cursor.instrument.pk: cursor.instrument})
    stands = {fact.id: fact for fact in facts}
    agreed: set[tuple[str, str]] = set()
    for trade in told:
        fill = booked.get((trade.trade_id, trade.exchange_order_id))
        if fill is None:
            continue
        subject = f"{symbol} {fill.exchange_order_id} {fill.trade_id}"
        differing = differences_between(stands[fill.id], trade)
        agreed |= {(kind.value, subject) for kind in OF_TRADES} - {(d.kind.value, subject) for d in differing}
        for difference in differing:
            run.found(
                "trades",
                Finding(
                    difference.kind,
                    severity_of(difference, stands[fill.id], cursor.instrument),
                    subject,
                    expected=difference.expected,
                    observed=difference.observed,
                    difference=difference.difference,
                    order=_order_of_fill(fill),
                    evidence={"fill": str(fill.id), "booked_from": fill.source, "read_from": trade.source},
                ),
            )
    noted = open_subjects(run.account, OF_TRADES, f"{symbol} ") if agreed else set()
    for kind in OF_TRADES:
        of_kind = {subject for name, subject in noted if name == kind}
        still = of_kind - {subject for name, subject in agreed if name == kind}
        if still != of_kind:
            explanation = "The exchange shows the trade as the fill stands."
            run.ended(kind, still, explanation, {"read": len(told)}, prefix=f"{symbol} ")


def _order_of_fill(fill: Fill) -> Order | None:
    return Order.objects.filter(id=fill.order_id).first() if fill.order_id is not None else None


def _book(run: Run, cursor: TradeCursor, exchange_order_id: str, trades: list[TradeReport]) -> bool:
    """Book trades of one exchange order that the books lack; whether they are in the books now."""
    symbol = cursor.instrument.symbol
    subject = f"{symbol} {exchange_order_id}"
    quantity = plain(sum((trade.quantity for trade in trades), ZERO))
    known = rows_of(run.account, trades)
    row = known.get((symbol, exchange_order_id)) or known.get(("id", trades[0].client_order_id or ""))
    if run.dry_run:
        run.note("trades", "missing fill" if row else "foreign trade", subject, "0", quantity, "seen")
        return True
    try:
        if row is not None:
            new = ingest(run.account, trades, by=run.by).new_fills
            run.result.new_fills += new
            if new:
                run.note("trades", "missing fill", subject, "0", quantity, "ingested")
            return True
        report, whole = _order_of(run, cursor, trades)
        if report is not None:
            return adopt_with(run, "trades", report, whole)
        why = "the exchange does not show its order yet"
    except UNBOOKABLE as error:
        log.exception("trades of %s of %s cannot be booked", subject, run.account.name)
        why = f"{type(error).__name__}: {error}"
    if clock.now() - min(trade.traded_at for trade in trades) < BLOCKS_AFTER:
        run.note("trades", "foreign trade", subject, "0", quantity, "pending")
        return False
    evidence = {"trades": [trade.trade_id for trade in trades[:NAMED]], "quantity": quantity}
    run.found(
        "trades",
        Finding(BreakKind.MISSING_FILL, Severity.BLOCKING, subject, expected="0", observed=why, evidence=evidence),
    )
    return False


def _order_of(
    run: Run, cursor: TradeCursor, trades: list[TradeReport]
) -> tuple[OrderReport | None, tuple[TradeReport, ...]]:
    """The order behind trades that are not ours, with all its trades; None while the exchange may not show it yet.

    An order that the exchange keeps no more is what its trades say of it.
    """
    symbol, last = cursor.instrument.symbol, trades[-1]
    try:
        report = run.adapter.query_order(
            symbol,
            client_order_id=last.client_order_id or "",
            exchange_order_id=last.exchange_order_id,
            now_ms=run.now_ms(),
        )
    except ReadFailed as error:
        if error.outcome.reason != "archived":
            raise
        report = None
    quantity = sum((trade.quantity for trade in trades), ZERO)
    if report is not None and report.cumulative_quantity == quantity:
        return report, tuple(trades)  # all there is; an exchange grants few readings of trades a minute
    if report is not None:
        whole = run.adapter.order_trades(symbol, last.exchange_order_id, now_ms=run.now_ms())
        known = {(trade.trade_id, trade.exchange_order_id) for trade in trades}
        more = [t for t in whole if (t.trade_id, t.exchange_order_id) not in known]
        return report, (*trades, *(trade for trade in more if after_opening(cursor, trade.trade_id)))
    if clock.now() - last.traded_at < NOT_SHOWN_YET:
        return None, ()
    told = OrderReport(
        symbol=symbol,
        exchange_order_id=last.exchange_order_id,
        client_order_id=last.client_order_id or "",
        side=last.side,
        type="MARKET",
        status=ReportedStatus.FILLED,
        price=None,
        quantity=quantity,
        cumulative_quantity=quantity,
        cumulative_quote=sum((trade.quote_quantity for trade in trades), ZERO),
        as_of=last.traded_at,
        source="its trades alone",
    )
    return told, tuple(trades)


def _orphans(
    run: Run, cursor: TradeCursor, since: datetime, until: datetime, shown: Collection[tuple[str, str]]
) -> None:
    """Fills of a stretch of time in the books that a complete answer does not show: ``shown`` are the trade and order
    ids of all that it did. A break ends when its trade is shown or its fill was taken back, never because the reading
    has gone past it."""
    symbol = cursor.instrument.symbol
    busted = taken_back(run.account.pk, cursor.instrument.pk) - set(shown)
    gone: set[str] = set()
    for fill in Fill.objects.filter(
        account=run.account, instrument=cursor.instrument, traded_at__gte=since, traded_at__lt=until
    ):
        if (fill.trade_id, fill.exchange_order_id) in shown or not after_opening(cursor, fill.trade_id):
            continue
        if (fill.trade_id, fill.exchange_order_id) in busted:
            gone.add(f"{symbol} {fill.exchange_order_id} {fill.trade_id}")
            continue
        run.found(
            "trades",
            Finding(
                BreakKind.ORPHAN_FILL,
                Severity.BLOCKING,
                f"{symbol} {fill.exchange_order_id} {fill.trade_id}",
                expected=plain(fill.quantity),
                observed="0",
                difference=-fill.quantity,
                order=_order_of_fill(fill),
                evidence={"fill": str(fill.id), "price": plain(fill.price), "traded_at": fill.traded_at.isoformat()},
                confirm_after=2,
            ),
        )
    noted = open_subjects(run.account, [BreakKind.ORPHAN_FILL, *OF_TRADES], f"{symbol} ")
    there = {f"{symbol} {exchange_order_id} {trade_id}" for trade_id, exchange_order_id in shown}
    not_counted = {f"{symbol} {exchange_order_id} {trade_id}" for trade_id, exchange_order_id in busted}
    taken = "The fill was taken back, and the exchange does not show it."
    _end_of(run, noted, BreakKind.ORPHAN_FILL, there, "The exchange shows the trade.", symbol, len(shown))
    _end_of(run, noted, BreakKind.ORPHAN_FILL, not_counted | there, taken, symbol, len(shown))
    for kind in OF_TRADES:
        _end_of(run, noted, kind, gone, taken, symbol, len(shown))


def _end_of(
    run: Run,
    noted: Collection[tuple[str, str]],
    kind: BreakKind,
    explained: Collection[str],
    explanation: str,
    symbol: str,
    read: int,
) -> None:
    """End the noted breaks of a kind whose subjects are explained."""
    subjects = {subject for name, subject in noted if name == kind}
    still = subjects.difference(explained)
    if still != subjects:
        run.ended(kind, still, explanation, {"read": read}, prefix=f"{symbol} ")
