"""The one way in: REST answers, stream events and polled lists become reports, and every report is booked here.

Idempotent and order-insensitive: trades are facts booked once whatever the order's status; cumulative quantities only
grow; a stale word never takes an end back. One transaction per batch, under the locks of the orders concerned.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.db.models import Q

from exchanges.models import Account
from exchanges.reports import OrderReport, Report, ReportedStatus, TradeReport
from execution_project.common import clock, fault_hooks
from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.locking import Locks, Rank, ordered
from execution_project.common.money import plain
from orders.lifecycle import ENDED, ENDED_AS, WORKING, CommandStatus, OrderStatus, derive_status
from orders.models import CONCLUDED, AttemptKind, Command, CommandKind, ExchangeOrder, Order, ReplaceMethod
from orders.notifications import notify_after_commit
from orders.replacement import abandon, finish, planned_of, take_over
from orders.reserving import set_reservation
from positions.booking import Booking, book_trades
from positions.models import Fill


@dataclass(frozen=True, slots=True)
class Ingested:
    """What a batch did: orders touched, fills newly booked, and reports that no order of ours explains."""

    orders: tuple[UUID, ...]
    new_fills: int
    foreign: tuple[Report, ...]


def ingest(account: Account, batch: Sequence[Report], *, by: Actor) -> Ingested:
    """Book a batch of reports of one account. Safe to repeat, in any order, from any number of processes."""
    if not batch:
        return Ingested((), 0, ())
    owners = _owners(account, batch)
    fault_hooks.reach("before_ingest")
    with ordered() as locks:
        orders = lock_orders(locks, {order_id for order_id in owners.values() if order_id is not None})
        done = apply_reports(locks, account, orders, batch, by=by)
        fault_hooks.reach("before_ingest_commit")
    fault_hooks.reach("after_ingest")
    return done


def lock_orders(locks: Locks, order_ids: Iterable[UUID]) -> dict[UUID, Order]:
    """Lock orders by id and read them with what they refer to."""
    rows = locks.rows(
        Rank.ORDERS,
        Order.objects.filter(id__in=set(order_ids)).select_related("account", "instrument", "strategy"),
    )
    return {row.id: row for row in rows}


def _owners(account: Account, batch: Sequence[Report]) -> dict[Report, UUID | None]:
    """Which order each report belongs to, by client order id first, else by symbol and exchange order id."""
    client_ids = {r.client_order_id for r in batch if r.client_order_id}
    exchange_ids = {r.exchange_order_id for r in batch}
    by_client: dict[str, UUID] = {}
    by_exchange: dict[tuple[str, str], UUID] = {}
    for row in ExchangeOrder.objects.filter(
        Q(client_order_id__in=client_ids) | Q(exchange_order_id__in=exchange_ids - {""}), order__account=account
    ).select_related("order__instrument"):
        by_client[row.client_order_id] = row.order_id
        if row.exchange_order_id:
            by_exchange[row.order.instrument.symbol, row.exchange_order_id] = row.order_id
    return {
        report: by_client.get(report.client_order_id or "")
        or by_exchange.get((report.symbol, report.exchange_order_id))
        for report in batch
    }


def apply_reports(
    locks: Locks, account: Account, orders: dict[UUID, Order], batch: Sequence[Report], *, by: Actor
) -> Ingested:
    """Book reports under locks that the caller already holds on ``orders``."""
    exchange_orders = list(ExchangeOrder.objects.filter(order_id__in=orders).order_by("order_id", "generation"))
    by_client = {row.client_order_id: row for row in exchange_orders}
    by_exchange = {
        (orders[row.order_id].instrument.symbol, row.exchange_order_id): row
        for row in exchange_orders
        if row.exchange_order_id
    }
    # Order reports first: one of them may teach the exchange's id by which a trade report finds its order.
    matched: dict[UUID, list[Report]] = {}
    foreign: list[Report] = []
    for report in sorted(batch, key=lambda r: isinstance(r, TradeReport)):
        row = by_client.get(report.client_order_id or "") or by_exchange.get((report.symbol, report.exchange_order_id))
        if row is None:
            foreign.append(report)
            continue
        matched.setdefault(row.id, []).append(report)
        if report.exchange_order_id and not row.exchange_order_id:
            row.exchange_order_id = report.exchange_order_id
            by_exchange[report.symbol, report.exchange_order_id] = row
    rows = {row.id: row for row in exchange_orders}
    bookings: list[Booking] = []
    for row_id, reports in matched.items():
        row, order = rows[row_id], orders[rows[row_id].order_id]
        own_rows = [other for other in exchange_orders if other.order_id == row.order_id]
        if row.planned:
            _adopt_planned(order, own_rows, row, reports, by)
        for report in reports:
            if isinstance(report, OrderReport):
                _note_order_report(order, own_rows, row, report, by)
            else:
                bookings.append(Booking(report, order.instrument, order.id, order.strategy, row.client_order_id))
    new = book_trades(locks, account, bookings) if bookings else []
    touched = {rows[row_id].order_id for row_id in matched}
    for order_id in sorted(touched):
        own = [row for row in exchange_orders if row.order_id == order_id]
        booked = [fill for fill in new if fill.order_id == order_id]
        refresh(orders[order_id], own, booked, by=by)
    return Ingested(tuple(sorted(touched)), len(new), tuple(foreign))


def _adopt_planned(
    order: Order, rows: Sequence[ExchangeOrder], planned: ExchangeOrder, reports: Sequence[Report], by: Actor
) -> None:
    """The exchange shows the order that a replace had planned: then the cancel before it worked, too.

    (It places only after a cancel that worked, docs/binance.md §2.3.) The old exchange order is proven ended by it.
    """
    planned.planned = False
    command = (
        Command.objects.filter(order=order, kind=CommandKind.REPLACE, planned=planned)
        .exclude(status__in=[CommandStatus.DONE, CommandStatus.DROPPED])
        .select_related("planned")
        .first()
    )
    if command is None:
        return
    for row in rows:
        if row.id == command.exchange_order_id and not row.end_proof:
            row.end_proof = f"replaced by {planned.generation}"
    # Fills of the old one may not be booked yet; the exchange says how much of the new total it was given.
    own = command.new_quantity - (order.filled_quantity - planned.booked_quantity)
    told = [report.quantity for report in reports if isinstance(report, OrderReport) and report.quantity is not None]
    planned.quantity = min([own, *told])
    take_over(order, command)
    finish(command, order, by, "done")


def _disprove_replace(order: Order, rows: Sequence[ExchangeOrder], by: Actor) -> None:
    """A replace of unknown outcome whose old exchange order traded was not executed: by one call it acts on untouched
    ones only."""
    if not any(row.planned for row in rows):
        return
    command = (
        Command.objects.filter(
            order=order,
            kind=CommandKind.REPLACE,
            method=ReplaceMethod.CANCEL_REPLACE,
            status=CommandStatus.UNKNOWN,
            planned__isnull=False,
        )
        .select_related("planned")
        .first()
    )
    if command is None:
        return
    by_id = {row.id: row for row in rows}
    old, planned = by_id[command.exchange_order_id], by_id[planned_of(command).id]
    if planned.planned and max(old.cumulative_quantity, old.booked_quantity) > 0:
        planned.planned, planned.end_proof = False, "not_executed:the old order traded"
        finish(command, order, by, "not_executed", "the old exchange order traded")


def _note_order_report(
    order: Order, rows: Sequence[ExchangeOrder], row: ExchangeOrder, report: OrderReport, by: Actor
) -> None:
    said_end = row.reported is not None and row.reported.is_end
    alive = any(not other.end_proof and not other.planned for other in rows)
    concluded = row.end_proof.startswith(CONCLUDED)
    unfounded = bool(row.end_proof) and (concluded or not row.was_accepted)
    if unfounded and not report.status.is_end and not said_end and not alive:
        # What was taken for never accepted, or was ended by hand, is there: reserved and followed again.
        record("exchange_order.alive", "order", order.id, by, evidence={"was": row.end_proof})
        if order.status in ENDED_AS:
            breach = {"exchange_order": row.client_order_id, "breach": "works though it was ended by hand"}
            record("order.breach", "order", order.id, by, evidence=breach)
        row.end_proof, row.looked, row.look_next_at = "", 0, None
    elif concluded and report.status.is_end:
        # The exchange's own word takes the place of what we concluded.
        row.end_proof = ""
    if report.quantity is not None and row.quantity is not None and report.quantity < row.quantity:
        _lower(order, rows, row, report.quantity)
    if report.cumulative_quantity >= row.cumulative_quantity:
        row.cumulative_quantity = report.cumulative_quantity
        if report.cumulative_quote is not None:
            row.cumulative_quote = max(report.cumulative_quote, row.cumulative_quote or Decimal(0))
    row.last_report_at = max(report.as_of, row.last_report_at or report.as_of)
    if report.status is ReportedStatus.UNRECOGNISED or (said_end and not report.status.is_end):
        return
    if report.status.is_end and not said_end:
        # From here on it counts how often settling was tried.
        row.looked = 0
    row.reported_status = report.status.value
    if report.status.is_end and not row.end_proof:
        row.end_proof = f"reported:{report.source}"[:64]


def _lower(order: Order, rows: Sequence[ExchangeOrder], row: ExchangeOrder, quantity: Decimal) -> None:
    """The exchange works on less than we know of: an amend whose answer was lost. Its quantity is the fact."""
    if not row.attempts.filter(kind=AttemptKind.AMEND).exists():
        return
    row.quantity = quantity
    order.version += 1
    order.updated_at = clock.now()
    notify_after_commit(order.id)
    order.quantity = quantity + sum((other.booked_quantity for other in rows if other is not row), Decimal(0))


def refresh(order: Order, exchange_orders: Sequence[ExchangeOrder], new: Sequence[Fill], *, by: Actor) -> None:
    """Recompute an order from its facts: quantities, reservation, status, commands; save, record, notify.

    The caller holds the order's lock.
    """
    before = str(order.status)
    for row in exchange_orders:
        own = [fill for fill in new if fill.client_order_id == row.client_order_id]
        row.looked = 0 if own else row.looked
        row.booked_quantity += sum((fill.quantity for fill in own), Decimal(0))
        row.booked_quote += sum((fill.quote_quantity for fill in own), Decimal(0))
        if row.quantity is not None and row.booked_quantity >= row.quantity and not row.end_proof:
            row.end_proof = "booked:whole quantity"
    _disprove_replace(order, exchange_orders, by)
    for row in exchange_orders:
        row.save()
    for row in exchange_orders:
        set_reservation(order, row)
    order.filled_quantity = sum((row.booked_quantity for row in exchange_orders), Decimal(0))
    order.filled_quote = sum((row.booked_quote for row in exchange_orders), Decimal(0))
    _follow_status(order, exchange_orders, new, by=by)
    if order.status in ENDED:
        finish_commands(order, by=by)
    else:
        _finish_unknown_submits(exchange_orders, by=by)
    if new or order.status != before:
        order.version += 1
        order.updated_at = clock.now()
        notify_after_commit(order.id)
    order.save()


def _follow_status(order: Order, exchange_orders: Sequence[ExchangeOrder], new: Sequence[Fill], *, by: Actor) -> None:
    sent = [row for row in exchange_orders if row.was_accepted]
    latest = sent[-1] if sent else exchange_orders[-1]
    if latest.end_proof:
        # An earlier one that was taken for dead may work still.
        latest = next((row for row in sent if not row.end_proof and not row.planned), latest)
    # Without a proof of its end under an order that has ended: it was taken for over, and the exchange shows it.
    revived = not latest.end_proof and not latest.planned and latest.reported is not None
    # While a replace is under way only its own steps may say that the new total is filled: something still works.
    whole = None if latest.planned else order.quantity
    seen = sum((max(row.booked_quantity, row.cumulative_quantity) for row in exchange_orders), Decimal(0))
    evidence = {
        "exchange_order": latest.client_order_id,
        "reported": latest.reported_status,
        "end_proof": latest.end_proof,
        "cumulative": plain(latest.cumulative_quantity),
        "booked": plain(order.filled_quantity),
    }
    if order.status == OrderStatus.PENDING and (latest.reported is not None or seen > 0):
        # The exchange knows an order that we never claimed (a restored database): it was sent.
        order.move(OrderStatus.SUBMITTING, by, evidence=evidence)
    if order.status == OrderStatus.CLOSED_UNVERIFIED and latest.reported is None and not new:
        # Nothing has been heard of it since: only a new word or a new fill repairs.
        return
    if order.status == OrderStatus.SETTLED and (new or revived):
        order.move(OrderStatus(order.ended_as or "filled"), by, evidence=evidence)
    # A status may need two steps, e.g. rejected → submit_unknown → filled.
    for _ in range(2):
        current = OrderStatus(order.status)
        target = derive_status(
            current, reported=latest.reported, whole_quantity=whole, seen_quantity=seen, revived=revived
        )
        if target is current:
            break
        if current in ENDED and target in WORKING:
            order.reason = order.detail = ""
        order.move(target, by, evidence=evidence)
    if new and order.status in {OrderStatus.DENIED, OrderStatus.PENDING}:
        record("order.breach", "order", order.id, by, evidence={**evidence, "breach": "fill on an order never sent"})
    if order.quantity is not None and order.filled_quantity > order.quantity:
        record("order.breach", "order", order.id, by, evidence={**evidence, "breach": "filled beyond its quantity"})


def _finish_unknown_submits(exchange_orders: Sequence[ExchangeOrder], *, by: Actor) -> None:
    """A submit is no longer unknown once the exchange has spoken of its exchange order."""
    known = [row.id for row in exchange_orders if row.reported is not None or row.booked_quantity > 0]
    for command in Command.objects.filter(
        exchange_order_id__in=known, kind=CommandKind.SUBMIT, status=CommandStatus.UNKNOWN
    ):
        command.move(CommandStatus.DONE, by)
        command.finished_at = clock.now()
        command.save()


def finish_commands(order: Order, *, by: Actor) -> None:
    """Close what is still asked of an order that has ended; an answer that is under way completes its own command."""
    open_statuses = [CommandStatus.QUEUED, CommandStatus.UNKNOWN]
    for command in Command.objects.filter(order=order, status__in=open_statuses).select_related("planned"):
        if command.kind == CommandKind.REPLACE:
            if command.status == CommandStatus.QUEUED:
                abandon(order, command, f"the order is {order.status}", by)
            elif command.planned is None or not command.planned.planned:
                finish(command, order, by, "overtaken", f"the order is {order.status}")
            # What may have been placed stays unknown, reserved and looked for.
            continue
        queued_submit = command.status == CommandStatus.QUEUED and command.kind == CommandKind.SUBMIT
        command.move(CommandStatus.DROPPED if queued_submit else CommandStatus.DONE, by)
        command.finished_at = clock.now()
        command.save()
