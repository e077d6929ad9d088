"""The shapes of orders and decisions at the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from execution_project.common.api.authentication import Principal
from execution_project.common.clock import rfc3339
from execution_project.common.models import Event
from execution_project.common.money import plain, plain_or_none
from orders.absence import Judged
from orders.effect import Effect, effect_of, effects_of
from orders.history import History
from orders.models import Attempt, Command, ExchangeOrder, Order
from positions.api.documents import fill_document
from risk.api.decision_documents import decision_document
from risk.api.withheld import detail_for

# Of a round's answers; their bodies stand in the admin and in what explain_order writes with --json.
ANSWER_SHOWN = ("call", "path", "parameters", "http_status", "error", "characters")


def order_document(order: Order, reader: Principal | None = None) -> dict[str, Any]:
    """An order by itself; ``order_as`` where its effect is known already."""
    return order_as(order, effects_of([order]).get(order.id), reader)


def order_documents(orders: Sequence[Order], reader: Principal | None = None) -> list[dict[str, Any]]:
    """Orders of one page."""
    effects = effects_of(orders)
    return [order_as(order, effects.get(order.id), reader) for order in orders]


def order_as(order: Order, effect: Effect | None, reader: Principal | None = None) -> dict[str, Any]:
    """An order. Quantities in base, quotes in quote asset, all decimals as strings, times RFC 3339 in UTC.

    ``reader``: a bound key is not told how much of wider limits is used; None: everything.
    """
    return {
        "id": str(order.id),
        "account": order.account.name,
        "mode": order.account.mode,
        "exchange": order.account.exchange,
        "symbol": order.instrument.symbol,
        "strategy": None if order.strategy is None else order.strategy.name,
        "side": order.side,
        "type": order.type,
        "origin": order.origin,
        "quantity": plain_or_none(order.quantity),
        "quote_quantity": plain_or_none(order.quote_quantity),
        "price": plain_or_none(order.price),
        "stop_price": plain_or_none(order.stop_price),
        "time_in_force": order.time_in_force,
        "protection_price": plain_or_none(order.protection_price),
        "reduce_only": order.reduce_only,
        "effect": None if effect is None else effect.value,
        "status": str(order.status),
        "ended_as": order.ended_as,
        "reason": order.reason,
        "detail": detail_for(order.reason, order.detail, reader),
        "filled_quantity": plain(order.filled_quantity),
        "filled_quote": plain(order.filled_quote),
        "average_price": plain_or_none(order.average_price),
        "idempotency_key": order.idempotency_key,
        "valid_until": rfc3339(order.valid_until),
        "version": order.version,
        "created_at": rfc3339(order.created_at),
        "updated_at": rfc3339(order.updated_at),
    }


def _exchange_order(row: ExchangeOrder) -> dict[str, Any]:
    return {
        "generation": row.generation,
        "client_order_id": row.client_order_id,
        "exchange_order_id": row.exchange_order_id or None,
        "quantity": plain_or_none(row.quantity),
        "quote_quantity": plain_or_none(row.quote_quantity),
        "price": plain_or_none(row.price),
        "planned": row.planned,
        "reported_status": row.reported_status or None,
        "cumulative_quantity": plain(row.cumulative_quantity),
        "unbooked_quantity": plain(row.unbooked_quantity),
        "end_proof": row.end_proof or None,
        "created_at": rfc3339(row.created_at),
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "id": str(attempt.id),
        "kind": attempt.kind,
        "stamp_ms": attempt.stamp_ms,
        "recv_window_ms": attempt.recv_window_ms,
        "claimed_at": rfc3339(attempt.claimed_at),
        "send_by": rfc3339(attempt.send_by),
        "answered_at": None if attempt.answered_at is None else rfc3339(attempt.answered_at),
        "outcome": attempt.outcome or None,
        "code": attempt.code,
        "message": attempt.message,
        "request": attempt.request,
        "response": attempt.response,
    }


def _command(command: Command) -> dict[str, Any]:
    return {
        "id": str(command.id),
        "kind": command.kind,
        "status": str(command.status),
        "generation": command.exchange_order.generation,
        "method": command.method or None,
        "new_quantity": plain_or_none(command.new_quantity),
        "new_price": plain_or_none(command.new_price),
        "requested_by": command.requested_by,
        "reason": command.reason,
        "created_at": rfc3339(command.created_at),
        "finished_at": None if command.finished_at is None else rfc3339(command.finished_at),
        "attempts": [_attempt(attempt) for attempt in command.attempts.all()],
    }


def _event(event: Event) -> dict[str, Any]:
    return {
        "id": str(event.id),
        "at": rfc3339(event.at),
        "kind": event.kind,
        "subject": event.subject_type,
        "subject_id": event.subject_id,
        "from_status": event.from_status or None,
        "to_status": event.to_status or None,
        "actor": event.actor,
        "cause": event.cause,
        "request_id": event.request_id or None,
        "evidence": event.evidence,
    }


def _round(judged: Judged, rows: Mapping[UUID, ExchangeOrder]) -> dict[str, Any]:
    past = judged.round
    return {
        "id": str(past.id),
        "generation": rows[past.exchange_order_id].generation,
        "client_order_id": rows[past.exchange_order_id].client_order_id,
        "verdict": past.verdict,
        "detail": past.detail,
        "counts": judged.counts,
        "why_not": judged.why_not or None,
        "asked_at": rfc3339(past.asked_at),
        "answered_at": rfc3339(past.answered_at),
        "exchange_ms": past.exchange_ms,
        "counts_from_ms": past.counts_from_ms,
        "bounds": past.bounds,
        "answers": [{name: answer.get(name) for name in ANSWER_SHOWN} for answer in past.answers],
    }


def order_with_history(order: Order, history: History, reader: Principal | None = None) -> dict[str, Any]:
    """An order with all that is on record about it. Requests and answers of attempts are as stored: redacted."""
    rows = {row.id: row for row in history.exchange_orders}
    return {
        **order_as(order, effect_of(history.decision), reader),
        "exchange_orders": [_exchange_order(row) for row in history.exchange_orders],
        "commands": [_command(command) for command in history.commands],
        "fills": [fill_document(fill) for fill in history.fills],
        "events": [_event(event) for event in history.events],
        "decision": None if history.decision is None else decision_document(history.decision, reader),
        "replace_decisions": [decision_document(decision, reader) for decision in history.replace_decisions],
        "evidence": [_round(judged, rows) for judged in history.evidence],
    }
