"""Overriding: an order that was denied is asked for again past the limits that are named, by two persons.

Whoever may change limits proposes, a second person approves within ten minutes, and the engine then places the same
intent once, through the whole gate: what is not named denies it again.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from execution_project.common.actors import Actor, engine
from execution_project.common.approvals import carries_out, explains, request_approval
from execution_project.common.events import record
from execution_project.common.models import Approval
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from orders.lifecycle import OrderStatus
from orders.models import Order
from orders.placing import OrderRequest, place
from risk.controls.result import ControlOutcome
from risk.models import Decision
from risk.overriding import OVERRIDE_ORDER, STANDS_FOR, Override, why_never

SHORTEST_REASON = 20
PART = "override"


def propose_override(order_id: UUID, controls: Collection[str], *, reason: str, by: Actor) -> Approval:
    """Ask for a second person's word to place a denied order past the named limits; it lapses after ten minutes.

    Raises ``Problem``: 409 ``NOT_OVERRIDABLE`` for an order that was not denied at the gate, that was overridden
    before, or for limits that do not fit what denied it, 400 ``REASON_TOO_SHORT``, 403 without the right.
    """
    by.require(Right.CHANGE_LIMITS)
    named = sorted(set(controls))
    _refuse_unfit(_seen(order_id), named)
    if len(reason.strip()) < SHORTEST_REASON:
        detail = f"reason: at least {SHORTEST_REASON} characters, for whoever approves and for the record."
        raise Problem(400, "REASON_TOO_SHORT", detail)
    return request_approval(
        OVERRIDE_ORDER, str(order_id), reason=reason, by=by, parameters={"controls": named}, lifetime=STANDS_FOR
    )


def _seen(order_id: UUID | str) -> Order:
    return Order.objects.select_related("account", "instrument", "strategy").get(id=order_id)


def _breaches(order: Order) -> list[dict[str, Any]]:
    found = order.decision_id
    decision = None if found is None else Decision.objects.filter(id=found, accepted=False).first()
    if order.status != OrderStatus.DENIED or decision is None:
        raise Problem(409, "NOT_OVERRIDABLE", "Only an order that the gate denied can be overridden; place it anew.")
    return [result for result in decision.results if result["outcome"] == ControlOutcome.BREACH]


def _key(order: Order) -> str:
    return f"override-{order.id}"


def _refuse_unfit(order: Order, named: list[str]) -> None:
    breaches = _breaches(order)
    if order.kill_id is not None:
        raise Problem(409, "NOT_OVERRIDABLE", "A part of a flatten is not overridden: flatten again.")
    if Order.objects.filter(idempotency_key=_key(order), created_by=f"engine:{PART}").exists():
        raise Problem(409, "NOT_OVERRIDABLE", "This order was overridden before, which is done once.")
    never = [why_never(b["control"], b["code"], known=b["observed"] is not None) for b in breaches]
    if whys := [why for why in never if why is not None]:
        raise Problem(409, "NOT_OVERRIDABLE", " ".join(whys))
    denied_by = sorted({breach["control"] for breach in breaches})
    if denied_by != named:
        raise Problem(409, "NOT_OVERRIDABLE", f"Name exactly what denied it: {', '.join(denied_by)}.")


def _request(order: Order) -> OrderRequest:
    return OrderRequest(
        account=order.account.name,
        symbol=order.instrument.symbol,
        side=order.side,
        type=order.type,
        quantity=order.quantity,
        quote_quantity=order.quote_quantity,
        price=order.price,
        stop_price=order.stop_price,
        time_in_force=order.time_in_force,
        strategy=None if order.strategy is None else order.strategy.name,
        reduce_only=order.reduce_only,
        valid_for=int((order.valid_until - order.created_at).total_seconds()),
    )


@carries_out(OVERRIDE_ORDER)
def _override(approval: Approval, by: Actor) -> str:
    denied = _seen(approval.subject)
    named = approval.parameters["controls"]
    _refuse_unfit(denied, named)
    placed = place(
        _request(denied),
        idempotency_key=_key(denied),
        body_hash=f"approval {approval.id}",
        account=denied.account,
        by=engine(PART, f"approval {approval.id}"),
        override=Override(approval, denied.id, frozenset(named), by),
    )
    evidence = {
        "order": str(placed.order.id),
        "decision": str(placed.decision.id),
        "accepted": placed.decision.accepted,
        "controls": named,
        "approval": str(approval.id),
        "asked_by": approval.requested_by,
        "reason": approval.reason,
    }
    record("order.overridden", "order", denied.id, by, evidence=evidence)
    if placed.decision.accepted:
        return f"Placed as order {placed.order.id}, past {', '.join(named)}."
    return f"Denied again, as order {placed.order.id}: {placed.order.detail}"


@explains(OVERRIDE_ORDER)
def what_an_override_does(approval: Approval) -> list[str]:
    """What approving does as things stand, in sentences."""
    order = _seen(approval.subject)
    try:
        _refuse_unfit(order, approval.parameters["controls"])
    except Problem as problem:
        return [f"Nothing, it will be refused: {problem.detail}"]
    size = f"{order.quantity} {order.instrument.base_asset}" if order.quantity is not None else "sized in quote"
    at = "" if order.price is None else f" at {order.price}"
    does = (
        f"{order.side} {order.type} {order.instrument.symbol}{at}, {size}, on {order.account.name} is asked for again"
    )
    past = [f"Past: {breach['detail']}" for breach in _breaches(order)]
    return [f"{does}, once, and sent if nothing else denies it.", *past]
