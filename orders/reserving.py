"""Setting reservations from the facts of an order's exchange orders."""

from __future__ import annotations

from decimal import Decimal

from django.db.models import Sum

from execution_project.common import clock
from orders.models import ExchangeOrder, Order
from risk.models import Reservation
from risk.reservations import ReservationFacts, required

ZERO = Decimal(0)


def facts_of(order: Order, exchange_order: ExchangeOrder) -> ReservationFacts:
    """What risk needs to know of an exchange order."""
    return ReservationFacts(
        side=order.side,
        quantity=exchange_order.quantity,
        quote_quantity=exchange_order.quote_quantity,
        reserve_price=exchange_order.reserve_price,
        exposure_price=exchange_order.exposure_price,
        fee_in_quote_rate=exchange_order.fee_in_quote_rate,
        booked_quantity=exchange_order.booked_quantity,
        booked_quote=exchange_order.booked_quote,
        cumulative_quantity=exchange_order.cumulative_quantity,
        ended=bool(exchange_order.end_proof),
    )


def set_reservation(order: Order, exchange_order: ExchangeOrder) -> None:
    """Set the reservation to what the facts require now; the caller holds the order's lock.

    A planned exchange order reserves only what it needs beyond the one whose place it is to take.
    """
    amount, exposure = required(facts_of(order, exchange_order))
    if exchange_order.planned:
        others = Reservation.objects.filter(order_id=order.id).exclude(exchange_order_id=exchange_order.id)
        own = others.aggregate(amount=Sum("amount"), exposure=Sum("exposure"))
        amount = max(amount - (own["amount"] or 0), ZERO)
        exposure = max(exposure - (own["exposure"] or 0), ZERO)
    Reservation.objects.update_or_create(
        exchange_order_id=exchange_order.id,
        defaults={"amount": amount, "exposure": exposure, "updated_at": clock.now()},
        create_defaults={
            "order_id": order.id,
            "account_name": order.account.name,
            "mode": order.account.mode,
            "asset": order.instrument.quote_asset if order.side == "BUY" else order.instrument.base_asset,
            "amount": amount,
            "exposure": exposure,
            "updated_at": clock.now(),
        },
    )
