"""Calls that change an open order: cancelReplace and amendments (docs/binance.md §2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from exchanges.simulator import binance_views as views
from exchanges.simulator import filters
from exchanges.simulator.binance_calls import (
    ORDER_SPEC,
    RESTRICTIONS,
    Endpoint,
    Request,
    check_order_ids,
    check_order_shape,
    refusal,
    shape_of,
)
from exchanges.simulator.binance_params import (
    CLIENT_ID,
    DECIMAL,
    INTEGER,
    SIGNING,
    SYMBOL,
    WORD,
    BinanceError,
    Spec,
    decimal,
    integer,
    missing,
)
from exchanges.simulator.venue import Market, OrderRequest, Refusal, Refused

if TYPE_CHECKING:
    from exchanges.simulator.binance import BinanceFace

SUCCESS, FAILURE, NOT_ATTEMPTED = "SUCCESS", "FAILURE", "NOT_ATTEMPTED"
MODES = ("STOP_ON_FAILURE", "ALLOW_FAILURE")
LIMIT_MODES = ("DO_NOTHING", "CANCEL_ONLY")
MAX_ROWS = 1000

REPLACE_SPEC: Spec = {
    **ORDER_SPEC,
    "cancelReplaceMode": (WORD, True),
    "cancelOrderId": (INTEGER, False),
    "cancelOrigClientOrderId": (CLIENT_ID, False),
    "cancelNewClientOrderId": (CLIENT_ID, False),
    "cancelRestrictions": (WORD, False),
    "orderRateLimitExceededMode": (WORD, False),
}


def _check_replace(params: Mapping[str, str]) -> None:
    check_order_shape(params)
    if "cancelOrderId" not in params and "cancelOrigClientOrderId" not in params:
        raise BinanceError(
            -1102, "Param 'cancelOrigClientOrderId' or 'cancelOrderId' must be sent, but both were empty/null!"
        )
    for name, known in (("cancelReplaceMode", MODES), ("orderRateLimitExceededMode", LIMIT_MODES)):
        if params.get(name, known[0]) not in known:
            raise BinanceError(-1130, f"Data sent for parameter '{name}' is not valid.")
    if params.get("cancelRestrictions", "ONLY_NEW") not in RESTRICTIONS:
        raise BinanceError(-1145, "Invalid cancelRestrictions")


def _amend_refusal(refused: Refused) -> BinanceError:
    error = refusal(refused)
    return BinanceError(-2038, error.msg)


class Changes:
    """The endpoints of this module, over a face."""

    def __init__(self, face: BinanceFace) -> None:
        self._face = face

    def endpoints(self, ids: Spec) -> dict[str, Endpoint]:
        """The calls by method and path; `ids` are the parameters that name an order."""
        amend: Spec = {**ids, "newQty": (DECIMAL, True), "newClientOrderId": (CLIENT_ID, False)}
        amendments: Spec = {
            "symbol": (SYMBOL, True),
            "orderId": (INTEGER, True),
            "fromExecutionId": (INTEGER, False),
            "limit": (INTEGER, False),
            **SIGNING,
        }
        return {
            "POST order/cancelReplace": Endpoint(
                self._replace, REPLACE_SPEC, lambda call: 1, True, 0, places=True, precheck=_check_replace
            ),
            "PUT order/amend/keepPriority": Endpoint(
                self._amend, amend, lambda call: 4, True, precheck=check_order_ids
            ),
            "GET order/amendments": Endpoint(self._amendments, amendments, lambda call: 4, True),
        }

    # -- cancelReplace -------------------------------------------------------------------------------------------

    def _replace(self, request: Request) -> Any:
        """Filters and counts come before the cancel; the order counts against its limit even when not attempted."""
        face, params = self._face, request.params
        wanted = face.order_request(request)
        market = face.market(request)
        face.venue.check_counts(market, wanted)
        over = face.limits.orders_over(wanted.account, request.now)
        too_much = None
        if over is not None:
            limit, interval, wait = over
            too_much = face.too_much(-1015, wait, limit, interval)
            if params.get("orderRateLimitExceededMode", "DO_NOTHING") == "DO_NOTHING":
                raise too_much
        else:
            face.limits.count_order(wanted.account, request.now, 1)
        canceled, cancel_answer = self._cancel(request, market)
        stops = params["cancelReplaceMode"] == "STOP_ON_FAILURE"
        placed: str = NOT_ATTEMPTED
        place_answer: Any = None
        if canceled == SUCCESS or not stops:
            placed, place_answer = self._place(request, wanted, too_much)
        body = {
            "cancelResult": canceled,
            "newOrderResult": placed,
            "cancelResponse": cancel_answer,
            "newOrderResponse": place_answer,
        }
        if canceled == placed == SUCCESS:
            return body
        raise self._split(body, too_much if stops else None)

    @staticmethod
    def _split(body: dict[str, Any], too_much: BinanceError | None) -> BinanceError:
        """The error of a replace that did not work whole; over the order limit it is a 429, if it stops on failure."""
        if SUCCESS in (body["cancelResult"], body["newOrderResult"]):
            code, text, status = -2021, "Order cancel-replace partially failed.", 409
        else:
            code, text, status = -2022, "Order cancel-replace failed.", 400
        if too_much is not None:
            return BinanceError(code, text, too_much.status, too_much.headers, body)
        return BinanceError(code, text, status, data=body)

    def _cancel(self, request: Request, market: Market) -> tuple[str, Any]:
        params = request.params
        cancel_id = params.get("cancelNewClientOrderId") or f"cancel-{market.execution_id + 1}"
        order_id = integer(params, "cancelOrderId")
        try:
            order = self._face.venue.cancel(
                request.owner.name,
                market.rules.symbol,
                request.now,
                order_id=order_id,
                client_order_id=params.get("cancelOrigClientOrderId") if order_id is None else None,
                cancel_client_id=cancel_id,
                only=RESTRICTIONS.get(params.get("cancelRestrictions", "")),
            )
        except Refused as refused:
            return FAILURE, _error_body(refusal(refused))
        return SUCCESS, views.canceled(order, cancel_id, request.scale)

    def _place(self, request: Request, wanted: OrderRequest, too_much: BinanceError | None) -> tuple[str, Any]:
        if too_much is not None:
            return FAILURE, _error_body(too_much)
        try:
            placement = self._face.venue.place(wanted, request.now)
        except Refused as refused:
            return FAILURE, _error_body(refusal(refused))
        return SUCCESS, views.placed(placement, shape_of(request), request.scale)

    # -- amendments ----------------------------------------------------------------------------------------------

    def _amend(self, request: Request) -> Any:
        face, params = self._face, request.params
        market = face.market(request)
        quantity = decimal(params, "newQty")
        if not quantity:
            raise missing("newQty")
        order_id, client_id = integer(params, "orderId"), params.get("origClientOrderId")
        order = face.venue.find(request.owner.name, market.rules.symbol, order_id=order_id, client_order_id=client_id)
        if order is None:
            raise _amend_refusal(Refused(Refusal.UNKNOWN_ORDER))
        failed = filters.lot_size(market.rules, quantity)
        failed = failed or filters.notional(market.rules, order.price * quantity, market=False)
        if failed is not None:
            raise BinanceError(-1013, f"Filter failure: {failed}")
        try:
            changed, amendment = face.venue.amend(
                request.owner.name,
                market.rules.symbol,
                quantity,
                request.now,
                new_client_id=params.get("newClientOrderId") or f"amend-{market.execution_id + 1}",
                order_id=order.order_id,
            )
        except Refused as refused:
            raise _amend_refusal(refused) from None
        return views.amended(changed, amendment, request.scale)

    def _amendments(self, request: Request) -> Any:
        params = request.params
        market = self._face.market(request)
        order = market.orders.get(int(params["orderId"]))
        if order is None or order.account != request.owner.name:
            return []
        first = integer(params, "fromExecutionId") or 0
        rows = [row for row in market.amendments.get(order.order_id, []) if row.execution_id >= first]
        limit = min(MAX_ROWS, int(Decimal(params.get("limit", "500"))))
        return [views.amendment_object(row, request.scale) for row in rows[:limit]]


def _error_body(error: BinanceError) -> dict[str, Any]:
    return {"code": error.code, "msg": error.msg}
