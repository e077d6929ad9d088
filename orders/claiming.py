"""The claim: the last look before the wire, in one transaction under the order's row lock.

A claim re-checks everything that may have changed since the gate and stores on the attempt what the wire will carry:
stamp, recvWindow, ``send_by``, fence and body hash. A worker paused after its claim is refused by the exchange's own
window; a second worker finds the command claimed.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import cast
from uuid import UUID

from django.db.models import Sum

from exchanges.adapters import (
    AmendInstruction,
    CancelInstruction,
    ExchangeAdapter,
    PlaceInstruction,
    PreparedRequest,
    ReplaceInstruction,
    ReplacingAdapter,
)
from exchanges.capabilities import CAPABILITIES
from exchanges.models import Balance
from execution_project.common import clock, fault_hooks
from execution_project.common.actors import Actor, engine
from execution_project.common.installation import prefix
from execution_project.common.locking import Locks, ordered
from execution_project.common.money import plain, plain_or_none
from orders import replacement
from orders.ingest import finish_commands, lock_orders, refresh
from orders.lifecycle import ENDED, WORKING, CommandStatus, OrderStatus
from orders.models import (
    NEVER_SENT,
    Attempt,
    AttemptKind,
    Command,
    CommandKind,
    ExchangeOrder,
    Order,
    ReplaceMethod,
)
from orders.notifications import notify_after_commit
from orders.reserving import set_reservation
from positions.models import Holding
from risk.arming import refusal_of
from risk.circuits import hash_of, open_circuits
from risk.flattens import flatten_seq_of
from risk.inputs import CASH_ASSETS, StateOfScope
from risk.intent import lock_names, scopes_of
from risk.models import Reservation
from risk.reading import Prices
from risk.trading_state import refusal, states_of

RECV_WINDOW_MS = 5000
SEND_WITHIN = timedelta(milliseconds=250)


@dataclass(frozen=True, slots=True)
class Claim:
    """A command that this worker alone may now send, once, before ``send_by`` (monotonic seconds)."""

    attempt: Attempt
    prepared: PreparedRequest
    send_by: float


def worker_name() -> str:
    """Host and process of this worker, as attempts record it."""
    return f"{socket.gethostname()}:{os.getpid()}"


def claim(command_id: UUID, adapter: ExchangeAdapter, stamp_ms: int, prices: Prices | None) -> Claim | None:
    """Claim a queued command, or None when there is nothing (more) to send.

    ``stamp_ms``: exchange time of right now, the stamp that the wire will carry. ``prices``: fresh prices for a submit,
    read before. A submit that no longer may go out ends ``denied`` here: stale intent, halted, outranked by a halt, or
    price moved beyond what is reserved.
    """
    by = engine("sender", "claim")
    order_id = Command.objects.values_list("order_id", flat=True).get(id=command_id)
    with ordered() as locks:
        order = lock_orders(locks, [order_id])[order_id]
        command = Command.objects.select_related("exchange_order", "planned").get(id=command_id)
        now = clock.now()
        if command.status != CommandStatus.QUEUED or (command.not_before is not None and command.not_before > now):
            return None
        if _from_before_a_restore(command):
            return None
        if order.status == OrderStatus.PENDING and cancel_wanted(order):
            end_unsent(order, current_exchange_order(order), OrderStatus.CANCELED, "CANCELED_BEFORE_SEND", "", by=by)
            return None
        if order.status in ENDED:
            finish_commands(order, by=by)
            return None
        if not _still_wanted(locks, order, command, prices, by):
            return None
        send_by = clock.monotonic() + SEND_WITHIN.total_seconds()
        now = clock.now()
        try:
            prepared = _prepare(adapter, order, command, stamp_ms)
        except ValueError as error:
            if command.kind != CommandKind.SUBMIT:
                raise
            deny(order, command.exchange_order, "UNSENDABLE", f"The wire cannot carry this order: {error}.", by=by)
            return None
        command.fence += 1
        command.move(CommandStatus.CLAIMED, by, evidence={"fence": command.fence})
        command.save()
        if order.status == OrderStatus.PENDING:
            order.move(OrderStatus.SUBMITTING, by, evidence={"command": str(command.id)})
            order.updated_at = now
            order.save()
        kind = _attempt_kind(command)
        attempt = Attempt.objects.create(
            command=command,
            exchange_order=replacement.planned_of(command) if kind is AttemptKind.REPLACE else command.exchange_order,
            kind=kind,
            fence=command.fence,
            stamp_ms=stamp_ms,
            recv_window_ms=prepared.recv_window_ms,
            send_by=now + SEND_WITHIN,
            body_hash=prepared.body_hash,
            balances=_balances_before(order, command),
            worker=worker_name(),
            claimed_at=now,
        )
    fault_hooks.reach("after_claim")
    return Claim(attempt, prepared, send_by)


def _from_before_a_restore(command: Command) -> bool:
    """Whether it would send a client order id under a former prefix: it may have gone out since the backup, so it is
    looked for instead (``orders.boot``)."""
    row = row_to_post(command)
    return row is not None and not row.client_order_id.startswith(prefix())


def row_to_post(command: Command) -> ExchangeOrder | None:
    """The exchange order that the command would bring to the exchange, now or at its end, or None for none."""
    if command.kind == CommandKind.SUBMIT:
        row: ExchangeOrder = command.exchange_order
        return row
    return command.planned if command.kind == CommandKind.REPLACE else None


def _balances_before(order: Order, command: Command) -> dict[str, dict[str, str]]:
    """What the exchange last reported of base and quote, where a lost placement may be executed much later."""
    if command.kind != CommandKind.SUBMIT or CAPABILITIES[order.account.exchange].refuses_late_requests:
        return {}
    assets = [order.instrument.base_asset, order.instrument.quote_asset]
    return {
        row.asset: {"free": plain(row.free), "locked": plain(row.locked), "as_of": row.as_of.isoformat()}
        for row in Balance.objects.filter(account=order.account, asset__in=assets)
    }


def cancel_wanted(order: Order) -> bool:
    """Whether somebody wants this order ended; the caller holds its lock."""
    return Command.objects.filter(
        order=order, kind=CommandKind.CANCEL, status__in=[CommandStatus.QUEUED, CommandStatus.CLAIMED]
    ).exists()


def current_exchange_order(order: Order) -> ExchangeOrder:
    """The newest generation that the exchange has, or may have, or is to get; never one that is only planned."""
    rows = list(ExchangeOrder.objects.filter(order=order, planned=False).order_by("-generation"))
    alive = [row for row in rows if not row.end_proof]
    return next((row for row in (*alive, *rows) if row.was_accepted), rows[0])


def _attempt_kind(command: Command) -> AttemptKind:
    if command.kind != CommandKind.REPLACE:
        return AttemptKind(command.kind)
    return {
        ReplaceMethod.AMEND: AttemptKind.AMEND,
        ReplaceMethod.CANCEL_REPLACE: AttemptKind.REPLACE,
        ReplaceMethod.CANCEL_THEN_PLACE: AttemptKind.CANCEL,
    }[ReplaceMethod(command.method)]


def _still_wanted(locks: Locks, order: Order, command: Command, prices: Prices | None, by: Actor) -> bool:
    """Whether the command may go out; what no longer may is ended here, by the kind of command."""
    if command.kind == CommandKind.SUBMIT:
        return _submit_wanted(locks, order, command.exchange_order, prices, by)
    row = current_exchange_order(order)
    if command.kind == CommandKind.CANCEL:
        if replacement.rest_not_sent(order, row):
            replacement.end_as_canceled(order, row, NEVER_SENT, "CANCELED_BEFORE_SEND", "", by)
            finish_commands(order, by=by)
            return False
        under_way = replacement.live_replace(order)
        if under_way is not None and under_way.status == CommandStatus.QUEUED:
            replacement.abandon(order, under_way, "the order is being canceled", by)
        elif under_way is not None and under_way.status == CommandStatus.UNKNOWN and row.end_proof:
            # What the replace may have placed must end, too; a refusal proves nothing, a live order dies.
            row = under_way.planned or row
        command.exchange_order = row
        return True
    refused = _replace_refusal(locks, order, command)
    if refused is None:
        return True
    replacement.abandon(order, command, refused[1], by)
    # Without its planned order the old one tells how it ended: whole, canceled, expired, or working on.
    order.reason, order.detail = (refused[0], refused[1]) if command.exchange_order.end_proof else ("", "")
    refresh(order, list(order.exchange_orders.order_by("generation")), [], by=by)
    return False


def _submit_wanted(locks: Locks, order: Order, row: ExchangeOrder, prices: Prices | None, by: Actor) -> bool:
    replaces = order.status in WORKING and row.reported is None
    if replaces and cancel_wanted(order):
        refused: tuple[str, str] | None = ("CANCELED_BEFORE_SEND", "")
    else:
        refused = _submit_refusal(locks, order, row, prices, replaces)
    if refused is None:
        return True
    if replaces:
        replacement.end_as_canceled(order, row, NEVER_SENT, refused[0], refused[1], by)
        finish_commands(order, by=by)
    elif order.status == OrderStatus.PENDING:
        deny(order, row, refused[0], refused[1], by=by)
    else:
        # The exchange knows the order already (a restored database): there is nothing left to submit.
        for command in Command.objects.filter(exchange_order=row, kind=CommandKind.SUBMIT, status=CommandStatus.QUEUED):
            command.move(CommandStatus.DROPPED, by, evidence={"why": refused[1]})
            command.finished_at = clock.now()
            command.save()
    return False


def _replace_refusal(locks: Locks, order: Order, command: Command) -> tuple[str, str] | None:
    """Why a replace may not go out (any more), as (code, sentence)."""
    if order.status not in WORKING:
        return "NOT_WORKING", f"The order is {order.status}."
    if cancel_wanted(order):
        return "CANCELED", "The order is being canceled."
    if not command.exchange_order.end_proof and clock.now() > command.created_at + replacement.VALID_FOR:
        return "STALE_INTENT", "The replace was not carried out in time."
    scopes = _scopes(order)
    locks.share_trading_state(lock_names(scopes))
    states = states_of(scopes)
    halted = refusal(states, command.gate_seq or 0)
    if halted is not None:
        return "TRADING_HALTED", f"Not replaced: {halted}."
    if command.method == ReplaceMethod.CANCEL_REPLACE and (unarmed := _arming_refusal(order)) is not None:
        return unarmed
    # A smaller quantity only reduces; the rest of a cancel first is looked at again when it is claimed.
    return _reduce_only_refusal(order, states) if command.method == ReplaceMethod.CANCEL_REPLACE else None


def _scopes(order: Order) -> tuple[tuple[str, str], ...]:
    return scopes_of(
        exchange=order.account.exchange,
        account=order.account.name,
        strategy=None if order.strategy is None else order.strategy.name,
        symbol=order.instrument.symbol,
    )


def _prepare(adapter: ExchangeAdapter, order: Order, command: Command, stamp_ms: int) -> PreparedRequest:
    row = command.exchange_order
    symbol = order.instrument.symbol
    cancel = CancelInstruction(symbol, row.client_order_id, row.exchange_order_id or None)
    kind = _attempt_kind(command)
    if kind is AttemptKind.CANCEL:
        return adapter.prepare_cancel(cancel, stamp_ms, RECV_WINDOW_MS)
    if kind is AttemptKind.AMEND:
        own = command.new_quantity - (order.filled_quantity - row.booked_quantity)
        return cast(ReplacingAdapter, adapter).prepare_amend(
            AmendInstruction(symbol, row.client_order_id, row.exchange_order_id or None, own), stamp_ms, RECV_WINDOW_MS
        )
    if kind is AttemptKind.REPLACE:
        placement = _placement(order, replacement.planned_of(command))
        return cast(ReplacingAdapter, adapter).prepare_replace(
            ReplaceInstruction(cancel, placement), stamp_ms, RECV_WINDOW_MS
        )
    return adapter.prepare_place(_placement(order, row), stamp_ms, RECV_WINDOW_MS)


def _placement(order: Order, row: ExchangeOrder) -> PlaceInstruction:
    as_limit = order.protection_price is not None
    return PlaceInstruction(
        symbol=order.instrument.symbol,
        side=order.side,
        type="LIMIT" if as_limit else order.type,
        client_order_id=row.client_order_id,
        quantity=row.quantity,
        quote_quantity=row.quote_quantity,
        price=row.price,
        time_in_force="IOC" if as_limit else order.time_in_force,
        stop_price=order.stop_price,
    )


def _submit_refusal(
    locks: Locks, order: Order, exchange_order: ExchangeOrder, prices: Prices | None, replaces: bool
) -> tuple[str, str] | None:
    """Why this order may not be sent any more, as (code, sentence). ``replaces``: it is the rest of a replace."""
    if order.status != OrderStatus.PENDING and not replaces:
        return "NOT_PENDING", f"The order is {order.status}."
    if clock.now() > order.valid_until:
        return "STALE_INTENT", "The order was not sent within its valid_for."
    scopes = _scopes(order)
    locks.share_trading_state(lock_names(scopes))
    states = states_of(scopes)
    flatten_seq = flatten_seq_of(order.kill_id)
    if order.kill_id is not None and flatten_seq is None:
        return "TRADING_HALTED", "Not sent: the flatten that it belongs to does not run any more."
    halted = refusal(states, order.gate_seq, flatten_seq)
    if halted is not None:
        return "TRADING_HALTED", f"Not sent: {halted}."
    return (
        _arming_refusal(order)
        or _reduce_only_refusal(order, states)
        or _circuit_refusal(order, exchange_order)
        or _price_refusal(order, exchange_order, prices)
    )


def _arming_refusal(order: Order) -> tuple[str, str] | None:
    """A live account sends nothing that adds an order before it was armed."""
    why = refusal_of(order.account)
    return None if why is None else ("NOT_ARMED", f"Not sent: {order.account.name} is live, and {why}.")


def request_of(order: Order, row: ExchangeOrder) -> dict[str, str | None]:
    """What a placement asks for, without its client order id: two that are the same are refused for the same cause."""
    return {
        "side": order.side,
        "type": order.type,
        "quantity": plain_or_none(row.quantity),
        "quote_quantity": plain_or_none(row.quote_quantity),
        "price": plain_or_none(row.price),
        "stop_price": plain_or_none(order.stop_price),
        "time_in_force": order.time_in_force,
    }


def _circuit_refusal(order: Order, row: ExchangeOrder) -> tuple[str, str] | None:
    """The exchange kept refusing a request for this symbol: that one may not go out, nor any that adds exposure."""
    stopping = open_circuits(order.account.name, order.instrument.symbol)
    if not stopping:
        return None
    same = hash_of(request_of(order, row)) in {circuit.request_hash for circuit in stopping}
    if not same and _still_reduces(order):
        return None
    circuit = stopping[0]
    until = "" if circuit.open_until is None else f" until {clock.rfc3339(circuit.open_until)}"
    detail = f"Not sent: the exchange refused a request for {circuit.symbol} {circuit.refusals} times in a row"
    return "CIRCUIT_OPEN", f"{detail} ({circuit.code}); the symbol is stopped{until}."


def _reduce_only_refusal(order: Order, states: tuple[StateOfScope, ...]) -> tuple[str, str] | None:
    reducing_only = any(state.state == "REDUCE_ONLY" for state in states)
    if (reducing_only or order.reduce_only) and not _still_reduces(order):
        code = "TRADING_REDUCE_ONLY" if reducing_only else "REDUCE_ONLY_WOULD_INCREASE"
        return code, "Not sent: the order would no longer only reduce exposure."
    return None


def _still_reduces(order: Order) -> bool:
    """Whether the order is a sale for a cash asset of no more than the books hold beside other live orders."""
    if order.side != "SELL" or order.instrument.quote_asset not in CASH_ASSETS:
        return False
    asset = order.instrument.base_asset
    held = Holding.objects.filter(account=order.account, asset=asset).aggregate(total=Sum("quantity"))["total"]
    reserved = Reservation.objects.filter(account_name=order.account.name, asset=asset, amount__gt=0)
    own = reserved.filter(order_id=order.id).aggregate(total=Sum("amount"))["total"]
    others = reserved.exclude(order_id=order.id).aggregate(total=Sum("amount"))["total"]
    zero = Decimal(0)
    return bool((own or zero) <= (held or zero) - (others or zero))


def _price_refusal(order: Order, exchange_order: ExchangeOrder, prices: Prices | None) -> tuple[str, str] | None:
    """A market buy by base quantity may cost no more than what was reserved for it at the gate. One that is sent as
    LIMIT IOC, either side, needs a best price within its limit: beyond it there is nothing to find."""
    if order.protection_price is None and (order.side != "BUY" or order.type != "MARKET" or order.quantity is None):
        return None
    price = None if prices is None else prices.instrument
    if price is None or price.ask is None or price.bid is None or not price.usable(clock.now()):
        return "PRICE_UNAVAILABLE", "Not sent: no fresh price to re-check."
    if order.side == "SELL":
        if price.bid < order.protection_price:
            return "PRICE_MOVED", f"Not sent: the bid {price.bid} is below its limit {order.protection_price}."
        return None
    if price.ask > exchange_order.reserve_price:
        return "PRICE_MOVED", f"Not sent: the ask {price.ask} is beyond the reserved {exchange_order.reserve_price}."
    return None


def deny(order: Order, exchange_order: ExchangeOrder, code: str, detail: str, *, by: Actor) -> None:
    """End an order that was never sent; the caller holds its lock. Releases the reservation, drops the command."""
    if order.status != OrderStatus.PENDING:
        return
    end_unsent(order, exchange_order, OrderStatus.DENIED, code, detail, by=by)


def end_unsent(
    order: Order, exchange_order: ExchangeOrder, status: OrderStatus, code: str, detail: str, *, by: Actor
) -> None:
    """End a pending order locally: nothing of it ever left this process."""
    order.reason, order.detail = code, detail[:512]
    order.move(status, by, evidence={"code": code, "detail": detail})
    order.version += 1
    order.updated_at = clock.now()
    order.save()
    exchange_order.end_proof = NEVER_SENT
    exchange_order.save(update_fields=["end_proof"])
    set_reservation(order, exchange_order)
    finish_commands(order, by=by)
    notify_after_commit(order.id)
