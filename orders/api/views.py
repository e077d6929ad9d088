"""Orders at the API: place, read, list, replace, cancel; stop and kill with their cancels. No business rule here."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from exchanges.models import Instrument
from execution_project.common.api.authentication import Principal, actor_of, principal_of
from execution_project.common.api.paging import page
from execution_project.common.api.query import PAGING, choice_of, choices_of, read_query, time_of
from execution_project.common.money import plain
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from orders.api import schema
from orders.api.documents import order_as, order_document, order_documents, order_with_history
from orders.api.kills import kill_document
from orders.api.serializers import PlaceOrderSerializer, ReplaceOrderSerializer
from orders.api.waiting import parse_wait, wait_until_decided
from orders.canceling import cancel_all, cancel_scope, request_cancel
from orders.effect import effect_of
from orders.history import history_of
from orders.killing import kill
from orders.lifecycle import ENDED, ENDED_AS, UNDECIDED, OrderStatus
from orders.models import Order, Side
from orders.placing import account_for, order_of, place, registered_strategy, rehearse, strategy_for
from orders.replacing import request_replace
from risk.api.decision_documents import decision_document, first_breach
from risk.api.scopes import ScopeRequest
from risk.models import Decision
from risk.trading_state import halt

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_TAG = re.compile(r'"?([0-9]{1,9})(-[0-9a-f]{16})?"?')
SCOPE_FILTERS = ("account", "symbol", "strategy")
FILTERS = (*SCOPE_FILTERS, "side", "status", "ended_as", "created_after", "created_before", "idempotency_key")


def _idempotency_key(request: Request) -> str:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        raise Problem(400, "IDEMPOTENCY_KEY_MISSING", "Send an Idempotency-Key header, new for every new order.")
    if not _KEY.fullmatch(key):
        raise Problem(400, "IDEMPOTENCY_KEY_INVALID", "Idempotency-Key is 1 to 255 visible ASCII characters.")
    return key


def _if_match(request: Request) -> int | None:
    """The version that the order must be at; None for any."""
    text = request.headers.get("If-Match")
    if text is None or text.strip() == "*":
        return None
    tag = _TAG.fullmatch(text.strip())
    if tag is None:
        raise Problem(400, "INVALID_IF_MATCH", "If-Match takes the ETag of the order as it was answered, or *.")
    return int(tag[1])


def _etag(order: Order, document: Mapping[str, Any]) -> str:
    """The order's version, for If-Match, and a digest of all that is shown of it, for If-None-Match."""
    shown = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    return f'"{order.version}-{hashlib.sha256(shown).hexdigest()[:16]}"'


def _is_known(request: Request, etag: str) -> bool:
    """Whether If-None-Match says that the client has this already."""
    tags = [tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")]
    return etag in tags or "*" in tags


def _order(request: Request, order_id: UUID) -> Order:
    return order_of(order_id, principal_of(request).narrow(Order.objects.all()))


def _filtered(orders: QuerySet[Order], query: Mapping[str, str]) -> QuerySet[Order]:
    wanted = {
        "account__name": query.get("account"),
        "instrument__symbol": query.get("symbol"),
        "strategy__name": query.get("strategy"),
        "side": choice_of(query, "side", Side.values),
        "status__in": choices_of(query, "status", OrderStatus.values),
        "ended_as": choice_of(query, "ended_as", sorted(ENDED_AS)),
        "created_at__gte": time_of(query, "created_after"),
        "created_at__lt": time_of(query, "created_before"),
        "idempotency_key": query.get("idempotency_key"),
    }
    return orders.filter(**{lookup: value for lookup, value in wanted.items() if value is not None})


def _order_answer(
    request: Request, order: Order, status: int, *, decision: Decision | None = None, replayed: bool = False
) -> Response:
    """``decision``: the order's own, where it is at hand."""
    headers = {"Location": f"/api/exec/order/{order.id}", "ETag": f'"{order.version}"'}
    if replayed:
        headers["Idempotent-Replay"] = "true"
    reader = principal_of(request)
    document = order_document(order, reader) if decision is None else order_as(order, effect_of(decision), reader)
    return Response(document, status=status, headers=headers)


class PlaceOrderView(APIView):
    """``POST /api/exec/order``."""

    rights = {"POST": Right.PLACE}

    @schema.PLACE_ORDER
    def post(self, request: Request) -> Response:
        """202 with the order; 200 when ``wait`` saw it decided by the exchange; 422 with the decision when denied."""
        principal = principal_of(request)
        serializer = PlaceOrderSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        body = serializer.request()
        body = replace(body, strategy=strategy_for(body.strategy, principal.key.strategies))
        account = account_for(body.account, principal.may_see(body.account))
        by = actor_of(request, "POST /api/exec/order")
        if serializer.validated_data.get("validate_only"):
            verdict = rehearse(body, account=account, by=by)
            document = {**decision_document(verdict.decision, principal), "id": None, "validate_only": True}
            return Response(document, status=200 if verdict.accepted else 422)
        key = _idempotency_key(request)
        wait = parse_wait(request.query_params.get("wait"))
        canonical = json.dumps(request.data, sort_keys=True, separators=(",", ":")).encode()
        placed = place(
            body, idempotency_key=key, body_hash=hashlib.sha256(canonical).hexdigest(), account=account, by=by
        )
        if not placed.decision.accepted:
            decision = decision_document(placed.decision, principal)
            raise Problem(
                422,
                placed.order.reason,
                first_breach(decision)["detail"],
                members={"order": order_as(placed.order, effect_of(placed.decision), principal), "decision": decision},
                headers={"Idempotent-Replay": "true"} if placed.replayed else None,
            )
        moved = wait_until_decided(placed.order.id, wait)
        order = moved or placed.order
        return _order_answer(
            request,
            order,
            202 if order.status in UNDECIDED else 200,
            decision=placed.decision,
            replayed=placed.replayed,
        )


class OrderView(APIView):
    """``/api/exec/order/{id}``."""

    rights = {"GET": Right.VIEW, "PATCH": Right.PLACE, "DELETE": Right.CANCEL}
    never_throttled = frozenset({"DELETE"})

    @schema.READ_ORDER
    def get(self, request: Request, order_id: UUID) -> Response:
        """The order with all that is on record about it; 304 when ``If-None-Match`` has its ETag."""
        order = _order(request, order_id)
        document = order_with_history(order, history_of(order), principal_of(request))
        etag = _etag(order, document)
        if _is_known(request, etag):
            return Response(status=304, headers={"ETag": etag})
        return Response(document, headers={"ETag": etag})

    @schema.REPLACE_ORDER
    def patch(self, request: Request, order_id: UUID) -> Response:
        """202: the replace passed the gate and is being carried out; 422 with the decision when denied.

        ``If-Match`` with the order's ETag makes sure that nobody changed it in between (412).
        """
        order = _order(request, order_id)
        serializer = ReplaceOrderSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        replacing = request_replace(
            order.id,
            quantity=serializer.validated_data.get("quantity"),
            price=serializer.validated_data.get("price"),
            by=actor_of(request, "PATCH /api/exec/order"),
            if_version=_if_match(request),
        )
        principal = principal_of(request)
        decision = decision_document(replacing.decision, principal)
        if replacing.command is None:
            breach = first_breach(decision)
            raise Problem(
                422,
                breach["code"],
                breach["detail"],
                members={"order": order_document(replacing.order, principal), "decision": decision},
            )
        answer = _order_answer(request, replacing.order, 202)
        answer.data["replace"] = {
            "id": str(replacing.command.id),
            "method": replacing.command.method,
            "quantity": plain(replacing.command.new_quantity),
            "price": plain(replacing.command.new_price),
            "decision": decision,
        }
        return answer

    @schema.CANCEL_ORDER
    def delete(self, request: Request, order_id: UUID) -> Response:
        """202: the cancel is asked for; the order ends when the exchange says so. 200 when it has ended already."""
        order = _order(request, order_id)
        order = request_cancel(order.id, by=actor_of(request, "DELETE /api/exec/order"))
        return _order_answer(request, order, 200 if order.status in ENDED else 202)


class OrdersView(APIView):
    """``/api/exec/orders``."""

    rights = {"GET": Right.VIEW, "DELETE": Right.CANCEL}
    never_throttled = frozenset({"DELETE"})

    @schema.LIST_ORDERS
    def get(self, request: Request) -> Response:
        """Orders, newest first; ``after`` continues where the last page's ``next`` points."""
        query = read_query(request, (*FILTERS, *PAGING))
        principal = principal_of(request)
        orders = principal.narrow(Order.objects.select_related("account", "instrument", "strategy"))
        found, after = page(_filtered(orders, query), query)
        return Response({"orders": order_documents(found, principal), "next": after})

    @schema.CANCEL_ORDERS
    def delete(self, request: Request) -> Response:
        """202: the end of every matching order that has not ended is asked for; trading goes on."""
        query = read_query(request, SCOPE_FILTERS)
        principal = principal_of(request)
        _refuse_unclear_cancel(query, principal)
        asked = cancel_all(
            _filtered(principal.narrow(Order.objects.all()), query),
            by=actor_of(request, "DELETE /api/exec/orders"),
            reason="mass cancel",
        )
        return Response({"cancels_requested": len(asked), "orders": [str(order_id) for order_id in asked]}, status=202)


def _refuse_unclear_cancel(query: Mapping[str, str], principal: Principal) -> None:
    """A misspelt name must not look like a mass cancel that found nothing to do."""
    if not query:
        raise Problem(400, "MISSING_FILTER", "Name at least one of account, symbol and strategy.")
    if "account" in query:
        account_for(query["account"], principal.may_see(query["account"]))
    if "strategy" in query:
        registered_strategy(strategy_for(query["strategy"], principal.key.strategies))
    if "symbol" in query and not Instrument.objects.filter(symbol=query["symbol"]).exists():
        raise Problem(400, "UNKNOWN_SYMBOL", f"No exchange has {query['symbol']}.")


class KillView(APIView):
    """``POST /api/exec/kill``."""

    rights = {"POST": Right.KILL}
    never_throttled = frozenset({"POST"})

    @schema.KILL
    def post(self, request: Request) -> Response:
        """Halt a scope so that only a second person's word lifts it, then ask for the end of every order in it.

        The kill goes on until the exchange's evidence proves its end: ``GET /api/exec/kills/{id}``.
        """
        asked = ScopeRequest.of(request, allow_cancel=False)
        killed = kill(asked.kind, asked.key, reason=asked.reason, by=actor_of(request, "POST /api/exec/kill"))
        document = kill_document(killed.episode, principal_of(request))
        return Response(
            {**asked.document(killed.state), "cancels_requested": killed.cancels_requested, "kill": document}
        )


class StopView(APIView):
    """``POST /api/exec/stop``."""

    rights = {"POST": Right.HALT}
    never_throttled = frozenset({"POST"})

    @schema.STOP
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
