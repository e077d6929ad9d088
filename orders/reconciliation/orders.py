"""Working orders: the account's whole list of them against the exchange orders that are not proven ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime

from exchanges.reports import OrderReport, OutcomeKind, ReadFailed, Report, TradeReport
from execution_project.common import fault_hooks
from execution_project.common.money import plain
from orders.breaks import Finding, open_subjects
from orders.following import ONE_ORDER
from orders.ingest import ingest
from orders.lifecycle import OrderStatus
from orders.looking import look_up
from orders.models import Break, BreakKind, BreakStatus, ExchangeOrder, Severity
from orders.overstated import take_back
from orders.reconciliation.cursors import wanted_cursors
from orders.reconciliation.known import adopt_with, rows_of
from orders.reconciliation.outcome import Run
from orders.reconciliation.unbooked import end_booked, finding_of_unbooked, subject_of, unbooked_of

NOT_AT_EXCHANGE = [OrderStatus.PENDING, OrderStatus.DENIED]
NOT_KEPT = {"archived", "symbol"}
"""Refusals that say that the exchange has no such order to show."""
OF_ORDERS = (BreakKind.STATUS_MISMATCH, BreakKind.QTY_MISMATCH, BreakKind.MISSING_AT_VENUE)
"""Kinds that one order may show."""


def compare_orders(run: Run, asked_at: datetime) -> datetime | None:
    """Returns until when the working orders are compared, None when some could not be read. Raises ``ReadFailed``."""
    shown = _working(run)
    fault_hooks.reach("reconcile_orders_read")
    # Read after the answer: whatever of ours it shows had its row before it was sent.
    known = rows_of(run.account, shown)
    differ: set[tuple[str, str]] = set()
    for report in shown:
        row = known.get(("id", report.client_order_id)) or known.get((report.symbol, report.exchange_order_id))
        with _alone(run, f"{report.symbol} {report.exchange_order_id}", differ):
            if row is None:
                _adopt(run, report)
            elif not _as_known(row, report):
                differ |= _bring_up_to_date(run, row, report)
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
    for row in missing:
        with _alone(run, subject_of(row), differ):
            differ |= _look_for(run, row)
    _still_too_much(run, differ)
    _take_back_overstated(run, differ)
    evidence = {"asked_at": asked_at.isoformat(), "shown": len(shown)}
    for kind in OF_ORDERS:
        agree = "Books and exchange agree on the order."
        if kind is BreakKind.MISSING_AT_VENUE:
            agree = "The exchange has told what became of the order."
        of_trades = {subject for _, subject in open_subjects(run.account, [kind]) if _names_a_trade(subject)}
        run.ended(kind, {subject for seen, subject in differ if seen == kind} | of_trades, agree, evidence)
    if not run.dry_run:
        end_booked(run.account, unbooked_of(run.account), by=run.by)
    return None if "orders" in run.result.failed else asked_at


@contextmanager
def _alone(run: Run, subject: str, differ: set[tuple[str, str]]) -> Iterator[None]:
    """One order that cannot be read must not keep the others from being compared: the part counts as failed, and what
    was noted of the order stays."""
    try:
        yield
    except ReadFailed as error:
        if error.outcome.kind is not OutcomeKind.REFUSED and error.outcome.reason not in ONE_ORDER:
            raise
        run.result.failed["orders"] = f"{subject}: {error}"
        differ |= {(kind.value, subject) for kind in OF_ORDERS}


def _working(run: Run) -> tuple[OrderReport, ...]:
    """Every working order of the account; symbol by symbol where the exchange refuses to list them all."""
    try:
        return run.adapter.open_orders(None, now_ms=run.now_ms())
    except ReadFailed as error:
        if error.outcome.kind is not OutcomeKind.REFUSED:
            raise
    symbols = [cursor.instrument.symbol for cursor in wanted_cursors(run.account)]
    return tuple(r for symbol in symbols for r in run.adapter.open_orders(symbol, now_ms=run.now_ms()))


def _as_known(row: ExchangeOrder, report: OrderReport) -> bool:
    return (
        not row.end_proof
        and row.reported is not None
        and not row.planned
        and report.cumulative_quantity == row.booked_quantity
        and report.quantity in (None, row.quantity)
    )


def _bring_up_to_date(run: Run, row: ExchangeOrder, listed: OrderReport) -> set[tuple[str, str]]:
    """Ask for an order that the list shows otherwise than the books; returns (kind, subject) if they still differ."""
    subject = f"{listed.symbol} {listed.exchange_order_id}"
    before = f"{row.end_proof or row.reported_status or 'not seen'}, booked {plain(row.booked_quantity)}"
    observed = f"{listed.status}, {plain(listed.cumulative_quantity)}"
    if run.dry_run:
        run.note("orders", "order", subject, before, observed, "seen")
        return set()
    reports = look_up(run.adapter, run.account, listed.symbol, row) or (listed,)
    run.result.new_fills += ingest(run.account, reports, by=run.by).new_fills
    row.refresh_from_db()
    if row.unbooked_quantity > 0:
        run.found("orders", finding_of_unbooked(row))
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
    else:
        too_much = _too_much_booked(run, row, reports)
        if not too_much and row.unbooked_quantity == 0:
            run.note("orders", "order", subject, before, observed, "ingested")
        return too_much
    run.found("orders", finding)
    return {(finding.kind.value, subject)}


def _too_much_booked(run: Run, row: ExchangeOrder, reports: Iterable[Report]) -> set[tuple[str, str]]:
    """Whether the exchange tells of less than is booked: a break, confirmed by two readings, for one may lag."""
    told = max((r.cumulative_quantity for r in reports if isinstance(r, OrderReport)), default=None)
    if told is None or told >= row.booked_quantity:
        return set()
    finding = Finding(
        BreakKind.QTY_MISMATCH,
        Severity.WARNING,
        subject_of(row),
        expected=plain(row.booked_quantity),
        observed=plain(told),
        difference=told - row.booked_quantity,
        order=row.order,
        evidence={"client_order_id": row.client_order_id},
        confirm_after=2,
    )
    run.found("orders", finding)
    return {(finding.kind.value, finding.subject)}


def _still_too_much(run: Run, differ: set[tuple[str, str]]) -> None:
    """Ask again for orders of which too much was booked and that this list did not speak of: one that has ended is
    shown no more, and its break has to end by an answer."""
    noted = Break.objects.filter(account=run.account, kind=BreakKind.QTY_MISMATCH, order__isnull=False)
    for broken in noted.exclude(status=BreakStatus.RESOLVED).order_by("id"):
        if _names_a_trade(broken.subject) or (broken.kind, broken.subject) in differ:
            continue
        row = _row_named(broken)
        if row is not None:
            with _alone(run, broken.subject, differ):
                reports = _ask_for(run, row)
                differ |= _too_much_booked(run, row, reports) if reports else {(broken.kind, broken.subject)}


def _take_back_overstated(run: Run, differ: set[tuple[str, str]]) -> None:
    """Ask again for ended orders of which more was reported than booked, with all their trades: some may be booked by
    it, or the exchange shows that it once said too much (``orders.overstated``)."""
    noted = {subject for _, subject in open_subjects(run.account, [BreakKind.MISSING_FILL])}
    for row in unbooked_of(run.account):
        subject = subject_of(row)
        if run.dry_run or subject not in noted or not row.end_proof or not row.exchange_order_id:
            continue
        with _alone(run, subject, differ):
            told = next((r for r in _ask_for(run, row) if isinstance(r, OrderReport)), None)
            if told is None:
                continue
            symbol = row.order.instrument.symbol
            trades = run.adapter.order_trades(symbol, row.exchange_order_id, now_ms=run.now_ms())
            run.result.new_fills += ingest(run.account, (told, *trades), by=run.by).new_fills
            before, after = plain(row.cumulative_quantity), plain(told.cumulative_quantity)
            if take_back(row.order_id, row.id, told, trades, by=run.by):
                run.note("orders", "overstated order", subject, before, after, "ingested")


def _row_named(broken: Break) -> ExchangeOrder | None:
    client_order_id = broken.evidence.get("client_order_id", "")
    rows = ExchangeOrder.objects.filter(order=broken.order, client_order_id=client_order_id)
    return rows.select_related("order__instrument").first()


def _names_a_trade(subject: str) -> bool:
    """Symbol, order and trade: found, and ended, by a reading of trades."""
    return subject.count(" ") == 2


def _look_for(run: Run, row: ExchangeOrder) -> set[tuple[str, str]]:
    """Ask for an order of ours that the list does not show; returns (kind, subject) when the exchange knows nothing of
    it, or of less than is booked.

    It ends by its own evidence. Without any it stays as it is: rounds of asking may prove more (``orders.absence``).
    """
    if row.reported is None and not row.exchange_order_id:
        return set()  # its outcome is unknown, and it is being looked for as such
    subject = subject_of(row)
    reports = _ask_for(run, row)
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
        return {(BreakKind.MISSING_AT_VENUE.value, subject)}
    told = next(report for report in reports if isinstance(report, OrderReport))
    if (told.status, told.cumulative_quantity) != (row.reported, row.booked_quantity):
        run.note("orders", "order", subject, before, f"{told.status}, {plain(told.cumulative_quantity)}", "ingested")
    if not run.dry_run:
        run.result.new_fills += ingest(run.account, reports, by=run.by).new_fills
        row.refresh_from_db()
    return _too_much_booked(run, row, reports)


def _ask_for(run: Run, row: ExchangeOrder) -> tuple[Report, ...]:
    """What the exchange says of one order and its trades; nothing when it does not have it. Raises ``ReadFailed``."""
    try:
        return tuple(look_up(run.adapter, run.account, row.order.instrument.symbol, row))
    except ReadFailed as error:
        if error.outcome.reason not in NOT_KEPT:
            raise
        return ()


def _adopt(run: Run, listed: OrderReport) -> None:
    """Take a working order that is not in the books, with its trades so far."""
    subject = f"{listed.symbol} {listed.exchange_order_id}"
    if run.dry_run:
        run.note("orders", "unknown order", subject, "none", f"{listed.status} {listed.client_order_id}", "adopted")
        return
    trades: tuple[TradeReport, ...] = ()
    if listed.cumulative_quantity > 0:
        trades = run.adapter.order_trades(listed.symbol, listed.exchange_order_id, now_ms=run.now_ms())
    adopt_with(run, "orders", listed, trades)
