"""Orders at the API: place, read, cancel; and stop with its cancels. No business rule lives here."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from execution_project.common.api.authentication import actor_of, principal_of
from execution_project.common.money import plain
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from orders.api.serializers import (
    PlaceOrderSerializer,
    ReplaceOrderSerializer,
    decision_document,
    order_document,
)
from orders.api.waiting import parse_wait, wait_until_decided
from orders.canceling import cancel_scope, request_cancel
from orders.lifecycle import ENDED, UNDECIDED
from orders.models import Order
from orders.placing import account_for, order_of, place, rehearse
from orders.replacing import request_replace
from risk.api.scopes import ScopeRequest
from risk.models import Decision
from risk.trading_state import halt

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def _idempotency_key(request: Request) -> str:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        raise Problem(400, "IDEMPOTENCY_KEY_MISSING", "Send an Idempotency-Key header, new for every new order.")
    if not _KEY.fullmatch(key):
        raise Problem(400, "IDEMPOTENCY_KEY_INVALID", "Idempotency-Key is 1 to 255 visible ASCII characters.")
    return key


def _if_match(request: Request) -> int | None:
    text = request.headers.get("If-Match")
    if text is None:
        return None
    version = text.strip().strip('"')
    if not (version.isascii() and version.isdigit()):
        raise Problem(400, "INVALID_IF_MATCH", "If-Match takes the ETag of the order as it was answered.")
    return int(version)


def _order_answer(order: Order, status: int, *, replayed: bool = False) -> Response:
    headers = {"Location": f"/api/exec/order/{order.id}", "ETag": f'"{order.version}"'}
    if replayed:
        headers["Idempotent-Replay"] = "true"
    return Response(order_document(order), status=status, headers=headers)


class PlaceOrderView(APIView):
    """``POST /api/exec/order``."""

    rights = {"POST": Right.PLACE}

    def post(self, request: Request) -> Response:
        """202 with the order; 200 when ``wait`` saw it decided by the exchange; 422 with the decision when denied."""
        principal = principal_of(request)
        serializer = PlaceOrderSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        body = serializer.request()
        account = account_for(body.account, principal.may_see(body.account))
        by = actor_of(request, "POST /api/exec/order")
        if serializer.validated_data.get("validate_only"):
            verdict = rehearse(body, account=account, by=by)
            document = {**decision_document(verdict.decision), "id": None, "validate_only": True}
            return Response(document, status=200 if verdict.accepted else 422)
        key = _idempotency_key(request)
        wait = parse_wait(request.query_params.get("wait"))
        canonical = json.dumps(request.data, sort_keys=True, separators=(",", ":")).encode()
        placed = place(
            body, idempotency_key=key, body_hash=hashlib.sha256(canonical).hexdigest(), account=account, by=by
        )
        if not placed.decision.accepted:
            raise Problem(
                422,
                placed.order.reason,
                placed.order.detail,
                members={"order": order_document(placed.order), "decision": decision_document(placed.decision)},
                headers={"Idempotent-Replay": "true"} if placed.replayed else None,
            )
        moved = wait_until_decided(placed.order.id, wait)
        order = moved or placed.order
        return _order_answer(order, 202 if order.status in UNDECIDED else 200, replayed=placed.replayed)


class OrderView(APIView):
    """``/api/exec/order/{id}``."""

    rights = {"GET": Right.VIEW, "PATCH": Right.PLACE, "DELETE": Right.CANCEL}

    def get(self, request: Request, order_id: UUID) -> Response:
        """The order with its exchange orders and decision."""
        order = order_of(order_id, principal_of(request).key.accounts)
        document = order_document(order, list(order.exchange_orders.order_by("generation")))
        document["decision"] = decision_document(Decision.objects.get(id=order.decision_id))
        return Response(document, headers={"ETag": f'"{order.version}"'})

    def patch(self, request: Request, order_id: UUID) -> Response:
        """202: the replace passed the gate and is being carried out; 422 with the decision when denied.

        ``If-Match`` with the order's ETag makes sure that nobody changed it in between (412).
        """
        order = order_of(order_id, principal_of(request).key.accounts)
        serializer = ReplaceOrderSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        replacing = request_replace(
            order.id,
            quantity=serializer.validated_data.get("quantity"),
            price=serializer.validated_data.get("price"),
            by=actor_of(request, "PATCH /api/exec/order"),
            if_version=_if_match(request),
        )
        decision = decision_document(replacing.decision)
        if replacing.command is None:
            breach = next(result for result in replacing.decision.results if result["outcome"] == "breach")
            raise Problem(
                422,
                breach["code"],
                breach["detail"],
                members={"order": order_document(replacing.order), "decision": decision},
            )
        answer = _order_answer(replacing.order, 202)
        answer.data["replace"] = {
            "id": str(replacing.command.id),
            "method": replacing.command.method,
            "quantity": plain(replacing.command.new_quantity),
            "price": plain(replacing.command.new_price),
            "decision": decision,
        }
        return answer

    def delete(self, request: Request, order_id: UUID) -> Response:
        """202: the cancel is asked for; the order ends when the exchange says so. 200 when it has ended already."""
        order = order_of(order_id, principal_of(request).key.accounts)
        order = request_cancel(order.id, by=actor_of(request, "DELETE /api/exec/order"))
        return _order_answer(order, 200 if order.status in ENDED else 202)


class StopView(APIView):
    """``POST /api/exec/stop``."""

    rights = {"POST": Right.HALT}

    def post(self, request: Request) -> Response:
        """Halt a scope; with ``cancel_orders`` also ask for the end of every order in it, after the halt stands."""
        asked = ScopeRequest.of(request, allow_cancel=True)
        by = actor_of(request, "POST /api/exec/stop")
        state = halt(asked.kind, asked.key, reason=asked.reason, by=by)
        canceled: int | None = None
        if asked.cancel_orders:
            canceled = cancel_scope(asked.kind, asked.key, by=by, reason=asked.reason)
        document: dict[str, Any] = asked.document(state)
        document["cancels_requested"] = canceled
        return Response(document)
