"""Instructions, keys and answers shared by the tests of the BTCTurk adapter."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from exchanges.adapters import CancelInstruction, Credentials, PlaceInstruction

# The second vector of docs/btcturk.md §1.
KEY = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
SECRET = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
CREDENTIALS = Credentials(KEY, SECRET)

STAMP = 1_767_225_600_123
CLIENT_ID = "ex0123456789abcdef0123456789abcdef01"
ORDER_ID = 26_950_000_001

LIMIT = PlaceInstruction(
    symbol="BTCTRY",
    side="BUY",
    type="LIMIT",
    client_order_id=CLIENT_ID,
    quantity=Decimal("0.00050000"),
    price=Decimal("3037000"),
    time_in_force="GTC",
)
CANCEL = CancelInstruction(symbol="BTCTRY", client_order_id=CLIENT_ID, exchange_order_id=str(ORDER_ID))


def envelope(data: Any, **changes: Any) -> dict[str, Any]:
    """A successful answer around ``data``."""
    return {"data": data, "success": True, "message": "SUCCESS", "code": 0, **changes}


def refusal(message: str, code: Any = 1000) -> dict[str, Any]:
    """A refused call."""
    return {"success": False, "message": message, "code": code}


def placed(**changes: Any) -> dict[str, Any]:
    """The data of a placement answer."""
    return {
        "id": ORDER_ID,
        "datetime": STAMP + 10,
        "type": "buy",
        "method": "limit",
        "price": "3037000",
        "stopPrice": "0",
        "quantity": "0.00050000",
        "pairSymbol": "BTCTRY",
        "pairSymbolNormalized": "BTC_TRY",
        "newOrderClientId": CLIENT_ID,
        **changes,
    }


def order(**changes: Any) -> dict[str, Any]:
    """An order object of the reads."""
    return {
        "id": ORDER_ID,
        "price": "3037000",
        "amount": "0.0005",
        "quantity": "0.0005",
        "stopPrice": None,
        "pairSymbol": "BTCTRY",
        "pairSymbolNormalized": "BTC_TRY",
        "type": "buy",
        "method": "limit",
        "orderClientId": CLIENT_ID,
        "time": STAMP + 10,
        "updateTime": STAMP + 20,
        "status": "Untouched",
        "leftAmount": "0.0005",
        **changes,
    }


def working(*orders: dict[str, Any]) -> dict[str, Any]:
    """The data of openOrders; the time of placing is 0 there."""
    shown = [{**each, "time": 0} for each in orders]
    return {
        "asks": [each for each in shown if each["type"].lower() != "buy"],
        "bids": [each for each in shown if each["type"].lower() == "buy"],
    }


def trade(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A row of the trades."""
    return {
        "id": 1_181_163_798_924_600_000 + number,
        "timestamp": STAMP + number,
        "orderId": ORDER_ID,
        "orderClientId": CLIENT_ID,
        "orderType": "buy",
        "numeratorSymbol": "BTC",
        "denominatorSymbol": "TRY",
        "price": "3037000",
        "amount": "0.0001",
        "preciseAmount": 0.0001,
        "fee": "-0.3037",
        "tax": "-0.06074",
        **changes,
    }


def pair(**changes: Any) -> dict[str, Any]:
    """A pair of exchangeinfo."""
    return {
        "id": 1,
        "name": "BTCTRY",
        "nameNormalized": "BTC_TRY",
        "status": "TRADING",
        "numerator": "BTC",
        "denominator": "TRY",
        "numeratorScale": 8,
        "denominatorScale": 2,
        "hasFraction": False,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": "0.0000000000001",
                "maxPrice": "10000000",
                "tickSize": "10",
                "minExchangeValue": "99.91",
                "minAmount": None,
                "maxAmount": None,
            }
        ],
        "orderMethods": ["MARKET", "LIMIT", "STOP_MARKET", "STOP_LIMIT"],
        "commissionFromNumerator": False,
        "maximumOrderAmount": None,
        "maximumLimitOrderPrice": 37000000.0,
        "minimumLimitOrderPrice": 370000.0,
        **changes,
    }
