"""Instructions, keys and answers shared by the tests of the Binance adapter."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from exchanges.adapters import CancelInstruction, Credentials, PlaceInstruction

# The pair published with the signature examples of the exchange's documentation.
KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
CREDENTIALS = Credentials(KEY, SECRET)

STAMP = 1_753_000_000_123
RECV_WINDOW = 4321
CLIENT_ID = "ex0123456789abcdef0123456789abcdef01"

LIMIT = PlaceInstruction(
    symbol="BTCUSDT",
    side="BUY",
    type="LIMIT",
    client_order_id=CLIENT_ID,
    quantity=Decimal("0.50000000"),
    price=Decimal("60000.10"),
    time_in_force="GTC",
)
CANCEL = CancelInstruction(symbol="BTCUSDT", client_order_id=CLIENT_ID)


def order(**changes: Any) -> dict[str, Any]:
    """An order object as GET order shows it."""
    return {
        "symbol": "BTCUSDT",
        "orderId": 28,
        "orderListId": -1,
        "clientOrderId": CLIENT_ID,
        "price": "60000.10000000",
        "origQty": "0.50000000",
        "executedQty": "0.00000000",
        "origQuoteOrderQty": "0.00000000",
        "cummulativeQuoteQty": "0.00000000",
        "status": "NEW",
        "timeInForce": "GTC",
        "type": "LIMIT",
        "side": "BUY",
        "time": STAMP + 10,
        "updateTime": STAMP + 20,
        "workingTime": STAMP + 10,
        "isWorking": True,
        "selfTradePreventionMode": "EXPIRE_TAKER",
        **changes,
    }


def placed(**changes: Any) -> dict[str, Any]:
    """A placement answer of type FULL with two fills."""
    return {
        **order(
            status="PARTIALLY_FILLED",
            executedQty="0.30000000",
            cummulativeQuoteQty="18000.02000000",
        ),
        "transactTime": STAMP + 15,
        "fills": [
            {"price": "60000.00", "qty": "0.10", "commission": "0.0001", "commissionAsset": "BTC", "tradeId": 56},
            {"price": "60000.10", "qty": "0.20", "commission": "0.00000000", "commissionAsset": "BTC", "tradeId": 57},
        ],
        **changes,
    }


def canceled(**changes: Any) -> dict[str, Any]:
    """A cancel answer; ``clientOrderId`` is the cancel's own id."""
    return {
        **order(status="CANCELED", clientOrderId="cancelOwnId", executedQty="0.1", cummulativeQuoteQty="6000.01"),
        "origClientOrderId": CLIENT_ID,
        "transactTime": STAMP + 30,
        **changes,
    }


def trade(number: int, order_id: int = 28, **changes: Any) -> dict[str, Any]:
    """An item of myTrades."""
    return {
        "symbol": "BTCUSDT",
        "id": number,
        "orderId": order_id,
        "orderListId": -1,
        "price": "60000.00",
        "qty": "0.10",
        "quoteQty": "6000.00",
        "commission": "0.0001",
        "commissionAsset": "BTC",
        "time": STAMP + 15,
        "isBuyer": True,
        "isMaker": False,
        "isBestMatch": True,
        **changes,
    }
