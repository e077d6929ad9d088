"""Setting reservations from the facts of an order's exchange orders."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.conf import settings
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
        sale_brings_exposure=order.instrument.quote_asset != settings.EXEC_REPORTING_CURRENCY,
    )


def set_reservation(order: Order, exchange_order: ExchangeOrder) -> None:
    """Set the reservation to what the facts require now; the caller holds the order's lock.

    A planned exchange order reserves only what it needs beyond the one whose place it is to take.
    """
    changes = {**what_facts_require(order, exchange_order), "updated_at": clock.now()}
    # The order's lock makes it the only writer, so that one statement does where there is a row already.
    if not Reservation.objects.filter(exchange_order_id=exchange_order.id).update(**changes):
        Reservation.objects.create(exchange_order_id=exchange_order.id, **described(order), **changes)


def what_facts_require(order: Order, exchange_order: ExchangeOrder) -> dict[str, Any]:
    """The columns of a reservation that change with the facts, as they have to be."""
    amount, exposure = required(facts_of(order, exchange_order))
    if exchange_order.planned:
        others = Reservation.objects.filter(order_id=order.id).exclude(exchange_order_id=exchange_order.id)
        own = others.aggregate(amount=Sum("amount"), exposure=Sum("exposure"))
        amount = max(amount - (own["amount"] or 0), ZERO)
        exposure = max(exposure - (own["exposure"] or 0), ZERO)
    return {
        "amount": amount,
        "exposure": exposure,
        "live": not exchange_order.end_proof,
        "price": exchange_order.price,
    }


def described(order: Order) -> dict[str, Any]:
    """What a reservation says of its order and never changes."""
    instrument, buying = order.instrument, order.side == "BUY"
    return {
        "order_id": order.id,
        "account_name": order.account.name,
        "mode": order.account.mode,
        "exchange": order.account.exchange,
        "strategy": "" if order.strategy is None else order.strategy.name,
        "symbol": instrument.symbol,
        "side": order.side,
        "stop_price": order.stop_price,
        "asset": instrument.quote_asset if buying else instrument.base_asset,
        "gained_asset": instrument.base_asset if buying else instrument.quote_asset,
    }
