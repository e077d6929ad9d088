"""Binance answers: venue records to JSON objects with exact field names (docs/binance.md §2)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from exchanges.matching import EndReason, SelfTrade
from exchanges.simulator.accounts import Account
from exchanges.simulator.filters import SymbolRules
from exchanges.simulator.limits import LimitSettings
from exchanges.simulator.venue import Amendment, Order, OrderType, Placement, Status, Trade

Json = dict[str, Any]

EXPIRY = {
    EndReason.IOC_REMAINDER: "UNFILLED_IOC_QUANTITY_EXPIRED",
    EndReason.FOK_UNFILLABLE: "UNFILLED_FOK_ORDER_EXPIRED",
    EndReason.NO_LIQUIDITY: "INSUFFICIENT_LIQUIDITY",
}


def dec(value: Decimal) -> str:
    """A decimal as Binance writes it: plain, 8 decimals."""
    return f"{value:.8f}"


def ack(order: Order, scale: int) -> Json:
    """Answer of newOrderRespType ACK. `scale` turns ms into the asked time unit."""
    return {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_order_id,
        "transactTime": order.update_time * scale,
    }


def _conditional(order: Order) -> Json:
    extra: Json = {}
    if order.strategy_id is not None:
        extra["strategyId"] = order.strategy_id
    if order.strategy_type is not None:
        extra["strategyType"] = order.strategy_type
    if order.end_reason in EXPIRY and order.status is Status.EXPIRED:
        extra["expiryReason"] = EXPIRY[EndReason(order.end_reason)]
    return extra


def result(order: Order, scale: int) -> Json:
    """Answer of newOrderRespType RESULT."""
    body = ack(order, scale)
    body.update(
        price=dec(order.price),
        origQty=dec(order.quantity),
        executedQty=dec(order.executed),
        origQuoteOrderQty=dec(order.quote_quantity),
        cummulativeQuoteQty=dec(order.quote_executed),
        status=order.status.value,
        timeInForce=order.time_in_force.value,
        type=order.type.value,
        side=order.side.value,
        workingTime=order.working_time * scale if order.working_time >= 0 else -1,
        selfTradePreventionMode=order.self_trade.value,
    )
    if order.stop_price:
        body["stopPrice"] = dec(order.stop_price)
    body.update(_conditional(order))
    return body


def full(placement: Placement, scale: int) -> Json:
    """Answer of newOrderRespType FULL."""
    body = result(placement.order, scale)
    body["fills"] = [
        {
            "price": dec(trade.price),
            "qty": dec(trade.quantity),
            "commission": dec(trade.commission),
            "commissionAsset": trade.commission_asset,
            "tradeId": trade.id,
        }
        for trade in placement.trades
    ]
    return body


def canceled(order: Order, cancel_id: str, scale: int) -> Json:
    """Cancel report: `clientOrderId` is the cancel's id, `origClientOrderId` the order's."""
    body = {"symbol": order.symbol, "origClientOrderId": order.client_order_id, **result(order, scale)}
    body["clientOrderId"] = cancel_id
    del body["workingTime"]
    return body


def amended(order: Order, amendment: Amendment, scale: int) -> Json:
    """Answer of an amendment; quantity and quote have names of their own in it."""
    return {
        "transactTime": amendment.time * scale,
        "executionId": amendment.execution_id,
        "amendedOrder": {
            "symbol": order.symbol,
            "orderId": order.order_id,
            "orderListId": -1,
            "origClientOrderId": amendment.old_client_id,
            "clientOrderId": order.client_order_id,
            "price": dec(order.price),
            "qty": dec(order.quantity),
            "executedQty": dec(order.executed),
            "preventedQty": dec(ZERO),
            "quoteOrderQty": dec(order.quote_quantity),
            "cumulativeQuoteQty": dec(order.quote_executed),
            "status": order.status.value,
            "timeInForce": order.time_in_force.value,
            "type": order.type.value,
            "side": order.side.value,
            "workingTime": order.working_time * scale if order.working_time >= 0 else -1,
            "selfTradePreventionMode": order.self_trade.value,
        },
    }


def amendment_object(amendment: Amendment, scale: int) -> Json:
    """One row of order/amendments."""
    return {
        "symbol": amendment.symbol,
        "orderId": amendment.order_id,
        "executionId": amendment.execution_id,
        "origClientOrderId": amendment.old_client_id,
        "newClientOrderId": amendment.new_client_id,
        "origQty": dec(amendment.old_quantity),
        "newQty": dec(amendment.new_quantity),
        "time": amendment.time * scale,
    }


def placed(placement: Placement, shape: str, scale: int) -> Json:
    """Answer of a placement in the shape that newOrderRespType names."""
    if shape == "FULL":
        return full(placement, scale)
    return (ack if shape == "ACK" else result)(placement.order, scale)


def order_object(order: Order, scale: int) -> Json:
    """Order as GET order, openOrders and allOrders show it."""
    return {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_order_id,
        "price": dec(order.price),
        "origQty": dec(order.quantity),
        "executedQty": dec(order.executed),
        "cummulativeQuoteQty": dec(order.quote_executed),
        "status": order.status.value,
        "timeInForce": order.time_in_force.value,
        "type": order.type.value,
        "side": order.side.value,
        "stopPrice": dec(order.stop_price),
        "icebergQty": "0.00000000",
        "time": order.time * scale,
        "updateTime": order.update_time * scale,
        "isWorking": order.working_time >= 0,
        "workingTime": order.working_time * scale if order.working_time >= 0 else -1,
        "origQuoteOrderQty": dec(order.quote_quantity),
        "selfTradePreventionMode": order.self_trade.value,
        **_conditional(order),
    }


def trade_object(trade: Trade, scale: int) -> Json:
    """One row of myTrades."""
    return {
        "symbol": trade.symbol,
        "id": trade.id,
        "orderId": trade.order_id,
        "orderListId": -1,
        "price": dec(trade.price),
        "qty": dec(trade.quantity),
        "quoteQty": dec(trade.quote_quantity),
        "commission": dec(trade.commission),
        "commissionAsset": trade.commission_asset,
        "time": trade.time * scale,
        "isBuyer": trade.side.value == "BUY",
        "isMaker": trade.is_maker,
        "isBestMatch": True,
    }


def account_object(account: Account, assets: Sequence[str], scale: int, *, omit_zero: bool) -> Json:
    """GET account. Without `omit_zero` every asset the venue trades is listed."""
    names = sorted({*account.balances, *assets})
    maker, taker = account.maker_fee, account.taker_fee
    return {
        "makerCommission": int(maker * 10_000),
        "takerCommission": int(taker * 10_000),
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {"maker": dec(maker), "taker": dec(taker), "buyer": dec(ZERO), "seller": dec(ZERO)},
        "canTrade": True,
        "canWithdraw": False,
        "canDeposit": False,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": account.updated * scale,
        "accountType": "SPOT",
        "balances": [
            {"asset": name, "free": dec(balance.free), "locked": dec(balance.locked)}
            for name in names
            if (balance := account.balance(name)) and not (omit_zero and not balance.free and not balance.locked)
        ],
        "permissions": ["SPOT"],
        "uid": account.uid,
    }


ZERO = Decimal(0)


def commission(account: Account, symbol: str | None) -> Json:
    """Commission rates: GET account/commission with a symbol, order/test without."""

    def rates(maker: Decimal, taker: Decimal) -> Json:
        body = {"maker": dec(maker), "taker": dec(taker)}
        return body if symbol is None else {**body, "buyer": dec(ZERO), "seller": dec(ZERO)}

    suffix = "ForOrder" if symbol is None else ""
    body: Json = {} if symbol is None else {"symbol": symbol}
    body[f"standardCommission{suffix}"] = rates(account.maker_fee, account.taker_fee)
    body[f"specialCommission{suffix}"] = rates(ZERO, ZERO)
    body[f"taxCommission{suffix}"] = rates(ZERO, ZERO)
    body["discount"] = {
        "enabledForAccount": account.bnb_fees,
        "enabledForSymbol": True,
        "discountAsset": "BNB",
        "discount": "0.75000000",
    }
    return body


def symbol_filters(rules: SymbolRules) -> list[Json]:
    """Filters of exchangeInfo (docs/binance.md §4)."""
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": dec(rules.min_price),
            "maxPrice": dec(rules.max_price),
            "tickSize": dec(rules.tick),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": dec(rules.min_quantity),
            "maxQty": dec(rules.max_quantity),
            "stepSize": dec(rules.step),
        },
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": dec(rules.market_min_quantity),
            "maxQty": dec(rules.market_max_quantity),
            "stepSize": dec(rules.market_step),
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": str(rules.bid_up),
            "bidMultiplierDown": str(rules.bid_down),
            "askMultiplierUp": str(rules.ask_up),
            "askMultiplierDown": str(rules.ask_down),
            "avgPriceMins": rules.average_minutes,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": dec(rules.min_notional),
            "applyMinToMarket": rules.min_notional_for_market,
            "maxNotional": dec(rules.max_notional),
            "applyMaxToMarket": rules.max_notional_for_market,
            "avgPriceMins": rules.average_minutes,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": rules.max_orders},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": rules.max_algo_orders},
        {"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": rules.max_amends},
    ]


def symbol_object(rules: SymbolRules, status: str, *, permission_sets: bool) -> Json:
    """One symbol of exchangeInfo (docs/binance.md §2.5)."""
    body: Json = {
        "symbol": rules.symbol,
        "status": status,
        "baseAsset": rules.base,
        "baseAssetPrecision": 8,
        "quoteAsset": rules.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": [kind.value for kind in OrderType],
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": symbol_filters(rules),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": SelfTrade.EXPIRE_MAKER.value,
        "allowedSelfTradePreventionModes": [mode.value for mode in SelfTrade],
    }
    if not permission_sets:
        del body["permissionSets"]
    return body


def rate_limits(settings: LimitSettings) -> list[Json]:
    """rateLimits of exchangeInfo."""

    def limit(kind: str, interval: str, count: int, value: int) -> Json:
        return {"rateLimitType": kind, "interval": interval, "intervalNum": count, "limit": value}

    return [
        limit("REQUEST_WEIGHT", "MINUTE", 1, settings.request_weight),
        limit("ORDERS", "SECOND", 10, settings.orders_10s),
        limit("ORDERS", "DAY", 1, settings.orders_1d),
        limit("RAW_REQUESTS", "MINUTE", 5, settings.raw_requests),
    ]
