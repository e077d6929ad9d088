"""What calls of the Binance face are made of: their parameters, checks, weights and answers (docs/binance.md §2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from exchanges.matching import TimeInForce
from exchanges.simulator.accounts import Account
from exchanges.simulator.binance_params import (
    CLIENT_ID,
    DECIMAL,
    INTEGER,
    SIGNING,
    SYMBOL,
    WORD,
    BinanceError,
    Call,
    Spec,
    missing,
)
from exchanges.simulator.venue import Refusal, Refused, Status

REFUSALS = {
    Refusal.INSUFFICIENT_BALANCE: (-2010, "Account has insufficient balance for requested action."),
    Refusal.DUPLICATE_CLIENT_ID: (-2010, "Duplicate order sent."),
    Refusal.WOULD_TAKE: (-2010, "Order would immediately match and take."),
    Refusal.WOULD_TRIGGER: (-2010, "Order would trigger immediately."),
    Refusal.MAX_NUM_ORDERS: (-2010, "Filter failure: MAX_NUM_ORDERS"),
    Refusal.MAX_NUM_ALGO_ORDERS: (-2010, "Filter failure: MAX_NUM_ALGO_ORDERS"),
    Refusal.THIN_BOOK: (-2010, "Order book liquidity is less than `LOT_SIZE` filter minimum quantity."),
    Refusal.UNKNOWN_ORDER: (-2011, "Unknown order sent."),
    Refusal.CANCEL_RESTRICTED: (-2011, "Order was not canceled due to cancel restrictions."),
    Refusal.MARKET_CLOSED: (-1013, "Market is closed."),
    Refusal.AMEND_INCREASE: (-2038, "Order amend (quantity increase) is not supported."),
    Refusal.NO_CHANGE: (-2038, "The requested action would change no state; rejecting"),
    Refusal.MAX_NUM_ORDER_AMENDS: (-2038, "Filter failure: MAX_NUM_ORDER_AMENDS"),
}
RESTRICTIONS = {"ONLY_NEW": Status.NEW, "ONLY_PARTIALLY_FILLED": Status.PARTIALLY_FILLED}

_ORDER_OPTIONAL = {
    "timeInForce": WORD,
    "quantity": DECIMAL,
    "quoteOrderQty": DECIMAL,
    "price": DECIMAL,
    "stopPrice": DECIMAL,
    "icebergQty": DECIMAL,
    "trailingDelta": INTEGER,
    "newClientOrderId": CLIENT_ID,
    "strategyId": INTEGER,
    "strategyType": INTEGER,
    "newOrderRespType": WORD,
    "selfTradePreventionMode": WORD,
    "pegPriceType": WORD,
    "pegOffsetType": WORD,
    "pegOffsetValue": INTEGER,
}
ORDER_SPEC: Spec = {
    "symbol": (SYMBOL, True),
    "side": (WORD, True),
    "type": (WORD, True),
    **{name: (pattern, False) for name, pattern in _ORDER_OPTIONAL.items()},
    **SIGNING,
}

NEEDS = {
    "LIMIT": ("timeInForce", "quantity", "price"),
    "MARKET": (),
    "LIMIT_MAKER": ("quantity", "price"),
    "STOP_LOSS": ("quantity", "stopPrice"),
    "TAKE_PROFIT": ("quantity", "stopPrice"),
    "STOP_LOSS_LIMIT": ("timeInForce", "quantity", "price", "stopPrice"),
    "TAKE_PROFIT_LIMIT": ("timeInForce", "quantity", "price", "stopPrice"),
}
"""Parameters a type needs (docs/binance.md §2.2)."""
CONDITIONAL = ("timeInForce", "quantity", "quoteOrderQty", "price", "stopPrice")


@dataclass(slots=True, frozen=True)
class Answer:
    """A finished HTTP answer."""

    status: int
    body: bytes
    headers: dict[str, str]


@dataclass(slots=True, frozen=True)
class Endpoint:
    """One call: its parameters, weights, whether it is signed, and what carries it out."""

    run: Callable[[Request], Any]
    spec: Spec
    weight: Callable[[Call], int]
    signed: bool = False
    success_weight: int | None = None
    places: bool = False
    precheck: Callable[[Mapping[str, str]], None] | None = None


@dataclass(slots=True, frozen=True)
class Request:
    """A call that passed all checks up to the signature. `stamp` and `window` in ms."""

    call: Call
    endpoint: Endpoint
    now: int
    account: Account | None = None
    stamp: Decimal = Decimal(0)
    window: Decimal = Decimal(0)

    @property
    def params(self) -> dict[str, str]:
        """The decoded parameters."""
        return self.call.params

    @property
    def scale(self) -> int:
        """Factor from ms to the time unit of the answer."""
        return 1000 if self.call.microseconds else 1

    def at(self, now: int) -> Request:
        """The same request carried out at another time."""
        return replace(self, now=now)

    @property
    def owner(self) -> Account:
        """The account of a signed call."""
        if self.account is None:
            raise BinanceError(-2014, "API-key format invalid.", 401)
        return self.account


def refusal(refused: Refused) -> BinanceError:
    """What the venue refused, in Binance's words."""
    return BinanceError(*REFUSALS[refused.reason])


def check_order_shape(params: Mapping[str, str]) -> None:
    """Enums and parameters by type: what is mandatory, what must not be there."""
    kind = params["type"]
    if params["side"] not in ("BUY", "SELL"):
        raise BinanceError(-1117, "Invalid side.")
    if kind not in NEEDS:
        raise BinanceError(-1116, "Invalid orderType.")
    needs = NEEDS[kind]
    for name in needs:
        if name not in params:
            raise missing(name)
    if kind == "MARKET" and "quantity" not in params and "quoteOrderQty" not in params:
        raise missing("quantity")
    allowed = {"quantity", "quoteOrderQty"} if kind == "MARKET" else set(needs)
    for name in CONDITIONAL:
        if name in params and name not in allowed:
            raise BinanceError(-1106, f"Parameter '{name}' sent when not required.")
    if kind == "MARKET" and "quantity" in params and "quoteOrderQty" in params:
        raise BinanceError(-1106, "Parameter 'quoteOrderQty' sent when not required.")
    if params.get("timeInForce", "GTC") not in TimeInForce.__members__:
        raise BinanceError(-1115, "Invalid timeInForce.")
    if params.get("newOrderRespType", "ACK") not in ("ACK", "RESULT", "FULL"):
        raise BinanceError(-1130, "Data sent for parameter 'newOrderRespType' is not valid.")
    if int(params.get("strategyType", 1_000_000)) < 1_000_000:
        raise BinanceError(-1134, "strategyType was less than 1000000.")


def check_order_ids(params: Mapping[str, str]) -> None:
    """GET and DELETE order need one of the two ids."""
    if "orderId" not in params and "origClientOrderId" not in params:
        raise BinanceError(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
    if params.get("cancelRestrictions", "ONLY_NEW") not in RESTRICTIONS:
        raise BinanceError(-1145, "Invalid cancelRestrictions")


def shape_of(request: Request) -> str:
    """The newOrderRespType of a placement; only LIMIT and MARKET default to FULL (docs/binance.md §2.2)."""
    params = request.params
    return params.get("newOrderRespType", "FULL" if params["type"] in ("LIMIT", "MARKET") else "ACK")
