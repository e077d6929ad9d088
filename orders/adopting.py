"""Adopting orders that were found at the exchange and have no row here: facts, without a decision.

Ours by its client order id (a restored database forgot it): ``adopted``. Anybody else's: ``external``. From then on it
is followed, settled, canceled and counted like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from uuid import UUID

from exchanges.capabilities import CAPABILITIES
from exchanges.models import Account, ForeignOrders, Instrument
from exchanges.reports import OrderReport, Report
from execution_project.common import clock, fault_hooks, ids
from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.installation import known_prefixes
from execution_project.common.locking import one_at_a_time, ordered
from execution_project.common.money import CONTEXT, plain, round_up
from orders.breaks import Finding, halt_before, open_or_touch
from orders.ingest import Ingested, apply_reports, lock_orders
from orders.lifecycle import OrderStatus
from orders.models import BreakKind, ExchangeOrder, Order, OrderType, Origin, Severity
from orders.reserving import set_reservation
from risk.reading import read_prices_of
from risk.trading_state import next_gate_seq

ZERO = Decimal(0)
SEVERITY_OF = {
    ForeignOrders.ADOPT.value: Severity.INFORMATIONAL,
    ForeignOrders.ALERT.value: Severity.WARNING,
    ForeignOrders.HALT.value: Severity.CRITICAL,
}


class CannotAdopt(ValueError):
    """The report does not make an order: no such pair here, or neither a quantity nor an amount."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Under which ids an order is adopted."""

    origin: Origin
    order_id: UUID
    client_order_id: str
    generation: int


def identify(account: Account, instrument: Instrument, report: OrderReport) -> Identity:
    """Ours when its client order id has our form and a prefix that this installation uses or used; else external.

    A foreign client order id may be used again by its owner, so an external order gets one that is made of the
    exchange's id. An order that stands here already is not extended: what was forgotten of it becomes one of its own.
    """
    read = ids.read_client_order_id(report.client_order_id)
    if read is None or read[0] not in known_prefixes():
        mark = f"x{account.pk}-{instrument.pk}-{report.exchange_order_id}"
        return Identity(Origin.EXTERNAL, ids.uuid7(), mark[: ids.CLIENT_ORDER_ID_LENGTH], 0)
    _, order_id, generation = read
    taken = Order.objects.filter(id=order_id).exists()
    return Identity(Origin.ADOPTED, ids.uuid7() if taken else order_id, report.client_order_id, generation)


def finding_of(account: Account, identity: Identity, report: OrderReport) -> Finding:
    """The break that goes with an adoption: informational for ours, by the account's policy for anybody else's."""
    ours = identity.origin is Origin.ADOPTED
    return Finding(
        kind=BreakKind.ADOPTED_ORDER if ours else BreakKind.UNKNOWN_ORDER,
        severity=Severity.INFORMATIONAL if ours else SEVERITY_OF[account.foreign_orders],
        subject=f"{report.symbol} {report.exchange_order_id}",
        expected="no such order",
        observed=f"{report.side} {report.type} {report.status}"[:128],
        evidence={
            "client_order_id": report.client_order_id,
            "quantity": None if report.quantity is None else plain(report.quantity),
            "price": None if report.price is None else plain(report.price),
            "cumulative": plain(report.cumulative_quantity),
            "policy": account.foreign_orders,
            "source": report.source,
        },
    )


def adopt(account: Account, report: OrderReport, more: Sequence[Report], *, by: Actor) -> tuple[Order, Ingested] | None:
    """Take an order that nobody here knows into the books, with its trades; None when it is known meanwhile.

    One transaction: order, break, and what the reports say. Raises ``CannotAdopt``.
    """
    instrument = Instrument.objects.filter(exchange=account.exchange, mode=account.mode, symbol=report.symbol).first()
    if instrument is None:
        raise CannotAdopt(f"There is no instrument {report.symbol} here: synchronise the instruments.")
    identity = identify(account, instrument, report)
    found = finding_of(account, identity, report)
    halt_before(account, found, by=by)
    exposure_price, reserve_price = _prices(instrument, report)
    gate_seq = next_gate_seq()
    with ordered() as locks:
        one_at_a_time(f"adopt:{account.pk}")
        if known_row(account, report) is not None:
            return None
        order = _order(account, instrument, report, identity, gate_seq)
        order.save(force_insert=True)
        row = ExchangeOrder.objects.create(
            order=order,
            generation=identity.generation,
            client_order_id=identity.client_order_id,
            exchange_order_id=report.exchange_order_id,
            quantity=order.quantity,
            quote_quantity=order.quote_quantity,
            price=order.price,
            reserve_price=reserve_price,
            exposure_price=exposure_price,
            fee_in_quote_rate=(
                account.taker_fee_rate if CAPABILITIES[account.exchange].buy_fee_in_quote else Decimal(0)
            ),
            created_at=order.created_at,
        )
        record("order.adopted", "order", order.id, by, to_status=order.status, evidence=found.evidence)
        locked = lock_orders(locks, [order.id])
        set_reservation(locked[order.id], row)
        done = apply_reports(locks, account, locked, [report, *more], by=by)
        # The breaks come after holdings and positions in the order of locks.
        if identity.origin is Origin.ADOPTED or account.foreign_orders != ForeignOrders.ADOPT:
            open_or_touch(account, replace(found, order=locked[order.id]), by=by)
        fault_hooks.reach("before_adoption_commit")
    fault_hooks.reach("after_adoption")
    return Order.objects.get(id=order.id), done


def known_row(account: Account, report: OrderReport) -> ExchangeOrder | None:
    """The exchange order of ours that a report is about, by client order id or by symbol and the exchange's id."""
    rows = ExchangeOrder.objects.filter(order__account=account).select_related("order__instrument")
    own = rows.filter(client_order_id=report.client_order_id).first() if report.client_order_id else None
    return (
        own or rows.filter(order__instrument__symbol=report.symbol, exchange_order_id=report.exchange_order_id).first()
    )


def _order(account: Account, instrument: Instrument, report: OrderReport, identity: Identity, gate_seq: int) -> Order:
    now = clock.now()
    quantity, quote_quantity = _size(report)
    kind = report.type if report.type in OrderType.values else OrderType.MARKET.value
    if report.price is not None and kind == OrderType.MARKET:
        kind = OrderType.LIMIT.value
    elif report.price is None:
        kind = OrderType.MARKET.value
    return Order(
        id=identity.order_id,
        account=account,
        instrument=instrument,
        side=report.side,
        type=kind,
        quantity=quantity,
        quote_quantity=quote_quantity,
        price=report.price,
        # Reports do not carry it; it works until it ends.
        time_in_force="GTC" if kind in {OrderType.LIMIT, OrderType.STOP_LOSS_LIMIT} else None,
        valid_until=now,
        status=OrderStatus.SUBMITTING,
        detail=f"{report.type} {report.client_order_id}".strip()[:512],
        gate_seq=gate_seq,
        origin=identity.origin,
        idempotency_key="",
        created_by="exchange",
        created_at=now,
        updated_at=now,
    )


def _size(report: OrderReport) -> tuple[Decimal | None, Decimal | None]:
    """Quantity in base, or the amount in quote; of an ended order without either, what was traded."""
    for quantity in (report.quantity, report.cumulative_quantity):
        if quantity is not None and quantity > 0:
            return quantity, None
    if report.cumulative_quote is not None and report.cumulative_quote > 0:
        return None, report.cumulative_quote
    raise CannotAdopt(f"{report.symbol} {report.exchange_order_id} has neither a quantity nor an amount.")


def _prices(instrument: Instrument, report: OrderReport) -> tuple[Decimal, Decimal]:
    """(reporting currency per base, quote per base) for exposure and reservation, by the best that is known, however
    old: a fact is counted though no price is fresh."""
    prices = read_prices_of(instrument)
    with localcontext(CONTEXT):
        unit = report.price
        if unit is None and report.cumulative_quantity > 0 and report.cumulative_quote:
            unit = round_up(report.cumulative_quote / report.cumulative_quantity)
        if unit is None:
            unit = prices.instrument.ask or ZERO
        rate = Decimal(1) if prices.reporting is None else prices.reporting.ask or ZERO
        return round_up(unit * rate), unit
