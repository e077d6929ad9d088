"""Reconciliation: the union of our books and the exchange's, compared part by part.

Differences become ingested facts or breaks. A failed query is never an empty answer: its part counts as failed, nothing
is concluded from it, and its freshness is not renewed. No HTTP call is made inside a transaction.

- *orders*: the account's whole list of working orders against the exchange orders that are not proven ended.
- *trades*: every trade since the last reading of its symbol, with an overlap, against the fills.
- *balances*: free + locked per asset against the ledger's ``exchange`` book.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import F, Q, Sum, Value
from django.db.models.functions import Least

from exchanges.adapters import ExchangeAdapter
from exchanges.connections import WrongHost, adapter_for
from exchanges.freshness import PARTS, mark_fresh
from exchanges.host_clock import exchange_now_ms
from exchanges.models import Account, Balance, Instrument, Mode
from exchanges.reports import OrderReport, OutcomeKind, ReadFailed, Report, ReportedStatus, TradeReport
from exchanges.searching import trade_slices
from exchanges.syncing import store_balances
from execution_project.common import clock, fault_hooks
from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.money import plain
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from execution_project.common.writing import insert_new
from orders.adopting import CannotAdopt, adopt
from orders.breaks import Finding, no_longer_seen, open_or_touch
from orders.following import ONE_ORDER
from orders.ingest import ingest
from orders.lifecycle import OrderStatus
from orders.models import Break, BreakKind, BreakStatus, ExchangeOrder, Order, Severity
from orders.sending import look_up
from positions.models import Book, Fill, LedgerEntry, TradeCursor
from risk.inputs import AHEAD, CASH_ASSETS

log = logging.getLogger(__name__)

TRADES_OVERLAP = timedelta(minutes=10)
"""How far before the last reading trades are read again: an exchange may show one seconds late."""
LONG_OVERLAP = timedelta(hours=24)
"""The same at a start, after a restore and by command: then nobody knows how far the books can be believed."""
TRADES_EVERY = timedelta(minutes=5)
NOT_SHOWN_YET = timedelta(seconds=60)
"""A trade or order this young may be missing in another list of the exchange."""
AROUND_BALANCE = timedelta(seconds=15)
"""A fill this close before the question may be in the balance or not: clocks differ and reads lag."""
NO_LONGER_LISTED = "DELISTED"
NOT_AT_EXCHANGE = [OrderStatus.PENDING, OrderStatus.DENIED]
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Difference:
    """One row of what a comparison saw. ``became``: ingested, adopted, break, suspected, pending; seen in a dry run."""

    part: str
    what: str
    subject: str
    expected: str
    observed: str
    became: str

    def as_json(self) -> dict[str, str]:
        """The row as plain JSON."""
        return {name: getattr(self, name) for name in ("part", "what", "subject", "expected", "observed", "became")}


class NotReconciled(Exception):
    """A part was not compared to its end; the text says which and why."""


@dataclass(slots=True)
class Reconciliation:
    """What one run came to. ``failed``: parts without a believable answer and why; ``unfinished``: parts that ran out
    of time or that wait for the exchange to show more."""

    account: str
    parts: tuple[str, ...]
    dry_run: bool
    differences: list[Difference] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    unfinished: set[str] = field(default_factory=set)
    new_fills: int = 0

    @property
    def succeeded(self) -> bool:
        """Whether every part that was asked for was compared to its end."""
        return not self.failed and not self.unfinished

    def require(self) -> None:
        """Raise ``NotReconciled`` when a part had no believable answer."""
        if self.failed:
            raise NotReconciled("; ".join(f"{part}: {why}" for part, why in self.failed.items()))

    def as_json(self) -> dict[str, Any]:
        """The whole as plain JSON."""
        return {
            "account": self.account,
            "parts": list(self.parts),
            "dry_run": self.dry_run,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "unfinished": sorted(self.unfinished),
            "new_fills": self.new_fills,
            "differences": [difference.as_json() for difference in self.differences],
        }


@dataclass(slots=True)
class _Run:
    account: Account
    adapter: ExchangeAdapter
    by: Actor
    since: datetime | None
    dry_run: bool
    only_due: bool
    unless_read_since: datetime | None
    stop_at: float | None
    result: Reconciliation

    def now_ms(self) -> int:
        """Exchange time. Raises ``ReadFailed``."""
        return exchange_now_ms(self.account)

    def note(self, part: str, what: str, subject: str, expected: object, observed: object, became: str) -> None:
        """Add a row to the outcome."""
        became = "seen" if self.dry_run else became
        self.result.differences.append(Difference(part, what, subject, str(expected), str(observed), became))

    def found(self, part: str, finding: Finding) -> Break | None:
        """A difference that no fact explains: a break, or a suspicion; in a dry run only a row."""
        if self.dry_run:
            self.note(part, finding.kind, finding.subject, finding.expected, finding.observed, "seen")
            return None
        row = open_or_touch(self.account, finding, by=self.by)
        became = "suspected" if row.status == BreakStatus.SUSPECTED else "break"
        self.note(part, finding.kind, finding.subject, finding.expected, finding.observed, became)
        return row

    def ended(
        self, kind: BreakKind, seen: Collection[str], explanation: str, evidence: dict[str, Any], prefix: str = ""
    ) -> None:
        """End the breaks of a kind that this comparison no longer sees."""
        if not self.dry_run:
            no_longer_seen(
                self.account, kind, seen, by=self.by, explanation=explanation, evidence=evidence, prefix=prefix
            )


def reconcile(
    account: Account,
    *,
    parts: Collection[str] = PARTS,
    since: datetime | None = None,
    by: Actor,
    dry_run: bool = False,
    only_due: bool = False,
    unless_read_since: datetime | None = None,
    within: timedelta | None = None,
) -> Reconciliation:
    """Compare the account's books with the exchange and put right what facts put right.

    ``since``: read trades from then on, if that is earlier than the overlap of 10 minutes. ``dry_run``: say what
    differs, store nothing. ``only_due``: of the trades, symbols not read for five minutes;
    ``unless_read_since``: symbols not read since then; ``within``: begin no other symbol after that long. Raises
    ``Problem``: 400 for an unknown part, 403 without the right, 409 while the books are closed.
    """
    by.require(Right.SYNC)
    unknown = sorted(set(parts) - set(PARTS))
    if unknown or not parts:
        raise Problem(400, "INVALID_PARAMETER", f"parts: one or more of {', '.join(PARTS)}.")
    if account.mode == Mode.PAPER:
        raise Problem(409, "NO_EXCHANGE", f"{account.name} is a paper account: there is no exchange to compare with.")
    if account.books_opened_at is None:
        raise Problem(409, "BOOKS_NOT_OPEN", f"The books of {account.name} are not open: run open_books.")
    chosen = tuple(part for part in PARTS if part in parts)
    result = Reconciliation(account.name, chosen, dry_run)
    try:
        adapter = adapter_for(account)
    except WrongHost as error:
        result.failed = dict.fromkeys(chosen, str(error))
        return result
    stop_at = None if within is None else time.monotonic() + within.total_seconds()
    run = _Run(account, adapter, by, since, dry_run, only_due, unless_read_since, stop_at, result)
    for part in chosen:
        asked_at = clock.now()
        try:
            fresh_at = _PARTS[part](run, asked_at)
        except ReadFailed as error:
            log.warning("%s of %s are not reconciled: %s", part, account.name, error)
            result.failed[part] = str(error)
            continue
        if not dry_run:
            mark_fresh(account, [part], fresh_at)
    if not by.name.startswith("engine:") and not dry_run:
        record("account.reconciled", "account", account.name, by, evidence=result.as_json())
    return result


# -------------------------------------------------------------------------------------------------------------- orders


def _orders(run: _Run, asked_at: datetime) -> datetime:
    shown = _working(run)
    fault_hooks.reach("reconcile_orders_read")
    # Read after the answer: whatever of ours it shows had its row before it was sent.
    known = _rows_of(run.account, shown)
    mismatched: set[str] = set()
    for report in shown:
        row = known.get(("id", report.client_order_id)) or known.get((report.symbol, report.exchange_order_id))
        if row is None:
            _adopt(run, report)
        elif not _as_known(row, report):
            mismatched |= _bring_up_to_date(run, row, report)
    ids_shown = {row.id for row in known.values()}
    missing = [
        row
        for row in ExchangeOrder.objects.filter(order__account=run.account, planned=False, end_proof="")
        .exclude(order__status__in=NOT_AT_EXCHANGE)
        .filter(created_at__lt=asked_at)
        .select_related("order__instrument")
        .order_by("id")
        if row.id not in ids_shown
    ]
    gone = {subject for row in missing for subject in _look_for(run, row)}
    evidence = {"asked_at": asked_at.isoformat(), "shown": len(shown)}
    run.ended(BreakKind.STATUS_MISMATCH, mismatched, "Books and exchange agree on the order.", evidence)
    # An order that has ended since is not in the list any more; what is not booked of it is missing all the same.
    unbooked = ExchangeOrder.objects.filter(
        order__account=run.account, cumulative_quantity__gt=F("booked_quantity")
    ).values_list("order__instrument__symbol", "exchange_order_id")
    mismatched |= {f"{symbol} {exchange_order_id}" for symbol, exchange_order_id in unbooked}
    run.ended(BreakKind.QTY_MISMATCH, mismatched, "The trades add up to what the exchange reports.", evidence)
    run.ended(BreakKind.MISSING_AT_VENUE, gone, "The exchange has told what became of the order.", evidence)
    return asked_at


def _working(run: _Run) -> tuple[OrderReport, ...]:
    """Every working order of the account; symbol by symbol where the exchange refuses to list them all."""
    try:
        return run.adapter.open_orders(None, now_ms=run.now_ms())
    except ReadFailed as error:
        if error.outcome.kind is not OutcomeKind.REFUSED:
            raise
    symbols = [cursor.instrument.symbol for cursor in wanted_cursors(run.account)]
    return tuple(r for symbol in symbols for r in run.adapter.open_orders(symbol, now_ms=run.now_ms()))


def _rows_of(account: Account, reports: Iterable[Report]) -> dict[tuple[str, str], ExchangeOrder]:
    """Our rows of these reports, by ("id", client order id) and by (symbol, exchange order id)."""
    reports = list(reports)
    client_ids = {report.client_order_id for report in reports if report.client_order_id}
    exchange_ids = {report.exchange_order_id for report in reports} - {""}
    found: dict[tuple[str, str], ExchangeOrder] = {}
    for row in ExchangeOrder.objects.filter(
        Q(client_order_id__in=client_ids) | Q(exchange_order_id__in=exchange_ids), order__account=account
    ).select_related("order__instrument"):
        found["id", row.client_order_id] = row
        if row.exchange_order_id:
            found[row.order.instrument.symbol, row.exchange_order_id] = row
    return found


def _as_known(row: ExchangeOrder, report: OrderReport) -> bool:
    return (
        not row.end_proof
        and row.reported is not None
        and not row.planned
        and report.cumulative_quantity == row.booked_quantity
        and report.quantity in (None, row.quantity)
    )


def _bring_up_to_date(run: _Run, row: ExchangeOrder, listed: OrderReport) -> set[str]:
    """Ask for an order that the list shows otherwise than the books; returns its subject when they still differ."""
    subject = f"{listed.symbol} {listed.exchange_order_id}"
    before = f"{row.end_proof or row.reported_status or 'not seen'}, booked {plain(row.booked_quantity)}"
    observed = f"{listed.status}, {plain(listed.cumulative_quantity)}"
    if run.dry_run:
        run.note("orders", "order", subject, before, observed, "seen")
        return set()
    reports = look_up(run.adapter, run.account, listed.symbol, row) or (listed,)
    run.result.new_fills += ingest(run.account, reports, by=run.by).new_fills
    row.refresh_from_db()
    still_works = any(isinstance(r, OrderReport) and not r.status.is_end for r in reports)
    if row.end_proof and still_works:
        finding = Finding(
            BreakKind.STATUS_MISMATCH,
            Severity.WARNING,
            subject,
            expected=f"ended: {row.end_proof}",
            observed=str(listed.status),
            order=row.order,
            evidence={"client_order_id": row.client_order_id},
            confirm_after=2,
        )
    elif row.unbooked_quantity > 0:
        finding = Finding(
            BreakKind.QTY_MISMATCH,
            Severity.BLOCKING,
            subject,
            expected=plain(row.booked_quantity),
            observed=plain(row.cumulative_quantity),
            difference=row.unbooked_quantity,
            order=row.order,
            evidence={"client_order_id": row.client_order_id},
            confirm_after=2,
        )
    else:
        run.note("orders", "order", subject, before, observed, "ingested")
        return set()
    run.found("orders", finding)
    return {subject}


def _look_for(run: _Run, row: ExchangeOrder) -> set[str]:
    """Ask for an order of ours that the list does not show; returns its subject when the exchange knows nothing of it.

    It ends by its own evidence. Without any it stays as it is: rounds of asking may prove more (``orders.absence``).
    """
    if row.reported is None and not row.exchange_order_id:
        return set()  # its outcome is unknown, and it is being looked for as such
    symbol = row.order.instrument.symbol
    subject = f"{symbol} {row.exchange_order_id or row.client_order_id}"
    try:
        reports = look_up(run.adapter, run.account, symbol, row)
    except ReadFailed as error:
        if error.outcome.kind is not OutcomeKind.REFUSED:
            raise
        reports = ()
    before = f"{row.reported_status or 'not seen'}, booked {plain(row.booked_quantity)}"
    if not reports:
        run.found(
            "orders",
            Finding(
                BreakKind.MISSING_AT_VENUE,
                Severity.WARNING,
                subject,
                expected=before,
                observed="unknown to the exchange",
                order=row.order,
                evidence={"client_order_id": row.client_order_id},
                confirm_after=2,
            ),
        )
        return {subject}
    told = next(report for report in reports if isinstance(report, OrderReport))
    if (told.status, told.cumulative_quantity) != (row.reported, row.booked_quantity):
        run.note("orders", "order", subject, before, f"{told.status}, {plain(told.cumulative_quantity)}", "ingested")
    if not run.dry_run:
        run.result.new_fills += ingest(run.account, reports, by=run.by).new_fills
    return set()


def _adopt(run: _Run, listed: OrderReport) -> None:
    """Take a working order that is not in the books, with its trades so far."""
    subject = f"{listed.symbol} {listed.exchange_order_id}"
    if run.dry_run:
        run.note("orders", "unknown order", subject, "none", f"{listed.status} {listed.client_order_id}", "adopted")
        return
    trades: tuple[TradeReport, ...] = ()
    if listed.cumulative_quantity > 0:
        trades = run.adapter.order_trades(listed.symbol, listed.exchange_order_id, now_ms=run.now_ms())
    _adopt_with(run, "orders", listed, trades)


def _adopt_with(run: _Run, part: str, report: OrderReport, trades: tuple[TradeReport, ...]) -> bool:
    """Adopt an order; whether it, or whoever was faster, has it in the books now."""
    subject = f"{report.symbol} {report.exchange_order_id}"
    try:
        adopted = adopt(run.account, report, trades, by=run.by)
    except CannotAdopt as error:
        run.found(
            part,
            Finding(
                BreakKind.MISSING_FILL,
                Severity.BLOCKING,
                subject,
                expected="none",
                observed=str(error),
                evidence={"client_order_id": report.client_order_id, "trades": len(trades)},
            ),
        )
        return False
    if adopted is None:
        run.result.new_fills += ingest(run.account, (report, *trades), by=run.by).new_fills
        return True
    order, done = adopted
    run.result.new_fills += done.new_fills
    run.note(part, f"{order.origin} order", subject, "none", f"{report.status} {report.client_order_id}", "adopted")
    return True


# -------------------------------------------------------------------------------------------------------------- trades


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


def _trades(run: _Run, asked_at: datetime) -> datetime:
    cursors = wanted_cursors(run.account)
    for cursor in cursors:
        if run.only_due and cursor.updated_at > asked_at - TRADES_EVERY:
            continue
        if run.unless_read_since is not None and cursor.updated_at > run.unless_read_since:
            continue
        if run.stop_at is not None and time.monotonic() >= run.stop_at:
            run.result.unfinished.add("trades")
            break
        try:
            if not _trades_of(run, cursor):
                run.result.unfinished.add("trades")
        except ReadFailed as error:
            if error.outcome.kind is not OutcomeKind.REFUSED and error.outcome.reason not in ONE_ORDER:
                raise
            # One symbol that cannot be read must not keep the others from being read.
            run.result.failed["trades"] = f"{cursor.instrument.symbol}: {error}"
    # The part is as fresh as its longest unread symbol.
    return min([cursor.updated_at for cursor in cursors], default=asked_at)


def read_trades_again(account: Account) -> None:
    """Have the next reading of every symbol reach back a day further. What it has read is kept when it is cut short."""
    TradeCursor.objects.filter(account=account).update(
        updated_at=Least(F("updated_at"), Value(clock.now())) - LONG_OVERLAP
    )


def _trades_of(run: _Run, cursor: TradeCursor) -> bool:
    """Read the trades of one symbol since the last reading and book those that are not in the books.

    Slice by slice: what was read to its end stays so, whatever comes after. Returns whether all of it was.
    """
    asked_at, now_ms = clock.now(), run.now_ms()
    start = cursor.updated_at - TRADES_OVERLAP
    if run.since is not None:
        start = min(start, run.since)
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
        told = tuple(trade for trade in told if _after_opening(cursor, trade.trade_id))
        done &= _book_missing(run, cursor, told)
        _orphans(run, cursor, compared_to, until - NOT_SHOWN_YET, shown)
        compared_to = max(compared_to, until - NOT_SHOWN_YET)
        if done and not run.dry_run:
            _advance(cursor, until, told)
        if until < asked_at and run.stop_at is not None and time.monotonic() >= run.stop_at:
            return False
    if done:
        run.ended(BreakKind.MISSING_FILL, (), "The trades are booked.", {"read": len(shown)}, prefix=f"{symbol} ")
    return done


def _advance(cursor: TradeCursor, until: datetime, told: tuple[TradeReport, ...]) -> None:
    """Store how far the trades of a symbol were read; reading older ones again takes nothing back."""
    cursor.updated_at = max(cursor.updated_at, until)
    if told:
        cursor.last_trade_id = max((cursor.last_trade_id, *(trade.trade_id for trade in told)), key=_number)
    if cursor.pk is None:
        insert_new([cursor])
    else:
        cursor.save(update_fields=["updated_at", "last_trade_id"])


def _book_missing(run: _Run, cursor: TradeCursor, told: tuple[TradeReport, ...]) -> bool:
    """Book those of the trades that the books lack; whether all of them are in the books now."""
    booked = set(
        Fill.objects.filter(
            account=run.account, instrument=cursor.instrument, trade_id__in=[trade.trade_id for trade in told]
        ).values_list("trade_id", "exchange_order_id")
    )
    by_order: dict[str, list[TradeReport]] = defaultdict(list)
    for trade in told:
        if (trade.trade_id, trade.exchange_order_id) not in booked:
            by_order[trade.exchange_order_id].append(trade)
    done = True
    for exchange_order_id, trades in by_order.items():
        done &= _book(run, cursor, exchange_order_id, trades)
    return done


def _number(trade_id: str) -> tuple[int, str]:
    return len(trade_id), trade_id


def _after_opening(cursor: TradeCursor, trade_id: str) -> bool:
    """Trades up to the cut-over are in the opening balance."""
    return not cursor.opened_after_trade_id or _number(trade_id) > _number(cursor.opened_after_trade_id)


def _book(run: _Run, cursor: TradeCursor, exchange_order_id: str, trades: list[TradeReport]) -> bool:
    """Book trades of one exchange order that the books lack; whether they are in the books now."""
    symbol = cursor.instrument.symbol
    subject = f"{symbol} {exchange_order_id}"
    quantity = plain(sum((trade.quantity for trade in trades), ZERO))
    known = _rows_of(run.account, trades)
    row = known.get((symbol, exchange_order_id)) or known.get(("id", trades[0].client_order_id or ""))
    if run.dry_run:
        run.note("trades", "missing fill" if row else "foreign trade", subject, "0", quantity, "seen")
        return True
    if row is not None:
        new = ingest(run.account, trades, by=run.by).new_fills
        run.result.new_fills += new
        if new:
            run.note("trades", "missing fill", subject, "0", quantity, "ingested")
        return True
    report, whole = _order_of(run, cursor, trades)
    if report is None:
        run.note("trades", "foreign trade", subject, "0", quantity, "pending")
        return False
    return _adopt_with(run, "trades", report, whole)


def _order_of(
    run: _Run, cursor: TradeCursor, trades: list[TradeReport]
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
    if report is not None:
        whole = run.adapter.order_trades(symbol, last.exchange_order_id, now_ms=run.now_ms())
        known = {(trade.trade_id, trade.exchange_order_id) for trade in trades}
        more = [t for t in whole if (t.trade_id, t.exchange_order_id) not in known]
        return report, (*trades, *(trade for trade in more if _after_opening(cursor, trade.trade_id)))
    if clock.now() - last.traded_at < NOT_SHOWN_YET:
        return None, ()
    quantity = sum((trade.quantity for trade in trades), ZERO)
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
    run: _Run, cursor: TradeCursor, since: datetime, until: datetime, shown: Collection[tuple[str, str]]
) -> None:
    """Fills of a stretch of time in the books that a complete answer does not show: ``shown`` are the trade and order
    ids of all that it did. A break ends when its trade is shown, never because the reading has gone past it."""
    symbol = cursor.instrument.symbol
    for fill in Fill.objects.filter(
        account=run.account, instrument=cursor.instrument, traded_at__gte=since, traded_at__lt=until
    ):
        if (fill.trade_id, fill.exchange_order_id) in shown:
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
                evidence={"fill": str(fill.id), "price": plain(fill.price), "traded_at": fill.traded_at.isoformat()},
                confirm_after=2,
            ),
        )
    known = Break.objects.filter(account=run.account, kind=BreakKind.ORPHAN_FILL, subject__startswith=f"{symbol} ")
    subjects = set(known.exclude(status=BreakStatus.RESOLVED).values_list("subject", flat=True))
    missing = subjects - {f"{symbol} {exchange_order_id} {trade_id}" for trade_id, exchange_order_id in shown}
    if subjects != missing:
        evidence = {"read": len(shown)}
        run.ended(BreakKind.ORPHAN_FILL, missing, "The exchange shows the trade.", evidence, prefix=f"{symbol} ")


# ------------------------------------------------------------------------------------------------------------ balances


def _balances(run: _Run, asked_at: datetime) -> datetime:
    reports = run.adapter.balances(now_ms=run.now_ms())
    fault_hooks.reach("reconcile_balances_read")
    if not run.dry_run:
        store_balances(run.account, reports, asked_at)
    reported = {report.asset: report.free + report.locked for report in reports}
    ledger, recent = _ledger(run.account, asked_at)
    differing: set[str] = set()
    negative: set[str] = set()
    for asset in sorted({*reported, *ledger}):
        books, told = ledger.get(asset, ZERO), reported.get(asset, ZERO)
        if books < 0:
            negative.add(asset)
            run.found(
                "balances",
                Finding(
                    BreakKind.NEGATIVE_INVENTORY,
                    Severity.BLOCKING,
                    asset,
                    expected="at least 0",
                    observed=plain(books),
                    difference=books,
                ),
            )
        if explained(told - books, recent.get(asset, [])):
            continue
        differing.add(asset)
        run.found(
            "balances",
            Finding(
                BreakKind.BALANCE_MISMATCH,
                Severity.WARNING,
                asset,
                expected=plain(books),
                observed=plain(told),
                difference=told - books,
                evidence={"as_of": asked_at.isoformat(), "recent_moves": [plain(m) for m in recent.get(asset, [])]},
                confirm_after=2,
            ),
        )
    evidence = {"as_of": asked_at.isoformat()}
    run.ended(BreakKind.BALANCE_MISMATCH, differing, "Ledger and balance are equal.", evidence)
    run.ended(BreakKind.NEGATIVE_INVENTORY, negative, "The ledger holds it.", evidence)
    return asked_at


def explained(difference: Decimal, recent: list[Decimal]) -> bool:
    """Whether a difference (reported − books) is exactly that the last of the recent moves, oldest first, are not in
    the reported balance yet. Pure."""
    late = ZERO
    if difference == 0:
        return True
    for move in reversed(recent):
        late -= move
        if difference == late:
            return True
    return False


def _ledger(account: Account, as_of: datetime) -> tuple[dict[str, Decimal], dict[str, list[Decimal]]]:
    """What the account holds by its ledger, per asset, and the moves that a balance of ``as_of`` may not have."""
    totals: dict[str, Decimal] = defaultdict(Decimal)
    entries = LedgerEntry.objects.filter(account=account, book=Book.EXCHANGE)
    moves: dict[str, dict[tuple[datetime, object], Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    young = Q(kind="fill") & (Q(posted_at__gt=as_of) | Q(effective_at__gt=as_of - AROUND_BALANCE))
    for row in entries.exclude(young).values("asset").annotate(total=Sum("amount")):
        totals[row["asset"]] += row["total"]
    for asset, at, fill_id, amount in entries.filter(young).values_list("asset", "effective_at", "fill_id", "amount"):
        totals[asset] += amount
        moves[asset][at, fill_id] += amount
    ordered = {
        asset: [amount for _, amount in sorted(found.items(), key=lambda item: (item[0][0], str(item[0][1])))]
        for asset, found in moves.items()
    }
    return dict(totals), ordered


_PARTS: dict[str, Callable[[_Run, datetime], datetime]] = {
    "orders": _orders,
    "trades": _trades,
    "balances": _balances,
}
