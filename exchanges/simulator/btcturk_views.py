"""BTCTurk answers: venue records to JSON with exact field names and types (docs/btcturk.md §2)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from exchanges.matching import Level, Side
from exchanges.simulator.accounts import ZERO, Account, Balance
from exchanges.simulator.btcturk_rules import ASSETS, PRICE_BAND, PairRules
from exchanges.simulator.btcturk_settings import PairState
from exchanges.simulator.btcturk_venue import TurkOrder, TurkTrade
from exchanges.simulator.venue import Market, PublicTrade, Status

Json = dict[str, Any]

RESIDUE = "0.0000000000000001"
"""`quantity` of a closed market order (docs/btcturk.md §3)."""

STATUS = {
    Status.NEW: "Untouched",
    Status.PARTIALLY_FILLED: "Partial",
    Status.FILLED: "Closed",
    Status.CANCELED: "Canceled",
    Status.EXPIRED: "Canceled",
    Status.EXPIRED_IN_MATCH: "Canceled",
}


def encode(value: Any) -> str:
    """JSON text; a Decimal is a number with all its digits, which floats would lose."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(str(key))}:{encode(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(encode(item) for item in value) + "]"
    return json.dumps(value)


def plain(value: Decimal) -> str:
    """Without exponent and without trailing zeros."""
    return format(value.normalize(), "f") if value else "0"


def scaled(value: Decimal, scale: int) -> str:
    """With at least `scale` decimals."""
    return format(value if _decimals(value) > scale else value.quantize(Decimal(1).scaleb(-scale)), "f")


def _decimals(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def envelope(data: Any, message: str | None = "SUCCESS", code: int | str = 0) -> Json:
    """The frame around every answer but time, ping and charts."""
    return {"data": data, "success": True, "message": message, "code": code}


def side(value: Side) -> str:
    """A side in BTCTurk's words."""
    return value.value.lower()


# -- orders --------------------------------------------------------------------------------------------------------


def accepted(order: TurkOrder, rules: PairRules, sent_quantity: Decimal) -> Json:
    """`data` of POST order: an echo with the id. No status and no fills, even when the order is fully executed."""
    return {
        "id": order.order_id,
        "datetime": order.time,
        "type": side(order.side),
        "method": order.method,
        "price": scaled(order.price, rules.price_scale) if order.price else "0",
        "stopPrice": scaled(order.stop_price, rules.price_scale) if order.stop_price else "0",
        "quantity": scaled(sent_quantity, rules.numerator_scale),
        "pairSymbol": rules.symbol,
        "pairSymbolNormalized": rules.normalized,
        "newOrderClientId": order.client_order_id,
    }


def order_object(
    order: TurkOrder, rules: PairRules, trades: Sequence[TurkTrade], *, single: bool = False, listed_open: bool = False
) -> Json:
    """Order as the queries show it.

    Oddities kept: openOrders says time 0; the single query shows the first fill's price when there are several; a
    market order's price is not zero, its quantity a residue once it is closed (docs/btcturk.md §2.7, §3, §4).
    """
    price = order.price
    if order.is_market:
        price = trades[0].price if trades else order.stop_price or rules.start_price
    elif single and len(trades) > 1:
        price = trades[0].price
    closed_at_market = order.is_market and not order.status.is_open and order.executed
    amount = scaled(order.quantity, rules.numerator_scale)
    return {
        "id": order.order_id,
        "price": scaled(price, rules.price_scale),
        "amount": amount,
        "quantity": RESIDUE if closed_at_market and order.status is Status.FILLED else amount,
        "stopPrice": scaled(order.stop_price, rules.price_scale) if order.stop_price else None,
        "pairSymbol": rules.symbol,
        "pairSymbolNormalized": rules.normalized,
        "type": side(order.side),
        "method": order.method,
        "orderClientId": order.client_order_id,
        "time": 0 if listed_open else order.time,
        "updateTime": order.update_time,
        "status": STATUS[order.status],
        "leftAmount": scaled(order.leaves, rules.numerator_scale),
    }


def transaction(trade: TurkTrade, rules: PairRules, client_id: str) -> Json:
    """One row of users/transactions/trade. Sells have negative amounts; fee and tax are negative on both sides."""
    signed = trade.quantity if trade.side is Side.BUY else -trade.quantity
    return {
        "id": trade.id,
        "timestamp": trade.time,
        "orderId": trade.order_id,
        "orderClientId": client_id,
        "orderType": side(trade.side),
        "numeratorSymbol": rules.base,
        "denominatorSymbol": rules.quote,
        "price": scaled(trade.price, rules.price_scale),
        "amount": str(signed.quantize(Decimal(1).scaleb(-rules.amount_scale), ROUND_HALF_UP)),
        "preciseAmount": signed.quantize(Decimal("1e-16")),
        "fee": _owed(trade.commission),
        "tax": _owed(trade.tax),
    }


def _owed(value: Decimal) -> str:
    return format(-value, ".8f") if value else "0"


# -- account -------------------------------------------------------------------------------------------------------


def balances(account: Account, now: int, *, comma: bool) -> list[Json]:
    """All currencies on offer and whatever else the account holds."""

    def text(value: Decimal) -> str:
        return plain(value).replace(".", ",") if comma else plain(value)

    rows = []
    for asset in [*ASSETS, *(name for name in account.balances if name not in ASSETS)]:
        name, precision = ASSETS.get(asset, (asset, 8))
        balance = account.balances.get(asset, Balance())
        rows.append(
            {
                "asset": asset,
                "assetname": name,
                "balance": text(balance.free + balance.locked),
                "locked": text(balance.locked),
                "free": text(balance.free),
                "orderFund": text(balance.locked),
                "requestFund": "0",
                "precision": precision,
                "timestamp": now,
            }
        )
    return rows


# -- market data ---------------------------------------------------------------------------------------------------


def symbol_object(rules: PairRules, state: PairState, last: Decimal) -> Json:
    """One pair of exchangeinfo; the outer limit prices move with the market."""
    return {
        "id": rules.id,
        "name": rules.symbol,
        "nameNormalized": rules.normalized,
        "status": state.status,
        "numerator": rules.base,
        "denominator": rules.quote,
        "numeratorScale": rules.numerator_scale,
        "denominatorScale": rules.denominator_scale,
        "hasFraction": rules.has_fraction,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": format(rules.min_price, "f"),
                "maxPrice": format(rules.max_price, "f"),
                "tickSize": format(rules.arrow_step, "f"),
                "minExchangeValue": format(rules.min_notional, "f"),
                "minAmount": None,
                "maxAmount": None,
            }
        ],
        "orderMethods": list(state.order_methods),
        "displayFormat": "#,###" if rules.price_scale == 0 else "#,##0." + "0" * rules.price_scale,
        "commissionFromNumerator": False,
        "order": rules.listed_order,
        "priceRounding": False,
        "isNew": False,
        "marketPriceWarningThresholdPercentage": Decimal("0.25"),
        "maximumOrderAmount": rules.max_amount,
        "maximumLimitOrderPrice": (last * PRICE_BAND).quantize(Decimal("1e-16")),
        "minimumLimitOrderPrice": (last / PRICE_BAND).quantize(Decimal("1e-16")),
    }


def currency(number: int, asset: str) -> Json:
    """One currency of exchangeinfo."""
    name, precision = ASSETS[asset]
    fiat = asset == "TRY"
    return {
        "id": number,
        "symbol": asset,
        "name": name,
        "currencyType": "FIAT" if fiat else "CRYPTO",
        "precision": precision,
        "minWithdrawal": Decimal("10"),
        "minDeposit": Decimal("10"),
        "address": {"minLen": None, "maxLen": None} if fiat else {"minLen": 26, "maxLen": 64},
        "tag": {"enable": False, "name": None, "minLen": None, "maxLen": None},
        "color": "#f7931a",
        "isAddressRenewable": False,
        "getAutoAddressDisabled": False,
        "isPartialWithdrawalEnabled": not fiat,
        "isNew": False,
    }


def ticker(market: Market, rules: PairRules, volume: Decimal, now: int) -> Json:
    """One row of ticker. The simulated day opens at the pair's start price."""
    last, opened = market.last, rules.start_price
    daily = last - opened
    return {
        "pair": rules.symbol,
        "pairNormalized": rules.normalized,
        "timestamp": now,
        "last": last,
        "high": max(last, opened),
        "low": min(last, opened),
        "bid": market.book.best_bid() or ZERO,
        "ask": market.book.best_ask() or ZERO,
        "open": opened,
        "volume": volume,
        "average": (last + opened) / 2,
        "daily": daily,
        "dailyPercent": (daily / opened * 100).quantize(Decimal("0.01")),
        "denominatorSymbol": rules.quote,
        "numeratorSymbol": rules.base,
        "order": rules.listed_order,
    }


def levels(side_levels: Sequence[Level], rules: PairRules) -> list[list[str]]:
    """Price and amount pairs of the order book."""
    return [[scaled(price, rules.price_scale), scaled(size, rules.numerator_scale)] for price, size in side_levels]


def public_trade(trade: PublicTrade, rules: PairRules) -> Json:
    """One row of the public trades."""
    return {
        "pair": rules.symbol,
        "pairNormalized": rules.normalized,
        "numerator": rules.base,
        "denominator": rules.quote,
        "date": trade.time,
        "tid": str(trade.id),
        "price": scaled(trade.price, rules.price_scale),
        "amount": scaled(trade.quantity, rules.numerator_scale),
        "side": side(trade.side),
    }
