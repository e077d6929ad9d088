"""User data events in Binance's words, letter by letter (docs/binance.md §7). `scale` turns ms into the time unit."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from exchanges.matching import EndReason
from exchanges.simulator.binance_views import EXPIRY, dec
from exchanges.simulator.venue import BalanceEvent, OrderEvent, Prevented, Status

Json = dict[str, Any]

ZERO = Decimal(0)


def execution_report(event: OrderEvent, scale: int) -> Json:
    """What happened to one order; to be built at once, since the order goes on changing."""
    order, trade = event.order, event.trade
    canceled, at = event.kind == "CANCELED", event.time * scale
    works = order.working_time >= 0 or (event.kind == "NEW" and not order.type.has_trigger)
    body: Json = {
        "e": "executionReport",
        "E": at,
        "s": order.symbol,
        "c": (event.cancel_client_id if canceled else "") or order.client_order_id,
        "S": order.side.value,
        "o": order.type.value,
        "f": order.time_in_force.value,
        "q": dec(order.quantity),
        "p": dec(order.price),
        "P": dec(order.stop_price),
        "F": dec(ZERO),
        "g": -1,
        "C": order.client_order_id if canceled else event.previous_client_id,
        "x": _kind(event),
        "X": order.status.value,
        "r": "NONE",
        "i": order.order_id,
        "l": dec(trade.quantity if trade else ZERO),
        "z": dec(order.executed),
        "L": dec(trade.price if trade else ZERO),
        "n": dec(trade.commission) if trade else "0",
        "N": trade.commission_asset if trade else None,
        "T": at,
        "t": trade.id if trade else -1,
        "I": event.execution_id,
        "w": works and order.status.is_open,
        "m": trade is not None and trade.is_maker,
        "M": False,
        "O": order.time * scale,
        "Z": dec(order.quote_executed),
        "Y": dec(trade.quote_quantity if trade else ZERO),
        "Q": dec(order.quote_quantity),
        "V": order.self_trade.value,
    }
    if works:
        body["W"] = (order.working_time if order.working_time >= 0 else event.time) * scale
    if order.status is Status.EXPIRED and order.end_reason in EXPIRY:
        body["eR"] = EXPIRY[EndReason(order.end_reason)]
    if order.strategy_id is not None:
        body["j"] = order.strategy_id
    if order.strategy_type is not None:
        body["J"] = order.strategy_type
    if event.prevented is not None:
        body.update(_prevented(event.prevented, order.symbol))
    return body


def _kind(event: OrderEvent) -> str:
    """The execution type; a stop order that goes to work is announced as NEW once more."""
    if event.kind == "TRIGGERED":
        return "NEW"
    return "TRADE_PREVENTION" if event.order.status is Status.EXPIRED_IN_MATCH else event.kind


def _prevented(match: Prevented, symbol: str) -> Json:
    quantity = dec(match.quantity)
    return {
        "v": match.id,
        "A": quantity,
        "B": quantity,
        "u": -1,
        "U": match.counter_id,
        "Cs": symbol,
        "pl": quantity,
        "pL": dec(match.price),
        "pY": dec(match.quantity * match.price),
    }


def account_position(event: BalanceEvent, scale: int) -> Json:
    """Absolute balances of the assets that one change may have touched."""
    balances = [(asset, event.account.balance(asset)) for asset in event.assets]
    return {
        "e": "outboundAccountPosition",
        "E": event.time * scale,
        "u": event.time * scale,
        "B": [{"a": asset, "f": dec(balance.free), "l": dec(balance.locked)} for asset, balance in balances],
    }


def balance_update(asset: str, amount: Decimal, now: int, scale: int) -> Json:
    """A deposit or withdrawal; the amount is signed."""
    return {"e": "balanceUpdate", "E": now * scale, "a": asset, "d": dec(amount), "T": now * scale}


def server_shutdown(now: int, scale: int) -> Json:
    """The connection is about to end."""
    return {"e": "serverShutdown", "E": now * scale}


def stream_terminated(now: int, scale: int) -> Json:
    """A subscription has ended."""
    return {"e": "eventStreamTerminated", "E": now * scale}
